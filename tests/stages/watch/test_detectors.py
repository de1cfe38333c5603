"""Detectors: every entry of ``DETECTORS`` passes the generic checks, and does what it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.pane_layout import ALPHAS, PaneLayout
from stream_app.config import Duration, RuleConfig
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.detectors import DETECTORS, Detector, PaneView
from stream_app.stages.watch.detectors.checks import PANE, check_detector, reference, row, view
from stream_app.stages.watch.detectors.pit import ROWS_MIN, distances

LAYOUT = PaneLayout(3)


def make(name: str, layout: PaneLayout = LAYOUT, **options: float) -> Detector:
    return DETECTORS[name](layout, RuleConfig(detector=name, open=1.0, resolve=0.5, options=options), PANE)


EVERY = pytest.mark.parametrize("name", sorted(DETECTORS))


@EVERY
@pytest.mark.parametrize("d", [1, 3])
def test_it_passes_the_generic_checks(name: str, d: int) -> None:
    check_detector(DETECTORS[name], d, dependence=1.0, delta=0.05)


class Mean:
    """A detector that is right: the mean of the p-values counted at 0.1, of this pane and of those before."""

    options = frozenset[str]()
    evidence = "share"

    def __init__(self, layout: PaneLayout, rule: RuleConfig, pane: Duration) -> None:
        self.layout, self.sums = layout, dict[int, list[int]]()

    def update(self, pane: PaneView) -> Any:
        out = np.zeros(len(pane.slices))
        for i, at in enumerate(pane.slices.tolist()):
            if pane.fresh[i]:
                self.sums.pop(at, None)
            n, hits = self.sums.get(at, [0, 0])
            n += int(self.layout.get(pane.rows[i], "scored"))
            hits += int(self.layout.get(pane.rows[i], "p_le")[ALPHAS.index(0.1)])
            self.sums[at] = [n, hits]
            out[i] = hits / max(n, 20)
        return out

    def to_state(self) -> Any:
        return list(self.sums.items())

    def restore(self, state: Any) -> None:
        self.sums = dict(state)


class Stuck(Mean):
    def update(self, pane: PaneView) -> Any:
        return np.zeros(len(pane.slices))


class NotFinite(Mean):
    def update(self, pane: PaneView) -> Any:
        return super().update(pane) / np.float64(0.0) if pane.start_ms > 5 * PANE else super().update(pane)


class Neighbours(Mean):
    def update(self, pane: PaneView) -> Any:
        got = super().update(pane)
        return got + got.mean() if len(got) else got


class Forgetful(Mean):
    def to_state(self) -> Any:
        return []


class Faithful(Mean):
    """Does not forget the old model."""

    def update(self, pane: PaneView) -> Any:
        pane.fresh[:] = False
        return super().update(pane)


class Loud(Mean):
    def update(self, pane: PaneView) -> Any:
        return super().update(pane) + 1.0


class FirstReference(Mean):
    """Holds every slice against the reference of the first."""

    def update(self, pane: PaneView) -> Any:
        missing = [reference.missing.max(initial=0.0) for reference in pane.references[:1] * len(pane.slices)]
        return super().update(pane) + np.array(missing)


class Highest(Mean):
    """Never comes down."""

    def update(self, pane: PaneView) -> Any:
        got = super().update(pane)
        for i, at in enumerate(pane.slices.tolist()):
            got[i] = self.peaks[at] = max(got[i], 0.0 if pane.fresh[i] else self.peaks.get(at, 0.0))
        return got

    @property
    def peaks(self) -> dict[int, float]:
        return self.__dict__.setdefault("_peaks", {})

    def to_state(self) -> Any:
        return [super().to_state(), list(self.peaks.items())]

    def restore(self, state: Any) -> None:
        super().restore(state[0])
        self.peaks.update(dict(state[1]))


class Shapeless(Mean):
    def update(self, pane: PaneView) -> Any:
        return super().update(pane)[:1]


def test_the_checks_take_an_own_detector() -> None:
    check_detector(Mean)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Stuck, "the slice that moves must end up above"),
        (NotFinite, "not finite"),
        (Neighbours, "slices depend on each other"),
        (Forgetful, "does not go on the same"),
        (Faithful, "was not forgotten"),
        (Loud, "must have the statistic 0"),
        (Shapeless, "update gives shape"),
        (FirstReference, "slices depend on each other"),
        (Highest, "stays at its highest"),
    ],
)
def test_each_check_can_fail(broken: type[Mean], sentence: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match=sentence):
        check_detector(broken)


def test_likelihood_grows_under_small_p_and_stays_under_uniform_p() -> None:
    rng, detector = np.random.default_rng(6), make("likelihood", block_hours=1.0)
    path = np.array([detector.update(view(k, [0, 1], [row(rng, 20, 5.0), row(rng, 20)])) for k in range(60)])
    assert path[-1, 0] > 1e6
    assert (np.diff(path[5:, 0]) > 0).all()
    assert path[:, 1].max() < 60  # an e-detector's mean grows by at most one a block


def test_likelihood_is_capped() -> None:
    detector = make("likelihood", block_hours=1.0)
    strange = row(np.random.default_rng(7), 50, 50.0)
    last = [detector.update(view(k, [0], [strange]))[0] for k in range(2_000)][-1]
    assert np.isfinite(last)
    assert last > 1e80


def test_likelihood_counts_a_block_when_the_next_begins() -> None:
    strange = [row(np.random.default_rng(8), 50, 9.0)]
    detector = make("likelihood", block_hours=3.0)
    path = [detector.update(view(k, [0], strange))[0] for k in range(7)]
    assert path[:3] == [0.0, 0.0, 0.0]
    assert path[3] == path[4] == path[5] > 0
    assert path[6] > path[3]


def test_pit_names_the_moved_feature() -> None:
    rng = np.random.default_rng(9)
    window = row(rng, 2_000, shift=1.0)
    moved = distances(LAYOUT.pit(window), reference().pit)
    assert moved.argmax() == 0
    assert moved[0] > 0.2
    assert moved[1:].max() < 0.03
    assert make("pit", dependence=1.0).update(view(0, [0], [window])).tolist() == [moved[0]]


def test_pit_keeps_quiet_on_few_rows_and_on_noise() -> None:
    rng = np.random.default_rng(10)
    few = [row(rng, ROWS_MIN - 1, shift=9.0)]
    assert make("pit").update(view(0, [0], few)).tolist() == [0.0]
    assert make("pit", dependence=1.0).update(view(0, [0], [row(rng, ROWS_MIN, shift=9.0)]))[0] > 0.2
    still = [make("pit").update(view(0, [0], [row(rng, 200)]))[0] for _ in range(50)]
    assert max(still) == 0.0


def test_adwin_reacts_to_a_step_and_only_then() -> None:
    rng, detector = np.random.default_rng(11), make("adwin", hold=4)
    path = [detector.update(view(k, [0], [row(rng, 30, shift=3.0 * (k >= 60))]))[0] for k in range(120)]
    assert path[:60] == [0.0] * 60
    first = path.index(1.0)
    assert 60 <= first < 80
    assert 4 <= sum(path) <= 60


def test_adwin_survives_more_panes_than_it_keeps() -> None:
    """It drops old values at pane 1,025; the step comes right after, seen from memory or from a snapshot alike."""
    rng, whole, other = np.random.default_rng(12), make("adwin"), make("adwin")
    for k in range(1_026):
        whole.update(view(k, [0], [row(rng, 3)]))
    assert len(whole.to_state()["seen"][0][1]) < 1_024
    other.restore(unpack(pack(whole.to_state())))
    tail = [view(1_026 + k, [0], [row(rng, 3, shift=2.0)]) for k in range(60)]
    paths = [[each.update(pane)[0] for pane in tail] for each in (whole, other)]
    assert paths[0] == paths[1]
    assert sum(paths[0]) > 0


def test_adwin_remembers_the_level_over_a_restart() -> None:
    """The step falls on the restart: only one that still knows the old level can see it."""
    rng, before = np.random.default_rng(14), make("adwin")
    for k in range(60):
        before.update(view(k, [0], [row(rng, 30)]))
    after, forgetful = make("adwin"), make("adwin")
    after.restore(unpack(pack(before.to_state())))
    tail = [view(60 + k, [0], [row(rng, 30, shift=3.0)]) for k in range(30)]
    assert sum(after.update(pane)[0] for pane in tail) > 0
    assert sum(forgetful.update(pane)[0] for pane in tail) == 0


def test_missing_is_the_share_above_normal() -> None:
    rng = np.random.default_rng(13)
    got = make("missing").update(
        view(0, [0, 1, 2], [row(rng, 5_000, gaps=0.4), row(rng, 5_000), row(rng, 3, gaps=0.4)])
    )
    assert got[0] == pytest.approx(0.4, abs=0.03)
    assert got[1] == 0.0
    assert got[2] < 0.25
