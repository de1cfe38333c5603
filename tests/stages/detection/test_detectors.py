"""Detectors: every entry of ``DETECTORS`` passes the generic checks, which find what is wrong with others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowlib.table import Floats, Ints
from schemas.pane_layout import GROUPS, PaneLayout
from stream_app.config import Config
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS
from stream_app.stages.detection.detectors import DETECTORS, Detector, Evidence, Part, Said, group_evidence
from stream_app.stages.detection.detectors.checks import ENOUGH, MOVED, check_detector
from stream_app.stages.detection.detectors.counting import LEAST, MOST, bernoulli
from stream_app.stages.detection.detectors.location import LocationDetector
from stream_app.stages.detection.detectors.missing import MissingDetector
from stream_app.stages.detection.detectors.simulated import CHANGES, Change, World, with_events

FINDS = {
    "variation": ["variation", "appearance"],
    "location": ["location"],
    "scale": ["scale"],
    "dependence": ["dependence"],
    "likelihood": ["likelihood"],
    "categories": ["categories"],
    "unit": ["unit"],
    "missing": ["missing"],
    "stuck": ["stuck"],
    "intake": ["coerced"],
    "silence": ["silence"],
    "volume": ["volume", "silence"],
}
WORLD = World(slices=6, seed=3)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("d", [2, 5])
def test_it_passes_the_generic_checks(name: str, d: int) -> None:
    check_detector(DETECTORS[name], d, changes=FINDS[name])


def test_names_and_kinds_are_those_of_the_configuration() -> None:
    assert {name: detector.kind for name, detector in DETECTORS.items()} == {
        name: kind for name, kind in DETECTOR_KINDS.items() if name not in DETECTOR_OPTIONS
    }
    assert all(detector.name == name for name, detector in DETECTORS.items())


def evidence_of(name: str, change: Change, panes: int = 30, world: World = WORLD) -> tuple[Floats, Any]:
    """Sums of log e-values ``(slices, c, b)`` over panes that have changed, and the detector."""
    detector = DETECTORS[name](world.config, world.layout)
    total = np.zeros((world.slices, detector.channels, detector.bets))
    for part in world.parts(panes, 7, {MOVED: change}):
        part = part if detector.everywhere else with_events(part)
        got = detector.evidence(part)
        total[part.slices] += np.where(got.news[:, :, None], got.log_e, 0.0)
    return total, detector


def said(name: str, change: Change, world: World = WORLD) -> Said:
    """What a detector says of the slice that changed."""
    total, detector = evidence_of(name, change, world=world)
    channel = int(total[MOVED].max(axis=1).argmax())
    assert total[MOVED, channel].max() > 10
    assert np.delete(total, MOVED, axis=0).max() < 10
    odds = np.exp(total[MOVED, channel] - total[MOVED, channel].max())
    says: Said = detector.says(channel, odds / odds.sum(), world.fitted[1])
    return says


@pytest.mark.parametrize(
    ("name", "change", "columns", "direction", "measure", "words"),
    [
        ("location", Change(shift=1.0), ("x0",), "up", "mean", "higher than usual"),
        ("location", Change(shift=-1.0), ("x0",), "down", "mean", "lower than usual"),
        ("scale", Change(scale=2.0), ("x0",), "up", "spread", "spreads more"),
        ("scale", Change(scale=0.3), ("x0",), "down", "spread", "spreads less"),
        ("dependence", Change(dependence=0.8), ("x0", "x1"), "up", "", "in the same direction more"),
        ("dependence", Change(dependence=-0.8), ("x0", "x1"), "down", "", "in opposite directions more"),
        ("likelihood", Change(stranger=2.0), (), "up", "", "events are stranger"),
        ("categories", Change(unseen=0.2), ("c0",), "up", "share", "never seen before"),
        ("missing", Change(missing=0.2), ("x0",), "up", "share missing", "more values are missing"),
        ("stuck", Change(stuck=True), ("x0",), "", "mean", "its value does not change"),
        ("unit", Change(unit=1000.0), ("x0",), "", "mean", "far from all it ever had"),
        ("intake", Change(coerced=0.1), (), "up", "share", "read leniently"),
        ("silence", Change(rate=0.0), (), "down", "events a pane", "no events come"),
        ("volume", Change(rate=0.2), (), "down", "events a pane", "fewer events"),
        ("volume", Change(rate=3.0), (), "up", "events a pane", "more events"),
        ("variation", Change(varies=True), ("still",), "", "mean", "other values than the one"),
        ("variation", Change(appears=True), ("gone",), "", "mean", "which it never had"),
    ],
)
def test_a_planted_change_is_named(
    name: str, change: Change, columns: tuple[str, ...], direction: str, measure: str, words: str
) -> None:
    got = said(name, change)
    assert (got.features, got.direction, got.measure) == (columns, direction, measure)
    assert words in got.words
    assert "up or down" not in got.words


def test_values_are_told_by_how_frequent_they_are() -> None:
    """The reference knows counts of values, and no names."""
    detector = DETECTORS["categories"](WORLD.config, WORLD.layout)
    more = np.eye(detector.bets)[0]
    told = [detector.says(group, more, WORLD.fitted[1]).words for group in range(GROUPS)]
    assert told[0] == "its most frequent value comes more often than usual"
    assert told[6] == "its seventh most frequent value comes more often than usual"
    assert told[7:] == [
        "one of its rarer values comes more often than usual",
        "it has values that were never seen before",
    ]


@pytest.mark.parametrize(
    ("name", "change", "channel", "seen", "expected"),
    [
        ("location", Change(shift=1.0), 0, 1.0, 0.0),
        ("scale", Change(scale=2.0), 0, 4.0, 1.0),
        ("missing", Change(missing=0.3), 0, 0.3, 0.0),
        ("categories", Change(unseen=0.4), GROUPS - 1, 0.4, 0.0),
        ("intake", Change(coerced=0.3), 2, 0.3, 0.01),
        ("volume", Change(rate=0.25), 0, 5.0, 20.0),
        ("silence", Change(rate=0.0), 0, 0.0, 20.0),
    ],
)
def test_its_figures_add_up_to_what_was_seen_and_what_is_usual(
    name: str, change: Change, channel: int, seen: float, expected: float
) -> None:
    world, total = World(slices=3, rate=20.0, seed=3), np.zeros(3)
    detector, sd = DETECTORS[name](world.config, world.layout), list[float]()
    for part in world.parts(60, 7, {MOVED: change}):
        n, *sums, spread = detector.figures(part, np.array([MOVED]), np.array([channel]))[0].tolist()
        total += [n, *sums]
        sd.append(spread)
    assert total[1] / total[0] == pytest.approx(seen, rel=0.25, abs=0.02)
    assert total[2] / total[0] == pytest.approx(expected, rel=0.15, abs=0.05)
    assert min(sd) >= 0


def test_where_nothing_is_usual_there_are_no_figures() -> None:
    part = WORLD.parts(1, 3)[0]
    unknown = replace(part, known=0 * part.known)
    for name, of in (("volume", unknown), ("silence", unknown), ("likelihood", part), ("dependence", part)):
        detector = DETECTORS[name](WORLD.config, WORLD.layout)
        assert np.isnan(detector.figures(of, np.array([1]), np.array([0]))).all()


@pytest.mark.parametrize(("column", "words"), [("late", "come late"), ("unscorable", "cannot be scored")])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 1.0])
def test_events_that_come_to_nothing_are_evidence_beyond_the_share_that_is_tolerated(
    column: str, words: str, share: float
) -> None:
    detector = DETECTORS["intake"](WORLD.config, WORLD.layout)
    rows = WORLD.layout.blank(1)
    rows[0, WORLD.layout.columns["seen"]] = round(1_000 * (1 - share))
    rows[0, WORLD.layout.columns[column]] = round(1_000 * share)
    got = detector.evidence(WORLD.part(0, np.repeat(rows, WORLD.slices, axis=0)))
    assert got.news.all()
    channel, bet = np.unravel_index(int(got.log_e[0].argmax()), got.log_e[0].shape)
    assert (got.log_e[0, channel, bet] > 0) == (share > 0.01)
    if share > 0.01:
        assert words in detector.says(int(channel), np.ones(detector.bets) / detector.bets, WORLD.fitted[1]).words


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_size_of_a_shift_is_about_right(shift: float) -> None:
    total, detector = evidence_of("location", Change(shift=shift), world=World(slices=6, rate=20, seed=3))
    assert detector.size(np.exp(total[MOVED, 0] - total[MOVED, 0].max())) == pytest.approx(shift, rel=0.6)


@pytest.mark.parametrize(("column", "name"), [(3, "still"), (4, "gone")])
def test_columns_that_never_vary_are_watched_for_nothing_else(column: int, name: str) -> None:
    """A constant column is not stuck, one that was never there is not missing, and neither has a location."""
    assert WORLD.config.event.numeric[column] == name
    for detector in ("location", "scale", "stuck", "missing"):
        total, _ = evidence_of(detector, CHANGES["location"], 200)
        assert total[:, column].max() <= 0, detector


def test_a_change_of_the_zone_that_nobody_minds_is_no_evidence() -> None:
    total, _ = evidence_of("location", Change(shift=0.08), 400)
    assert total[MOVED].max() < 5


def of_group(detector: Detector, part: Part, chosen: Ints) -> Evidence:
    """Evidence of some slices together."""
    return detector.together(group_evidence(part.reference, part.sums(chosen)), part.reference, 0)


def test_sums_of_slices_add_up_over_partitions() -> None:
    """Whichever partition a slice is on, the evidence of all together is the same."""
    world = World(slices=12, seed=5, differ=True)
    part = with_events(world.parts(1, 8)[0])
    whole, halves = part.sums(np.arange(len(part.rows))), [part.sums(np.arange(k, len(part.rows), 2)) for k in (0, 1)]
    for name in ("events", "deviations", "unknown"):
        assert np.allclose(getattr(whole, name), sum(getattr(half, name) for half in halves))
    (of_pane,) = part.sums_of_panes()
    assert of_pane is not None
    assert np.allclose(of_pane.deviations, whole.deviations)


def test_all_slices_together_show_what_none_shows_alone() -> None:
    world = World(slices=40, rate=3.0, seed=5)
    group = np.zeros(0)
    detector = LocationDetector(world.config, world.layout)
    total = np.zeros((world.slices, detector.channels, detector.bets))
    for part in world.parts(25, 8, {i: Change(shift=0.4) for i in range(world.slices)}):
        part = with_events(part)
        total[part.slices] += detector.evidence(part).log_e
        of_pane = of_group(detector, part, np.arange(len(part.slices))).log_e
        group = group + of_pane if len(group) else of_pane
    alone = total.max()
    assert np.max(group) > 20 > alone
    assert np.unravel_index(int(np.argmax(group)), np.shape(group))[1] == 0, "x0"


@pytest.mark.parametrize("seed", range(5, 9))
def test_slices_that_are_not_known_say_little_of_all_together(seed: int) -> None:
    """Those that come are not those of the reference: that they are as they are is no change of any of them."""
    world = World(slices=24, differ=True, seed=seed)
    detector, total = LocationDetector(world.config, world.layout), np.zeros((5, 8))
    for part in world.parts(60, 3):
        strangers = Part(part.layout, part.start_ms, part.reference, 0 * part.known, part.slices, part.rows)
        group = of_group(detector, strangers, np.flatnonzero(part.slices < 4))
        total = np.maximum(total, 0.0) + group.log_e[0]
    assert total.max() < ENOUGH


@pytest.mark.parametrize("odds", [3.0, 10.0, 40.0])
def test_runs_of_any_length_are_no_evidence(odds: float) -> None:
    """Outages of geometric length: with twice their mean length for variance ratio, each odds has the mean one."""
    rng = np.random.default_rng(2)
    begins, length = rng.random(400_000) < 0.0005, rng.geometric(1 / 30, 400_000)
    hits = np.where(begins, length, 0).astype(np.float64)
    ones = np.ones(len(hits))
    log_e = bernoulli(hits, ones, 0.02 * ones, np.array([odds]), 60.0 * ones)[:, 0]
    assert np.exp(log_e).mean() < 1.0
    assert np.exp(bernoulli(hits, ones, 0.02 * ones, np.array([40.0]), 12.0 * ones)).mean() > 1.0, "too small a ratio"


def test_a_share_of_all_or_nothing_is_not_bet_on() -> None:
    hits, trials, ones = np.array([5.0] * 4), np.array([5.0] * 4), np.ones(4)
    log_e = bernoulli(hits, trials, np.array([0.0, LEAST, MOST, 1.0]), np.array([3.0, 0.3]), ones)
    assert log_e.max() <= -100
    inside = bernoulli(hits, trials, np.array([0.01, 0.1, 0.5, 0.9]), np.array([3.0]), ones)
    assert (inside > 0).all()


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("odds", [0.25, 1.5, 40.0])
def test_a_likelihood_ratio_has_the_mean_one(share: float, odds: float) -> None:
    """Exactly, over the binomial distribution of five trials."""
    from scipy.stats import binom

    hits = np.arange(6.0)
    log_e = bernoulli(hits, np.full(6, 5.0), np.full(6, share), np.array([odds]), np.ones(6))[:, 0]
    assert (binom.pmf(hits, 5, share) * np.exp(log_e)).sum() == pytest.approx(1.0)


def test_a_column_that_is_always_missing_raises_nothing_however_long() -> None:
    detector = MissingDetector(WORLD.config, WORLD.layout)
    gone = WORLD.config.event.numeric.index("gone")
    for part in WORLD.parts(50, 3):
        assert detector.evidence(with_events(part)).log_e[:, gone].max() < -100


def test_without_columns_of_its_kind_a_detector_has_no_channel() -> None:
    config: Config = World(k=0).config
    assert DETECTORS["categories"](config, PaneLayout(5, 0)).channels == 0
    one = World(d=1, k=0)
    assert DETECTORS["dependence"](one.config, PaneLayout(1, 0)).channels == 0
