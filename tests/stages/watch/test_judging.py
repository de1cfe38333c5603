"""Rules over final panes: what they say of slices by name, under one model and over a swap, and asking for a model."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import PaneBlock
from stream_app.config import Duration, RuleConfig
from stream_app.stages.detection.detectors.simulated import CHANGES, PANE_MS, Change, World
from stream_app.stages.detection.mixture import Mixture
from stream_app.stages.detection.pane_statistic import PaneStatistic
from schemas.pane_layout import TOGETHER
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.judging import MODELS_MAX, Known, rule_state
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import Watching, block, config_of, marker, panes

WORLD = World(slices=4, seed=21)
CONFIG = config_of(WORLD)
REFERENCES = {"m": WORLD.fitted[1]}


def watched(*partials: object, config: object = CONFIG) -> Watching:
    watch = Watching(config, REFERENCES)  # type: ignore[arg-type]
    for part in partials:
        watch.feed(part)  # type: ignore[arg-type]
    return watch


@pytest.mark.parametrize(
    ("name", "kind", "detector", "summary"),
    [
        ("location", "drift", "location", "s0002, x0: up by about "),
        ("scale", "drift", "scale", "s0002, x0: more spread, about x "),
        ("categories", "drift", "categories", "s0002, c0: levels that were never seen before."),
        ("variation", "drift", "variation", "s0002, still: a constant column varies."),
        ("appearance", "drift", "variation", "s0002, gone: a column that was never there has values."),
        ("missing", "fault", "missing", "s0002, x0: more values are missing than usual."),
        ("stuck", "fault", "stuck", "s0002, x0: its value does not change any more."),
        ("silence", "fault", "silence", "s0002: no events come any more."),
        ("volume", "fault", "volume", "s0002: fewer events than usual."),
    ],
)
def test_a_change_opens_one_alert_of_its_kind_on_its_slice(name: str, kind: str, detector: str, summary: str) -> None:
    watch = watched(panes(WORLD, 30, 1), panes(WORLD, 25, 2, {2: CHANGES[name]}, first=30))
    opened = [alert for _, alert in watch.alerts if alert.state == "open" and alert.kind == kind]
    assert [(alert.slice, alert.detector) for alert in opened] == [("s0002", detector)]
    assert opened[0].summary.startswith(summary)
    assert opened[0].statistic >= opened[0].threshold == 10_000.0
    assert sum(blame.weight for blame in opened[0].blame) <= 1 + 1e-9
    assert all(blame.detail for blame in opened[0].blame)
    assert opened[0].evidence == "evidence of change (e-detector)"
    faults = [alert for _, alert in watch.alerts if alert.kind == "fault"]
    assert bool(watch.requests) == (kind == "drift" and not faults), "faults ask for no model"


def test_nothing_is_said_where_nothing_changes() -> None:
    assert watched(panes(WORLD, 150, 1)).told() == []


def test_all_slices_together_are_named_as_such() -> None:
    world = World(slices=40, rate=1.0, seed=22)
    watch = Watching(config_of(world), {"m": world.fitted[1]})
    watch.feed(panes(world, 30, 1))
    watch.feed(panes(world, 40, 2, dict.fromkeys(range(40), Change(shift=0.5)), first=30))
    first = watch.alerts[0][1]
    assert (first.slice, first.detector, first.blame[0].feature) == (TOGETHER, "location", "x0")
    assert first.summary.startswith("all slices together, x0: up by about")


def test_a_rule_may_leave_the_slices_together_alone() -> None:
    world = World(slices=40, rate=1.0, seed=22)
    rules = {"drift": RuleConfig(detectors=["location"], open=10_000.0, together=False)}
    config = msgspec.structs.replace(config_of(world), rules=rules)
    watch = Watching(config, {"m": world.fitted[1]})
    watch.feed(panes(world, 40, 2, dict.fromkeys(range(40), Change(shift=0.5))))
    assert TOGETHER not in {alert.slice for _, alert in watch.alerts}


def test_a_new_model_that_takes_the_change_for_normal_ends_the_alert_as_learned() -> None:
    """A world whose slices have moved; the new model's reference is of the moved one."""
    watch = Watching(CONFIG, {**REFERENCES, "n": World(slices=4, seed=33).fitted[1]})
    watch.feed(panes(WORLD, 20, 1))
    watch.feed(panes(WORLD, 15, 2, {1: Change(shift=2.0)}, first=20))
    assert [state for _, state, slice_, _ in watch.told() if slice_ == "s0001"] == ["open"]
    watch.feed(panes(World(slices=4, seed=33), 60, 3, first=35, model="n"))
    ends = [alert for _, alert in watch.alerts if alert.slice == "s0001" and alert.state != "open"]
    assert [alert.state for alert in ends] == ["learned"]
    assert ends[0].model_id == "n"
    assert ends[0].summary.startswith("s0001, x0: model n, trained since, takes it for normal (it was: up by about")
    assert "resolve" not in {alert.state for _, alert in watch.alerts}


