"""Rules over final panes: what WATCH sends of slices by name, under one model and over a swap, and of all together."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codecs import Partial, decode_evidence
from schemas.evidence import PaneEvidence
from stream_app.config import Config, RuleConfig
from stream_app.config.registries import DetectorName
from stream_app.stages.detection.detectors.simulated import CHANGES, PANE_MS, START_MS, Change, World
from stream_app.stages.detection.mixture import Mixture
from stream_app.stages.detection.pane_statistic import PaneStatistic
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch import sending
from stream_app.stages.watch.judging import MODELS_MAX, Known, rule_state
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import Watching, block, config_of, marker, panes

WORLD = World(slices=4, seed=21)
CONFIG = config_of(WORLD)
REFERENCES = {"m": WORLD.fitted[1]}


def watched(*partials: list[Partial], config: Config = CONFIG) -> Watching:
    watch = Watching(config, REFERENCES)
    for part in partials:
        watch.feed(part)
    return watch


@pytest.mark.parametrize(
    ("name", "rule", "detector"),
    [
        ("location", "drift", "location"),
        ("scale", "drift", "scale"),
        ("categories", "drift", "categories"),
        ("variation", "drift", "variation"),
        ("appearance", "drift", "variation"),
        ("missing", "fault", "missing"),
        ("stuck", "fault", "stuck"),
        ("silence", "fault", "silence"),
        ("volume", "fault", "volume"),
    ],
)
def test_a_change_is_found_on_its_slice(name: str, rule: str, detector: str) -> None:
    watch = watched(panes(WORLD, 30, 1), panes(WORLD, 25, 2, {2: CHANGES[name]}, first=30))
    words = [word for word in watch.words if word.rule == rule]
    assert {(word.slice_, word.model) for word in words} == {("s0002", "m")}
    assert words[0].detectors[0] == detector
    assert words[0].statistic >= 9_999.0
    assert [word.pane for word in words] == list(range(words[0].pane, 55)), "in every pane from then on"
    assert {27 <= (int(word.columns.since_ms[word.at]) - START_MS) // PANE_MS <= words[0].pane for word in words} == {
        True
    }


def test_nothing_is_said_where_nothing_changes_but_that_panes_are_closed() -> None:
    watch = watched(panes(WORLD, 150, 1))
    assert watch.words == []
    assert [closed.pane_end_ms for closed in watch.closed] == [START_MS + (k + 1) * PANE_MS for k in range(150)]
    assert {closed.service for closed in watch.closed} == {"m"}
    assert watch.closed[-1].slices == {"slice": 4}


def test_the_marker_has_the_sums_of_the_ordinary_slices_and_the_events() -> None:
    rows = WORLD.rows(WORLD.events(30, 2, {1: Change(shift=4.0)}), 30)
    watch = watched(panes(WORLD, 30, 2, {1: Change(shift=4.0)}))
    for number, (closed, of_pane) in enumerate(zip(watch.closed, rows, strict=True)):
        assert closed.events == WORLD.layout.get(of_pane, "seen").sum()
        (group,) = closed.groups
        assert (group.rule, group.slicing, group.model_id) == ("drift", "slice", "m")
        followed = {word.slice_ for word in watch.words if word.pane == number and word.rule == "drift"}
        chosen = [i for i, name in enumerate(WORLD.names) if name not in followed and of_pane[i, 0]]
        expected = WORLD.part(number, of_pane).sums(np.array(chosen))
        for name in ("events", "deviations", "unknown"):
            assert np.allclose(np.frombuffer(getattr(group, name), "<f8"), getattr(expected, name))
    assert watch.told()


def test_a_rule_may_leave_the_slices_together_alone() -> None:
    rules = {"drift": RuleConfig(detectors=["location"], together=False), "faults": RuleConfig(detectors=["missing"])}
    watch = watched(panes(WORLD, 5, 2), config=msgspec.structs.replace(CONFIG, rules=rules))
    assert [closed.groups for closed in watch.closed] == [[]] * 5


def test_a_new_model_that_takes_the_change_for_normal_ends_it() -> None:
    """A world whose slices have moved; the new model's reference is of the moved one."""
    watch = Watching(CONFIG, {**REFERENCES, "n": World(slices=4, seed=33).fitted[1]})
    watch.feed(panes(WORLD, 20, 1))
    watch.feed(panes(WORLD, 15, 2, {1: Change(shift=2.0)}, first=20))
    assert [(state, slice_) for _, state, slice_, _ in watch.told()] == [("found", "s0001")]
    watch.feed(panes(World(slices=4, seed=33), 60, 3, first=35, model="n"))
    assert [(state, slice_) for _, state, slice_, _ in watch.told()] == [("found", "s0001"), ("over", "s0001")]
    assert watch.words[-1].model == "n"


