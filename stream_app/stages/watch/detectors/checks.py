"""Checks that every detector must pass; run them on your own: ``check_detector(MyDetector)``.

They raise AssertionError with a sentence, and need no test framework.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flowlib.table import Ints
from schemas.pane_layout import ALPHAS, BETS, PIT_BINS, PaneLayout, fixed_square, fixed_sum
from stream_app.config import Duration, RuleConfig
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.detectors.base import Detector, PaneView, Reference

PANE = Duration(3_600_000)
MOVED = 1
"""The slice of :func:`panes` that moves."""

STILL, MOVE = (1.0, 0.0, 0.01), (4.0, 1.5, 0.4)
"""Power, shift and gaps of :func:`row` for a slice that stays as it is, and for one that has moved."""

Make = Callable[[PaneLayout, RuleConfig, Duration], Detector]


def check_detector(make: Make, d: int = 3, seed: int = 2, **options: float) -> None:
    """Run every check.

    Args:
        make: the detector's class, or what makes one like it.
        d: numeric features of the stream.
        seed: of the stream.
        options: of the rule.

    Raises:
        AssertionError: one sentence on what does not hold.
    """
    rule = RuleConfig(detector="likelihood", open=1.0, resolve=0.5, options=options)

    def new() -> Detector:
        return make(PaneLayout(d), rule, PANE)

    _check_values(new(), d, seed)
    _check_empty(new(), d)
    _check_slices_apart(new(), new(), d, seed)
    for cut in (0, 7, 31):
        _check_restored(new, d, seed, cut)
    _check_fresh(new(), new(), d, seed)
    _check_reacts(new(), d, seed)
    _check_comes_down(new(), d, seed)


def row(
    rng: np.random.Generator, n: int, power: float = 1.0, shift: float = 0.0, gaps: float = 0.0, d: int = 3
) -> Ints:
    """Statistics ``(w,)`` of a pane of n scored events: p-values U**power, feature 0's PIT U**(1 + shift),
    log-likelihoods around −shift, a share ``gaps`` of missing values. U is uniform: power 1, shift 0 and gaps 0 are the
    reference.
    """
    layout = PaneLayout(d)
    out = np.zeros(layout.width, dtype=np.int64)
    p, log_prob, place = rng.random(n) ** power, rng.standard_normal(n) - shift, layout.columns
    pit = rng.random((n, d))
    pit[:, 0] **= 1 + shift
    out[place["seen"]] = out[place["scored"]] = n
    out[place["missing"]] = rng.binomial(n, gaps, d)
    out[place["log_prob_sum"]] = fixed_sum(log_prob).sum()
    out[place["log_prob_square_sum"]] = fixed_square(log_prob).sum()
    out[place["p_le"]] = [(p <= alpha).sum() for alpha in ALPHAS]
    out[place["bets"]] = fixed_sum(np.log1p(np.array(BETS) * (p[:, None] - 0.5))).sum(axis=0)
    bins = [np.bincount((pit[:, j] * PIT_BINS).astype(int), minlength=PIT_BINS) for j in range(d)]
    out[place["pit"]] = np.concatenate(bins)
    return out


def reference(d: int = 3, number: int = 0) -> Reference:
    """What is normal in :func:`row` (number 0); other numbers have other levels of likelihood and of missing values."""
    return Reference(np.full((d, PIT_BINS), 100, np.int64), np.full(d, 0.05 * number), 0.3 * number, 1.0 + 0.2 * number)


def view(
    k: int, slices: list[int], rows: list[Ints], fresh: list[bool] | None = None, window: Ints | None = None, d: int = 3
) -> PaneView:
    """Pane number k with the rows of some slices; the window is the pane unless given."""
    stacked = np.array(rows, dtype=np.int64).reshape(len(slices), PaneLayout(d).width)
    return PaneView(
        start_ms=k * PANE,
        end_ms=(k + 1) * PANE,
        slices=np.array(slices, dtype=np.int64),
        rows=stacked,
        window=stacked if window is None else window,
        fresh=np.zeros(len(slices), bool) if fresh is None else np.array(fresh, dtype=bool),
        references=[reference(d)] * len(slices),
    )


def panes(seed: int, n: int = 40, d: int = 3) -> list[PaneView]:
    """Four slices that come and go; empty and tiny panes; slice 1 moves half-way; slice 2 changes its model near the
    end.
    """
    rng = np.random.default_rng(seed)
    views = []
    for k in range(n):
        slices = [i for i in range(4) if i != 3 or k % 3]
        moved = MOVE if k > n // 2 else STILL
        rows = [row(rng, int(rng.choice([0, 1, 40])), *(moved if i == MOVED else STILL), d=d) for i in slices]
        views.append(view(k, slices, rows, [k == n - 8 and i == 2 for i in slices], d=d))
    return views


def one_slice(pane: PaneView, i: int) -> PaneView:
    """The pane as its i-th slice alone sees it."""
    return PaneView(
        start_ms=pane.start_ms,
        end_ms=pane.end_ms,
        slices=pane.slices[[i]],
        rows=pane.rows[[i]],
        window=pane.window[[i]],
        fresh=pane.fresh[[i]],
        references=[pane.references[i]],
    )


def _check_values(detector: Detector, d: int, seed: int) -> None:
    assert detector.evidence, "`evidence` must say in words what the statistic is"
    for pane in panes(seed, d=d):
        statistics = detector.update(pane)
        shape, dtype = statistics.shape, statistics.dtype
        assert shape == pane.slices.shape, f"update gives shape {shape} for {len(pane.slices)} slices"
        assert dtype == np.float64, f"update gives {dtype}, not float64"
        assert np.isfinite(statistics).all(), f"pane {pane.start_ms}: a statistic is not finite: {statistics}"
        assert (statistics >= 0).all(), f"pane {pane.start_ms}: a statistic is negative: {statistics}"


def _check_empty(detector: Detector, d: int) -> None:
    for _ in range(2):
        assert detector.update(view(0, [], [], d=d)).shape == (0,), "a pane without slices must give no statistics"
        blank = [np.zeros(PaneLayout(d).width, np.int64)] * 2
        quiet = detector.update(view(1, [0, 5], blank, d=d)).tolist()
        assert quiet == [0.0, 0.0], f"slices without an event must have the statistic 0, not {quiet}"


def _check_slices_apart(together: Detector, alone: Detector, d: int, seed: int) -> None:
    for pane in panes(seed, d=d):
        pane = replace(pane, references=[reference(d, i) for i in pane.slices.tolist()])
        single = [alone.update(one_slice(pane, i))[0] for i in range(len(pane.slices))]
        joint = together.update(pane).tolist()
        assert joint == single, f"pane {pane.start_ms}: slices depend on each other: together {joint}, alone {single}"


def _check_restored(new: Callable[[], Detector], d: int, seed: int, cut: int) -> None:
    stream, whole, first, second = panes(seed, 80, d), new(), new(), new()
    expected = [whole.update(pane).tolist() for pane in stream]
    for pane in stream[:cut]:
        first.update(pane)
    second.restore(unpack(pack(first.to_state())))
    resumed = [second.update(pane).tolist() for pane in stream[cut:]]
    assert resumed == expected[cut:], f"restored from a snapshot after {cut} panes, it does not go on the same"


def _check_fresh(used: Detector, new: Detector, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for pane in panes(seed, d=d):
        used.update(pane)
    for k in range(60, 90):
        rows = [row(rng, 40, 3.0, 6.0 * (k < 75), 0.1, d)]
        pane = view(k, [MOVED], rows, [k == 60], d=d)
        assert used.update(pane).tolist() == new.update(pane).tolist(), (
            "what was learnt of the old model was not forgotten"
        )


def _check_reacts(detector: Detector, d: int, seed: int) -> None:
    highest = np.zeros(4)
    for pane in panes(seed + 3, 80, d):
        highest[pane.slices] = np.maximum(highest[pane.slices], detector.update(pane))
    assert highest.argmax() == MOVED, f"the slice that moves must end up above the others; highest of each: {highest}"
    assert highest[MOVED] > 0, "it says nothing about a slice that moves"


def _check_comes_down(detector: Detector, d: int, seed: int) -> None:
    """Or an alert would never resolve."""
    rng, levels = np.random.default_rng(seed), []
    for k in range(240):
        moved = MOVE if 40 <= k < 80 else STILL
        levels.append(float(detector.update(view(k, [MOVED], [row(rng, 40, *moved, d=d)], d=d))[0]))
    peak, end = max(levels), min(levels[120:])
    assert end < peak, f"after a slice is as before for 160 panes its statistic stays at its highest, {peak}"