def test_evidence_goes_on_over_a_swap() -> None:
    """Strange by both models: an alert opens earlier than by the new one's panes alone."""
    other, change = World(slices=4, seed=33), {1: Change(shift=1.0)}
    references = {**REFERENCES, "n": other.fitted[1]}
    both, alone = Watching(CONFIG, references), Watching(CONFIG, references)
    both.feed([*panes(WORLD, 4, 2, change), *panes(other, 30, 5, change, first=4, model="n")])
    alone.feed([*panes(WORLD, 4, 1), *panes(other, 30, 5, change, first=4, model="n")])
    assert both.told()[0][0] < alone.told()[0][0]


def test_a_slice_that_has_no_events_any_more_asks_for_no_model() -> None:
    """Its alert stays open, for nothing speaks against it."""
    retrain = msgspec.structs.replace(CONFIG.retrain, cooldown=Duration(12 * PANE_MS))
    spans = msgspec.structs.replace(CONFIG.windows, spans=[Duration(24 * PANE_MS)])
    watch = Watching(msgspec.structs.replace(CONFIG, retrain=retrain, windows=spans), REFERENCES)
    watch.feed(panes(WORLD, 20, 2, {1: Change(shift=2.0)}))
    first = len(watch.requests)
    watch.feed(panes(WORLD, 100, 3, {1: Change(rate=0.0)}, first=20))
    assert first >= 1
    assert {request.slices[0] for request in watch.requests} == {"s0001"}
    assert first < len(watch.requests) <= first + 3, "while its last events are in the windows, and no longer"
    assert ("resolve", "s0001") not in {(state, slice_) for _, state, slice_, _ in watch.told()}


def test_a_slice_that_is_called_like_all_slices_is_never_taken_for_them() -> None:
    names = {"s0001": TOGETHER}
    watch = Watching(CONFIG, REFERENCES)
    called = [
        msgspec.structs.replace(part, slices=[names.get(name, name) for name in part.slices])
        if isinstance(part, PaneBlock)
        else part
        for part in panes(WORLD, 30, 2, {1: Change(shift=2.0), 2: Change(shift=2.0)})
    ]
    watch.feed(called)
    assert {slice_ for _, _, slice_, _ in watch.told()} == {"s0002"}


def test_a_model_with_pairs_of_its_own_is_never_blamed_for_those_of_the_one_before() -> None:
    """Of many columns the channels of two models are about different pairs: what was found of one is over with it."""
    own, change = REFERENCES["m"], {1: Change(dependence=0.9)}
    order = np.roll(np.arange(len(own.pairs)), 1)
    pairs = {name: getattr(own, name)[..., order] for name in ("product", "product_se", "product_sd")}
    channels = np.concatenate([np.arange(2 * own.mean.shape[1]), 2 * own.mean.shape[1] + order])
    each = {name: getattr(own, name)[..., channels] for name in ("inflation", "all_inflation", "all_se")}
    other = replace(own, pairs=own.pairs[order], cumulants=own.cumulants[channels], **pairs, **each)
    watch = Watching(CONFIG, {"m": own, "n": other})
    place = WORLD.layout.columns["product"]
    after = WORLD.rows(WORLD.events(12, 3), 12)
    for rows in after:
        rows[:, place] = rows[:, place][:, order]
    watch.feed(panes(WORLD, 20, 2, change))
    watch.feed([part for n, rows in enumerate(after, 20) for part in (block(WORLD, n, rows, "n"), marker(n))])
    found = [alert for _, alert in watch.alerts if alert.detector == "dependence"]
    assert {(alert.slice, alert.state) for alert in found} == {("s0001", "open"), ("s0001", "learned")}
    assert all({blame.feature for blame in alert.blame} == {"x0", "x1"} for alert in found)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 100), st.integers(1, 60))
