"""Evidence of a rule: kept in steps, restored, ended by evidence alone; two models' evidence adds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Floats
from stream_app.config import Config, RuleConfig
from stream_app.stages.detection.detectors import DETECTORS, Part
from stream_app.stages.detection.detectors.simulated import CHANGES, Change, World, some, with_events
from stream_app.stages.detection.mixture import Mixture, Said
from stream_app.stages.detection.peaks import STEPS
from stream_app.stages.snapshot import pack, unpack
from tests.stages.watch.blocks import DRIFT, FAULT

WORLD = World(slices=5, seed=11)
MOVED = 1


def mixture(
    detectors: list[Any] = DRIFT, world: World = WORLD, open_: float = 1_000.0, resolve: float = 0.01
) -> Mixture:
    return Mixture(world.config, RuleConfig(detectors=detectors, open=open_, resolve=resolve), world.layout)


def take(of: Mixture, parts: list[Part], everywhere: list[Part], slices: int, grouped: bool) -> None:
    """Let it take in all that is given."""
    for _ in of.update(parts, everywhere, slices, grouped):
        pass


def feed(of: Mixture, parts: list[Part], grouped: bool = True) -> list[Floats]:
    """Statistics after each pane."""
    out = []
    for part in parts:
        take(of, [with_events(part)], [part], len(part.slices), grouped)
        out.append(of.statistics())
        of.settle({})
    return out


def test_the_weights_of_a_rule_are_shares_of_one() -> None:
    for detectors in (DRIFT, FAULT, ["location"], ["missing", "silence"]):
        made = mixture(detectors)
        assert made._weights.sum() == pytest.approx(1.0)
        assert (made._weights > 0).all()


def test_detectors_without_channels_have_no_weight() -> None:
    plain = World(k=0)
    made = mixture(DRIFT, plain)
    assert "categories" not in {detector.name for detector in made.detectors}
    assert made._weights.sum() == pytest.approx(1.0)


LOG_E = st.lists(st.floats(-30, 20, allow_nan=False), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(LOG_E)
def test_what_is_kept_is_never_above_what_it_stands_for(log_e: list[float]) -> None:
    """R ← (1 + R)·e exactly, and as it is kept."""
    made = mixture(["location"], World(d=1, k=0, slices=1, panes=12))
    made._grow(2)
    exact, at = 0.0, np.array([1])
    detector = made.detectors[0]
    for value in log_e:
        exact = np.logaddexp(0.0, exact + value)
        given_ = np.full((1, detector.channels, detector.bets), value)
        made._add(0, at, given_.reshape(1, -1), np.ones((1, detector.channels * detector.bets), dtype=bool))
        kept = made._steps[1] / STEPS
        assert (kept <= exact + 1e-9).all()
    assert (kept >= min(exact, 511.0) - len(log_e) / STEPS).all(), "and not far below"


def test_what_brings_no_news_changes_nothing() -> None:
    made = mixture()
    feed(made, WORLD.parts(10, 1))
    before = made._steps.copy()
    part = WORLD.parts(1, 2)[0]
    take(made, [replace(part, rows=part.layout.blank(5))], [], 5, True)
    assert np.array_equal(made._steps, before)


def test_a_slice_has_the_same_statistic_whoever_is_beside_it() -> None:
    together, alone = mixture(), mixture()
    parts = WORLD.parts(30, 3, {MOVED: CHANGES["location"]})
    expected = [statistics[1 + MOVED] for statistics in feed(together, parts, False)]
    got = []
    for part in parts:
        take(alone, [some(with_events(part), with_events(part).slices == MOVED)], [], 5, False)
        got.append(alone.statistics()[1 + MOVED])
        alone.settle({})
    assert got == expected


@pytest.mark.parametrize("detectors", [DRIFT, FAULT])
@pytest.mark.parametrize("cut", [0, 3, 12, 25])
def test_restored_it_goes_on_the_same(detectors: list[str], cut: int) -> None:
    parts = [*WORLD.parts(8, 4), *WORLD.parts(12, 5, {MOVED: CHANGES["missing"]}), *WORLD.parts(15, 6)]
    whole, first, second = (mixture(detectors) for _ in range(3))
    expected = feed(whole, parts)
    feed(first, parts[:cut])
    second.restore(unpack(pack(first.to_state())))
    assert np.array_equal(second.statistics(), first.statistics())
    for i in range(6 if cut else 0):
        assert second.causes(i) == first.causes(i)
    got = feed(second, parts[cut:])
    assert all(np.array_equal(a, b) for a, b in zip(got, expected[cut:], strict=True))
    assert pack(second.to_state()) == pack(whole.to_state())


def figures(said: Said | None) -> tuple[float, float] | None:
    return None if said is None else (said.statistic, said.remaining)


def settled(of: Mixture, parts: list[Part]) -> list[tuple[float, float] | None]:
    """What is said of the slice that moves, pane by pane."""
    said = []
    for part in parts:
        take(of, [with_events(part)], [part], len(part.slices), False)
        said.append(figures(of.settle({}).get(1 + MOVED)))
    return said


@pytest.mark.parametrize("name", ["location", "scale", "missing", "categories", "stuck", "variation"])
def test_an_alert_lasts_while_the_change_does_and_ends_by_evidence(name: str) -> None:
    made = mixture(FAULT if name in FAULT else DRIFT)
    changed = settled(made, WORLD.parts(120, 7, {MOVED: CHANGES[name]}))
    first = next(k for k, said in enumerate(changed) if said)
    assert first <= 10
    assert all(said is not None and said[1] >= 0.01 for said in changed[first:]), "open as long as it lasts"
    after = settled(made, WORLD.parts(120, 8))
    over = next(k for k, said in enumerate(after) if said is not None and said[1] < 0.01)
    assert all(said is not None and said[1] >= 0.01 for said in after[:over])
    assert all(said is None for said in after[over + 1 :]), "its evidence begins anew"
    assert 0 <= over < 60


@pytest.mark.parametrize(("name", "smaller"), [("location", Change(shift=0.75)), ("scale", Change(scale=1.6))])
def test_a_change_that_becomes_smaller_is_not_over(name: str, smaller: Change) -> None:
    """The bet that found it falls, one on less rises."""
    made = mixture(DRIFT)
    assert settled(made, WORLD.parts(60, 7, {MOVED: CHANGES[name]}))[-1] is not None
    assert all(said is not None and said[1] >= 0.01 for said in settled(made, WORLD.parts(150, 8, {MOVED: smaller})))
    after = settled(made, WORLD.parts(100, 9))
    assert next(k for k, said in enumerate(after) if said is not None and said[1] < 0.01) < 60


def test_without_events_an_alert_ends_neither_by_forgetting_nor_by_time() -> None:
    made = mixture()
    opened = settled(made, WORLD.parts(20, 7, {MOVED: CHANGES["location"]}))[-1]
    assert opened is not None
    silent = [some(part, part.slices != MOVED) for part in WORLD.parts(200, 9)]
    for part in silent:
        take(made, [with_events(part)], [], 5, False)
        said = made.settle({})
    assert figures(said[1 + MOVED]) == opened


def test_what_has_no_large_cause_opens_too() -> None:
    """A wide stream in which every column moves a little: no single bet has a hundredth of the evidence."""
    world = World(d=40, k=0, slices=1, rate=6, panes=60)
    made, rng = mixture(["location"], world, 1_000.0), np.random.default_rng(0)
    detector = made.detectors[0]
    made._grow(2)
    log_r = np.log1p(1_000.0 * (1.0 + 0.2 * rng.random((detector.channels, detector.bets))))
    made._steps[1] = (log_r * STEPS).astype(np.uint16).reshape(-1)
    made._look(np.array([1]))
    assert made._weights.max() < 0.01
    ((number, said),) = made.settle({}).items()
    assert number == 1
    assert said.statistic >= 1_000
    assert said.remaining >= 20.0, "it is not over before it began"


def test_the_simplest_explanation_is_named_first() -> None:
    """A shift of one column moves the likelihood, the scale and the products as well."""
    made = mixture()
    settled(made, WORLD.parts(30, 7, {MOVED: CHANGES["location"]}))
    causes = made.causes(1 + MOVED)
    assert (causes[0].detector, causes[0].features) == ("location", ("x0",))
    assert len({cause.detector for cause in causes}) > 1
    assert [cause.weight for cause in causes[1:]] == sorted((cause.weight for cause in causes[1:]), reverse=True)
    assert all(cause.weight > 0 for cause in causes)
    assert made.causes(1) == [] or made.causes(1)[0].weight < 5


@pytest.mark.parametrize(
    ("change", "rule", "detector", "features"),
    [
        (Change(shift=2.0), DRIFT, "location", ("x0",)),
        (Change(scale=2.5), DRIFT, "scale", ("x0",)),
        (Change(dependence=0.9), DRIFT, "dependence", ("x0", "x1")),
        (Change(stranger=3.0), DRIFT, "likelihood", ()),
        (Change(unseen=0.3), DRIFT, "categories", ("c0",)),
        (Change(varies=True), DRIFT, "variation", ("still",)),
        (Change(appears=True), DRIFT, "variation", ("gone",)),
        (Change(missing=0.3), FAULT, "missing", ("x0",)),
        (Change(stuck=True), FAULT, "stuck", ("x0",)),
        (Change(rate=0.0), FAULT, "silence", ()),
        (Change(rate=0.3), FAULT, "volume", ()),
    ],
)
def test_each_change_is_named_by_its_kind(
    change: Change, rule: list[str], detector: str, features: tuple[str, ...]
) -> None:
    made = mixture(rule)
    for part in [*WORLD.parts(30, 12), *WORLD.parts(60, 13, {MOVED: change})]:
        take(made, [with_events(part)], [part], 5, False)
    assert int(made.statistics().argmax()) == 1 + MOVED
    cause = made.causes(1 + MOVED)[0]
    assert (cause.detector, cause.features) == (detector, features)


def test_all_slices_together_are_seen_where_none_is_alone() -> None:
    world = World(slices=40, rate=1.0, seed=5)
    made = mixture(DRIFT, world)
    statistics = feed(made, world.parts(30, 8, {i: Change(shift=0.6) for i in range(40)}))
    assert statistics[-1][0] > 1_000 > statistics[-1][1:].max()
    assert made.causes(0)[0].features == ("x0",)


def test_what_an_open_alert_speaks_of_is_not_found_again_in_the_group() -> None:
    made = mixture()
    statistics = feed(made, WORLD.parts(60, 7, {MOVED: Change(shift=6.0)}))
    first = next(k for k, of_pane in enumerate(statistics) if of_pane[1 + MOVED] >= 1_000)
    assert first < 3
    assert all(of_pane[0] < 1_000 for of_pane in statistics[first + 1 :])


def test_rules_beside_each_other_choose_their_own_slices_of_the_group() -> None:
    """One rule has an open alert on a slice, another one has not: the group of each leaves out its own."""
    parts = WORLD.parts(10, 7, {MOVED: Change(shift=3.0)})
    alone = feed(mixture(open_=1e12), parts)
    eager, patient = mixture(open_=50.0), mixture(open_=1e12)
    beside = []
    for part in WORLD.parts(10, 7, {MOVED: Change(shift=3.0)}):
        given_ = [with_events(part)]
        take(eager, given_, [part], 5, True)
        take(patient, given_, [part], 5, True)
        beside.append(patient.statistics())
        eager.settle({})
        patient.settle({})
    assert np.array_equal(beside, alone)


def test_evidence_of_two_models_adds_each_against_its_own_reference() -> None:
    """The old model's world is shifted, the new one was trained on the shift: by it nothing is strange any more."""
    old, new = WORLD, World(slices=5, seed=12)
    made = mixture()
    settled(made, old.parts(6, 7, {MOVED: Change(shift=1.0)}))
    reached = made.statistics()[1 + MOVED]
    assert reached > 10
    still = settled(made, new.parts(6, 8, {MOVED: Change(shift=1.0)}))
    assert made.statistics()[1 + MOVED] > 10 * reached, "strange by both: it goes on from where it was"
    assert any(still)
    after = settled(made, new.parts(60, 9))
    assert any(said is not None and said[1] < 0.01 for said in after), "ordinary by the new one: it is over"


def test_a_rule_of_one_config_has_room_for_any_number_of_slices() -> None:
    config: Config = msgspec.structs.replace(WORLD.config)
    made = Mixture(config, RuleConfig(detectors=["location"]), WORLD.layout)
    for m in (1, 7, 300):
        take(made, [], [], m, True)
        assert made.statistics().shape == (m + 1,)
        assert made.slices == m


def test_the_state_of_a_slice_is_small() -> None:
    for d, most in ((8, 2_000), (32, 8_000)):
        world = World(d=d, k=1, slices=1, panes=12)
        sizes = [mixture(rule, world)._steps.nbytes for rule in (DRIFT, FAULT)]
        assert sum(sizes) <= most, f"{sizes} bytes of evidence at d = {d}"


def test_the_detectors_are_in_the_order_of_the_registry() -> None:
    shuffled = list(reversed(DRIFT))
    assert [d.name for d in mixture(shuffled).detectors] == [name for name in DETECTORS if name in DRIFT]
