"""Evidence of a rule: kept in steps, restored, ended by evidence alone; two models' evidence adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.stages.detection.detectors import DETECTORS, Evidence
from stream_app.stages.detection.detectors.simulated import CHANGES, PANE_MS, Change, World, some, with_events
from stream_app.stages.detection.peaks import STEPS
from stream_app.stages.detection.tables import Given
from stream_app.stages.snapshot import pack, unpack
from tests.stages.detection.mixtures import MOVED, WORLD, features, feed, mixture, settled, take, word
from tests.stages.watch.blocks import DRIFT, FAULT


def of_one(evidence: list[Evidence]) -> Given:
    """Evidence of slice 0 in a pane."""
    return Given(0, True, np.array([0]), np.array([0, 1]), evidence)


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
    made._table.grow(1)
    exact, detector = 0.0, made.detectors[0]
    for value in log_e:
        exact = np.logaddexp(0.0, exact + value)
        of_all = np.full((1, detector.channels, detector.bets), value)
        made._walk([of_one([Evidence(of_all, np.ones((1, detector.channels), dtype=bool))])], np.array([1]), 0, 1)
        kept = made._table.steps[0] / STEPS
        assert (kept <= exact + 1e-9).all()
    assert (kept >= min(exact, 511.0) - len(log_e) / STEPS).all(), "and not far below"


def test_what_brings_no_news_changes_nothing() -> None:
    made = mixture()
    feed(made, WORLD.parts(10, 1))
    before = made._table.steps.copy()
    part = WORLD.parts(1, 2)[0]
    take(made, [replace(part, rows=part.layout.blank(5))], [], 5)
    assert np.array_equal(made._table.steps, before)


def test_a_slice_has_the_same_statistic_whoever_is_beside_it() -> None:
    together, alone = mixture(), mixture()
    parts = WORLD.parts(30, 3, {MOVED: CHANGES["location"]})
    expected = [statistics[MOVED] for statistics in feed(together, parts)]
    got = []
    for part in parts:
        take(alone, [some(with_events(part), with_events(part).slices == MOVED)], [], 5)
        got.append(alone.statistics()[MOVED])
        alone.settle()
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
    assert np.array_equal(second.followed, first.followed)
    got = feed(second, parts[cut:])
    assert all(np.array_equal(a, b) for a, b in zip(got, expected[cut:], strict=True))
    assert pack(second.to_state()) == pack(whole.to_state())


@pytest.mark.parametrize("name", ["location", "scale", "missing", "categories", "stuck", "variation"])
def test_it_lasts_while_the_change_does_and_ends_by_evidence(name: str) -> None:
    made = mixture(FAULT if name in FAULT else DRIFT)
    changed = settled(made, WORLD.parts(120, 7, {MOVED: CHANGES[name]}))
    first = next(k for k, said in enumerate(changed) if said)
    assert first <= 10
    assert all(said is not None and said.remaining >= 1e-5 for said in changed[first:]), "open as long as it lasts"
    after = settled(made, WORLD.parts(120, 8))
    over = next(k for k, said in enumerate(after) if said is not None and said.remaining < 1e-5)
    assert all(said is not None and said.remaining >= 1e-5 for said in after[:over])
    assert all(said is None for said in after[over + 1 :]), "its evidence begins anew"
    assert 0 <= over < 60


@pytest.mark.parametrize(("name", "smaller"), [("location", Change(shift=0.75)), ("scale", Change(scale=1.6))])
def test_a_change_that_becomes_smaller_is_not_over(name: str, smaller: Change) -> None:
    """The bet that found it falls, one on less rises."""
    made = mixture(DRIFT)
    assert settled(made, WORLD.parts(60, 7, {MOVED: CHANGES[name]}))[-1] is not None
    assert all(
        said is not None and said.remaining >= 1e-5 for said in settled(made, WORLD.parts(150, 8, {MOVED: smaller}))
    )
    after = settled(made, WORLD.parts(100, 9))
    assert next(k for k, said in enumerate(after) if said is not None and said.remaining < 1e-5) < 60


def test_without_events_it_ends_neither_by_forgetting_nor_by_time() -> None:
    made = mixture()
    opened = settled(made, WORLD.parts(20, 7, {MOVED: CHANGES["location"]}))[-1]
    assert opened is not None
    silent = [some(part, part.slices != MOVED) for part in WORLD.parts(200, 9)]
    for part in silent:
        take(made, [with_events(part)], [], 5)
        said = word(made.settle(), MOVED)
    assert said is not None
    assert (said.statistic, said.remaining) == (opened.statistic, opened.remaining)
    assert (said.events, opened.events > 0) == (0, True)
    assert np.isnan(said.figures).all(), "it has no events"


def test_what_has_no_large_cause_opens_too() -> None:
    """A wide stream in which every column moves a little: no single bet has a hundredth of the evidence."""
    world = World(d=40, k=0, slices=1, rate=6, panes=60)
    made, rng = mixture(["location"], world, 1_000.0), np.random.default_rng(0)
    detector = made.detectors[0]
    made._table.grow(1)
    log_r = np.log1p(1_000.0 * (1.0 + 0.2 * rng.random((detector.channels, detector.bets))))
    made._table.steps[0] = (log_r * STEPS).astype(np.uint16).reshape(-1)
    made._look(of_one([]), 0)
    assert made._weights.max() < 0.01
    said = word(made.settle(), 0)
    assert said is not None
    assert said.statistic >= 1_000
    assert said.remaining >= 0.02, "it is not over before it began"


def test_the_simplest_explanation_is_named_first() -> None:
    """A shift of one column moves the likelihood, the scale and the products as well."""
    made = mixture()
    said = settled(made, WORLD.parts(30, 7, {MOVED: CHANGES["location"]}))[-1]
    assert said is not None
    assert (said.detectors[0], features(made, said)) == ("location", ("x0",))
    assert len({*said.detectors}) > 1
    assert said.weights[1:] == sorted(said.weights[1:], reverse=True)
    assert all(weight > 0 for weight in said.weights)
    assert np.allclose(said.odds.sum(axis=1), 1.0)


def test_it_says_since_when_nothing_spoke_against_a_change() -> None:
    made = mixture()
    parts = [*WORLD.parts(30, 3), *WORLD.parts(20, 7, {MOVED: CHANGES["location"]}, 30)]
    (first, *_), end_ms = [said for said in settled(made, parts) if said], int(parts[29].start_ms[0]) + PANE_MS
    assert first is not None
    assert abs(first.since_ms - end_ms) <= 2 * PANE_MS


def test_slices_that_leave_take_their_evidence_along() -> None:
    parts = [*WORLD.parts(10, 4), *WORLD.parts(30, 5, {MOVED: CHANGES["location"], 3: CHANGES["scale"]})]
    whole, kept, stay = mixture(), mixture(), np.array([1, 3, 4])
    feed(whole, parts[:25])
    feed(kept, parts[:25])
    assert {*whole.followed.tolist()} == {1, 3}
    kept.keep(stay)
    assert kept.followed.tolist() == [0, 1]
    for part in parts[25:]:
        own = with_events(some(part, stay))
        renumbered = replace(own, slices=np.searchsorted(stay, own.slices))
        take(whole, [own], [], 5)
        take(kept, [renumbered], [], 3)
        assert np.array_equal(whole.statistics()[stay], kept.statistics())
        for a, b in zip((whole.settle(),), (kept.settle(),), strict=True):
            assert np.array_equal(np.searchsorted(stay, a.numbers), b.numbers)
            assert a.columns.encode() == b.columns.encode()
    before = kept.statistics()
    take(kept, [], [], 4)
    assert np.array_equal(kept.statistics(), [*before, 0.0]), "a place that was given back is empty"


def test_many_are_said_the_same_of_as_one() -> None:
    """Twenty slices with changes of all kinds at once, and each alone."""
    world = World(slices=20, seed=4)
    kinds = ["location", "scale", "dependence", "categories", "variation"]
    changes = {i: CHANGES[kinds[i % 5]] for i in range(20)}
    many = mixture(DRIFT, world)
    alone = [mixture(DRIFT, world) for _ in range(20)]
    for part in world.parts(12, 6, changes):
        take(many, [with_events(part)], [], 20)
        for i, one in enumerate(alone):
            take(one, [some(with_events(part), with_events(part).slices == i)], [], 20)
        found, single = many.settle(), [one.settle() for one in alone]
        for i in range(20):
            a, b = word(found, i), word(single[i], i)
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                assert repr(a) == repr(b)
    assert len(many.followed) > 10


@pytest.mark.parametrize(
    ("change", "rule", "detector", "columns"),
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
    change: Change, rule: list[str], detector: str, columns: tuple[str, ...]
) -> None:
    made = mixture(rule)
    said = settled(made, [*WORLD.parts(30, 12), *WORLD.parts(60, 13, {MOVED: change})])[-1]
    assert said is not None
    assert (said.detectors[0], features(made, said)) == (detector, columns)


def test_evidence_of_two_models_adds_each_against_its_own_reference() -> None:
    """The old model's world is shifted, the new one was trained on the shift: by it nothing is strange any more."""
    old, new = WORLD, World(slices=5, seed=12)
    made = mixture()
    settled(made, old.parts(6, 7, {MOVED: Change(shift=1.0)}))
    reached = made.statistics()[MOVED]
    assert reached > 10
    still = settled(made, new.parts(6, 8, {MOVED: Change(shift=1.0)}))
    assert made.statistics()[MOVED] > 10 * reached, "strange by both: it goes on from where it was"
    assert any(still)
    after = settled(made, new.parts(60, 9))
    assert any(said is not None and said.remaining < 1e-5 for said in after), "ordinary by the new one: it is over"