def test_batches_and_restarts_do_not_matter(at: int, size: int) -> None:
    messages = [*panes(WORLD, 12, 1), *panes(WORLD, 12, 2, {2: CHANGES["location"], 3: CHANGES["stuck"]}, first=12)]
    messages += panes(WORLD, 24, 3, first=24)
    whole, parts = Watching(CONFIG, REFERENCES), Watching(CONFIG, REFERENCES)
    whole.feed(messages)
    parts.feed(messages[:at], size)
    parts.state = WatchState.from_state(CONFIG, unpack(pack(parts.state.to_state())))
    parts.feed(messages[at:], size)
    assert parts.alerts == whole.alerts
    assert {state for _, state, *_ in whole.told()} >= {"open", "resolve"}
    assert pack(parts.state.to_state()) == pack(whole.state.to_state())


@pytest.mark.parametrize("most", [1, 7, 40])
def test_a_step_that_stops_half_way_comes_to_the_same(most: int) -> None:
    messages = [*panes(WORLD, 12, 1), marker(30), *panes(WORLD, 12, 2, {2: CHANGES["location"]}, first=40), marker(60)]
    whole, cut = Watching(CONFIG, REFERENCES), Watching(CONFIG, REFERENCES)
    cut.slice_panes_max = most
    expected, got = whole.feed(messages, 100), cut.feed(messages, 100)
    assert (got.messages, got.points) == (expected.messages, expected.points)
    assert pack(cut.state.to_state()) == pack(whole.state.to_state())
    assert expected.messages
    assert whole.steps == 1
    assert cut.steps > 4, "each of a few panes"


def test_something_else_that_comes_to_an_open_alert_is_told_at_once() -> None:
    messages = [*panes(WORLD, 10, 1), *panes(WORLD, 12, 2, {1: Change(shift=2.0)}, first=10)]
    messages += panes(WORLD, 20, 4, {1: Change(shift=2.0, varies=True)}, first=22)
    watch = watched(messages)
    of_slice = [(pane, alert) for pane, alert in watch.alerts if alert.slice == "s0001" and alert.kind == "drift"]
    assert of_slice[0][1].detector == "location"
    updates = [(pane, alert.detector) for pane, alert in of_slice if alert.state == "update"]
    assert any(pane >= 22 and detector == "variation" for pane, detector in updates)
    assert len({alert.id for _, alert in of_slice}) == 1, "one incident"


def test_slices_are_looked_up_once_and_those_that_come_later_too() -> None:
    known, reference = Known(0), REFERENCES["m"]
    assert known.rows("m", reference, ["s0003", "nobody"]).tolist() == [4, 0]
    assert known.rows("m", reference, ["s0003", "nobody", "s0000"]).tolist() == [4, 0, 1]
    assert known.rows("m", reference, ["s0003"])[:1].tolist() == [4]


def test_models_that_come_and_go_for_years_take_no_more_room() -> None:
    known, reference = Known(0), REFERENCES["m"]
    for n in range(3 * MODELS_MAX):
        assert known.rows(f"m{n}", reference, ["s0003"]).tolist() == [4]
    assert len(known._rows) == MODELS_MAX
    assert known.rows("m0", reference, ["s0000"]).tolist() == [1]


@pytest.mark.parametrize(("detectors", "kind"), [(["location", "scale"], Mixture), (["adwin"], PaneStatistic)])
def test_what_a_rule_remembers_depends_on_its_detectors(detectors: list[str], kind: type) -> None:
    rule = RuleConfig(detectors=detectors, open=1.0, resolve=0.5)  # type: ignore[arg-type]
    assert isinstance(rule_state(CONFIG, rule, WORLD.layout), kind)
