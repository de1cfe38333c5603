"""Detectors: every entry of ``DETECTORS`` passes the generic checks, which find what is wrong with others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.table import Bools, Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS
from stream_app.stages.detection.detectors import DETECTORS, Evidence, Part
from stream_app.stages.detection.detectors.checks import ENOUGH, MOVED, check_detector
from stream_app.stages.detection.detectors.counting import LEAST, MOST, bernoulli
from stream_app.stages.detection.detectors.location import LocationDetector
from stream_app.stages.detection.detectors.missing import MissingDetector
from stream_app.stages.detection.detectors.simulated import CHANGES, Change, World, some, with_events
from stream_app.stages.detection.detectors.stuck import StuckDetector

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


class Loud(LocationDetector):
    """Promises too much: the mean of its e-values is above 1."""

    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e + 1.0, got.news)


class Hopeful(LocationDetector):
    """Leaves what one event may do on average out of the account."""

    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        n = part.deviations[0][:, self.place, None]
        return Evidence(got.log_e + 0.05 * n, got.news)


class Deaf(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(-np.abs(got.log_e), got.news)


class NotFinite(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e - np.inf, got.news)


class Flat(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e[:, 0], got.news)


class Restless(LocationDetector):
    """Has news of slices without events."""

    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e, np.ones_like(got.news))


class Neighbours(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e - 0.001 * len(got.log_e), got.news)


class Forgetful(StuckDetector):
    def to_state(self) -> Any:
        return np.zeros((0, self.channels), dtype=np.int64)


class Mute(LocationDetector):
    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        return (), ""


class Misnaming(LocationDetector):
    def says(self, channel: int, odds: Floats) -> tuple[tuple[str, ...], str]:
        return ("pressure",), "location: up"


class Crowd(LocationDetector):
    """Has news of a group of nobody."""

    def together(self, part: Part, chosen: Bools) -> Evidence | None:
        return super().together(part, np.ones_like(chosen))


class Bystander(LocationDetector):
    """Blames every slice for what one of them does."""

    def evidence(self, part: Part) -> Evidence:
        moved = np.flatnonzero(part.slices == MOVED)
        return super().evidence(
            part if len(part.slices) == 1 or not len(moved) else some(part, np.repeat(moved, len(part.slices)))
        )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Loud, "nothing changes, and the e-values"),
        (Hopeful, "nothing changes, and the e-values"),
        (Deaf, "does not react"),
        (NotFinite, "not finite"),
        (Flat, "the shape"),
        (Restless, "without an event"),
        (Neighbours, "depend on each other"),
        (Forgetful, "does not go on the same"),
        (Mute, "does not say"),
        (Misnaming, "no columns of the stream"),
        (Crowd, "a group without slices"),
        (Bystander, "depend on each other"),
    ],
)
def test_what_is_wrong_with_a_detector_is_found(make: Any, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check_detector(make, changes=["stuck"] if make is Forgetful else ["location"])


def test_a_detector_that_finds_nothing_named_or_not_is_told_so() -> None:
    with pytest.raises(AssertionError, match="does not react to categories"):
        check_detector(LocationDetector, changes=["location", "categories"])
    check_detector(LocationDetector)


def evidence_of(name: str, change: Change, panes: int = 30, world: World = WORLD) -> tuple[Floats, Any]:
    """Sums of log e-values ``(slices, c, b)`` over panes that have changed, and the detector."""
    detector = DETECTORS[name](world.config, world.layout)
    total = np.zeros((world.slices, detector.channels, detector.bets))
    for part in world.parts(panes, 7, {MOVED: change}):
        part = part if detector.everywhere else with_events(part)
        got = detector.evidence(part)
        total[part.slices] += np.where(got.news[:, :, None], got.log_e, 0.0)
    return total, detector


def said(name: str, change: Change, world: World = WORLD) -> tuple[tuple[str, ...], str]:
    """What a detector says of the slice that changed."""
    total, detector = evidence_of(name, change, world=world)
    channel = int(total[MOVED].max(axis=1).argmax())
    assert total[MOVED, channel].max() > 10
    assert np.delete(total, MOVED, axis=0).max() < 10
    said: tuple[tuple[str, ...], str] = detector.says(
        channel, np.exp(total[MOVED, channel] - total[MOVED, channel].max())
    )
    return said


@pytest.mark.parametrize(
    ("name", "change", "columns", "words"),
    [
        ("location", Change(shift=1.0), ("x0",), "location: up by about"),
        ("location", Change(shift=-1.0), ("x0",), "location: down by about"),
        ("scale", Change(scale=2.0), ("x0",), "scale: more spread"),
        ("scale", Change(scale=0.3), ("x0",), "scale: less spread"),
        ("dependence", Change(dependence=0.8), ("x0", "x1"), "in the same direction more"),
        ("dependence", Change(dependence=-0.8), ("x0", "x1"), "in opposite directions more"),
        ("likelihood", Change(stranger=2.0), (), "likelihood: events are stranger"),
        ("categories", Change(unseen=0.2), ("c0",), "never seen before"),
        ("missing", Change(missing=0.2), ("x0",), "missing: more values are missing"),
        ("stuck", Change(stuck=True), ("x0",), "stuck: its value does not change"),
        ("intake", Change(coerced=0.1), (), "read leniently"),
        ("silence", Change(rate=0.0), (), "silence: no events come"),
        ("volume", Change(rate=0.2), (), "volume: fewer events"),
        ("volume", Change(rate=3.0), (), "volume: more events"),
        ("variation", Change(varies=True), ("still",), "a constant column varies"),
        ("variation", Change(appears=True), ("gone",), "a column that was never there has values"),
    ],
)
def test_a_planted_change_is_named(name: str, change: Change, columns: tuple[str, ...], words: str) -> None:
    got, text = said(name, change)
    assert got == columns
    assert words in text
    assert text.startswith(f"{name}: ")


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
        assert words in detector.says(int(channel), np.ones(detector.bets))[1]


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_size_of_a_shift_is_about_right(shift: float) -> None:
    _, text = said("location", Change(shift=shift), World(slices=6, rate=20, seed=3))
    assert float(text.split()[-2]) == pytest.approx(shift, rel=0.6)


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


def test_all_slices_together_show_what_none_shows_alone() -> None:
    world = World(slices=40, rate=3.0, seed=5)
    alone, group = 0.0, 0.0
    detector = LocationDetector(world.config, world.layout)
    total = np.zeros((world.slices, detector.channels, detector.bets))
    for part in world.parts(25, 8, {i: Change(shift=0.4) for i in range(world.slices)}):
        part = with_events(part)
        total[part.slices] += detector.evidence(part).log_e
        together = detector.together(part, np.ones(len(part.slices), dtype=bool))
        assert together is not None
        group = np.add(group, together.log_e)
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
        group = detector.together(strangers, part.slices < 4)
        assert group is not None
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