def test_there_is_room_for_any_number_of_slices() -> None:
    made = mixture(["location"])
    for m in (1, 7, 300):
        take(made, [], [], m)
        assert made.statistics().shape == (m,)
        assert made.slices == m


def test_the_state_of_a_slice_is_small() -> None:
    for d, most in ((8, 2_000), (32, 8_000)):
        world = World(d=d, k=1, slices=1, panes=12)
        sizes = [mixture(rule, world)._table.steps.nbytes for rule in (DRIFT, FAULT)]
        assert sum(sizes) <= most, f"{sizes} bytes of evidence at d = {d}"


def test_the_detectors_are_in_the_order_of_the_registry() -> None:
    shuffled = list(reversed(DRIFT))
    assert [d.name for d in mixture(shuffled).detectors] == [name for name in DETECTORS if name in DRIFT]


def test_a_pane_of_many_slices_is_gone_through_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors that remember slices, and both kinds of them, see no difference."""
    world, states = World(slices=40, rate=3.0, seed=6), []
    for bets in (1 << 30, 2_000):
        monkeypatch.setattr("stream_app.stages.detection.mixture._TOGETHER", bets)
        of = mixture(["location", "stuck", "silence", "volume"], world)
        for part in world.parts(12, 8):
            take(of, [with_events(part)], [part], 40)
        states.append(pack([of.to_state(), of.statistics()]))
    assert states[0] == states[1]