@pytest.mark.parametrize(("change", "rule"), [(Change(shift=1.0), "drift"), (Change(missing=0.1), "fault")])
def test_with_another_model_evidence_of_drift_begins_anew_and_that_of_faults_goes_on(change: Change, rule: str) -> None:
    """What a model takes for normal says nothing of what the next one does; a fault is one under any."""
    other = World(slices=4, seed=33)
    references = {**REFERENCES, "n": other.fitted[1]}
    both, alone = Watching(CONFIG, references), Watching(CONFIG, references)
    for watch, before in ((both, {1: change}), (alone, {})):
        watch.feed([*panes(WORLD, 6, 2, before), *panes(other, 40, 5, {1: change}, first=6, model="n")])
    first, second = (next(word.pane for word in watch.words if word.rule == rule) for watch in (both, alone))
    assert first == second if rule == "drift" else first < second


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
    assert [(state, slice_, detector) for _, state, slice_, detector in watch.told()] == [
        ("found", "s0001", "dependence"),
        ("over", "s0001", "dependence"),
    ]
    assert watch.told()[1][0] == 20, "with the first pane of the new model"


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
    assert repr(parts.words) == repr(whole.words)
    assert parts.closed == whole.closed
    assert {state for _, state, *_ in whole.told()} == {"found", "over"}
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


def test_what_comes_to_a_slice_that_is_followed_is_said_with_it() -> None:
    messages = [*panes(WORLD, 10, 1), *panes(WORLD, 12, 2, {1: Change(shift=2.0)}, first=10)]
    messages += panes(WORLD, 20, 4, {1: Change(shift=2.0, varies=True)}, first=22)
    of_slice = [word for word in watched(messages).words if word.slice_ == "s0001" and word.rule == "drift"]
    assert of_slice[0].detectors[0] == "location"
    assert {word.detectors[0] for word in of_slice if word.pane >= 30} == {"variation"}


@pytest.mark.parametrize("most", [1, 3])
def test_many_slices_are_said_in_messages_a_broker_takes(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SLICES_MAX", most)
    change = dict.fromkeys(range(4), Change(shift=3.0))
    watch, whole = Watching(CONFIG, REFERENCES), watched(panes(WORLD, 12, 2, change))
    out = watch.feed(panes(WORLD, 12, 2, change))
    records = [
        decode_evidence(m.value, dict(m.headers)) for m in out.messages if dict(m.headers)["kind"] == b"evidence"
    ]
    assert max(len(record.slices) for record in records if isinstance(record, PaneEvidence)) == most
    of_last = [record for record in records if record.pane_start_ms == records[-1].pane_start_ms]
    assert [record.index for record in of_last if isinstance(record, PaneEvidence)] == list(range(len(of_last)))
    place = attrgetter("pane", "rule", "slice_", "statistic", "remaining", "detectors")
    assert [place(word) for word in watch.words] == [place(word) for word in whole.words]


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
def test_what_a_rule_remembers_depends_on_its_detectors(detectors: list[DetectorName], kind: type) -> None:
    config = msgspec.structs.replace(CONFIG, rules={"r": RuleConfig(detectors=detectors)})
    assert isinstance(rule_state(config, "r", WORLD.layout), kind)
