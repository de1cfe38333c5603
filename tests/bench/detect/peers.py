"""Other change detectors on the planted streams of :mod:`tests.bench.detect.delay`, at the same false-alarm rate.

They get what makes them strong: one series a slice, cut into the same panes, the reference first, each input in units
of its pooled reference mean and deviation, and the log-likelihood of the *planted* density, not a trained one. river's
detectors take one number: a bank of them takes the pane means of all features (``features``), one the pane mean of the
log-likelihood (``likelihood``). alibi-detect's take vectors: pane means or events (:mod:`tests.bench.detect.alibi`).

Each one's threshold is the most sensitive that gives no more alarms than ours, on change-free streams of other seeds:
ours are those that ``run_length`` has measured at A = 10⁴ (slices alike, events independent), if it has run into the
same file, else one in :data:`RUN_LENGTH` slice-panes; ``run_length`` of a row says which. ``false_alarms`` are counted
on a third set of seeds. Delay counts panes as ``delay`` does: the first alarm from the changed pane on. None of them
sees groups: ``rare_group`` is left out. Silent and missing panes bring no update, or the mean of what is there. KSWIN
is slow and takes :data:`SLOW_SLICES` slices of a kind.
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from river import drift

from flowlib.table import Floats
from tests.bench.detect import alibi, delay
from tests.bench.detect.streams import Events, Planted

RUN_LENGTH = 10_000.0
"""Slice-panes to a false alarm where ours are not measured yet: what is promised."""

SLOW_SLICES = 5


@dataclass(frozen=True)
class Series:
    """One slice.

    Attributes:
        change: what happens to it; "" for nothing.
        panes: ``(m,)`` numbers of its panes with events, the reference's among them.
        means: ``(m, d)`` pane means, standardised, 0 where all values are missing.
        likelihood: ``(m,)`` pane means of the planted log-likelihood, standardised.
        events: ``(n, d)`` standardised, 0 where missing.
        event_panes: ``(n,)``.
        start, change_pane: first monitored and first changed pane.
    """

    change: str
    panes: Any
    means: Floats
    likelihood: Floats
    events: Floats
    event_panes: Any
    start: int
    change_pane: int


def series(planted: Planted, called: dict[int, str]) -> list[Series]:
    """The chosen slices of a stream, by number, with what their change is called."""
    events, before = planted.events(), planted.reference
    x = events.values.astype(np.float64)
    reference = x[events.pane < before]
    spread = reference.std(axis=0)
    x = (x - reference.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    likelihood = _likelihood(planted, events)
    out = []
    for number, change in called.items():
        rows = np.flatnonzero(events.slice_ == number)
        panes, starts = np.unique(events.pane[rows], return_index=True)
        present = ~np.isnan(x[rows])
        own = np.where(present, x[rows], 0.0)
        counts = np.add.reduceat(present, starts, axis=0, dtype=np.int64)
        means = np.add.reduceat(own, starts, axis=0) / np.maximum(counts, 1)
        surprise = np.add.reduceat(likelihood[rows], starts) / np.diff(np.append(starts, len(rows)))
        change_pane = planted.change_pane if change else planted.panes
        standard = (_standard(means, panes < before), _standard(surprise, panes < before))
        out.append(Series(change, panes, *standard, own, events.pane[rows], before, change_pane))
    return out


def _standard(values: Floats, reference: Any) -> Floats:
    spread = values[reference].std(axis=0)
    return np.asarray((values - values[reference].mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _likelihood(planted: Planted, events: Events) -> Floats:
    """Log-density of each event under the planted normal, but for a constant; a missing value is put at its mean."""
    centred = np.nan_to_num(events.values.astype(np.float64) - np.broadcast_to(planted.mean, planted.d), nan=0.0)
    free = [j for j in range(planted.d) if j not in planted.constant]
    whitened = np.linalg.solve(np.linalg.cholesky(planted.covariance()[np.ix_(free, free)]), centred[:, free].T)
    return np.asarray(-0.5 * (whitened**2).sum(axis=0))


@dataclass(frozen=True)
class Peer:
    """A detector of river with an input, and the settings to tune, the most sensitive one first."""

    name: str
    make: Callable[[float], Any]
    settings: tuple[float, ...]
    inputs: Callable[[Series], Floats]
    slow: bool = False


def _features(one: Series) -> Floats:
    return one.means


def _of_likelihood(one: Series) -> Floats:
    return one.likelihood[:, None]


def _peers() -> Iterator[Peer]:
    deltas = tuple(10.0**-k for k in np.arange(1.0, 12.1, 0.5))
    limits = tuple(float(v) for v in np.geomspace(2.0, 200.0, 24))
    for what, inputs in (("features", _features), ("likelihood", _of_likelihood)):
        yield Peer(f"river ADWIN, {what}", lambda s: drift.ADWIN(delta=s, clock=1), deltas, inputs)
        for allowance in (0.005, 0.5, 1.0):
            make = _page_hinkley(allowance)
            yield Peer(f"river Page-Hinkley δ = {allowance}, {what}", make, limits, inputs)
        yield Peer(f"river KSWIN, {what}", lambda s: drift.KSWIN(alpha=s, seed=0), deltas[4::3], inputs, slow=True)


def _page_hinkley(allowance: float) -> Callable[[float], Any]:
    return lambda s: drift.PageHinkley(threshold=s, delta=allowance, min_instances=30)


def alarms(peer: Peer, setting: float, one: Series) -> list[int]:
    """Monitored panes with an alarm of any of the bank; the detectors forget by themselves after theirs."""
    found = set[int]()
    panes = one.panes.tolist()
    for column in peer.inputs(one).T:
        detector = peer.make(setting)
        for pane, value in zip(panes, column.tolist(), strict=True):
            detector.update(value)
            if detector.drift_detected and pane >= one.start:
                found.add(pane)
    return sorted(found)


def _tuned(peer: Peer, quiet: list[Series], run_length: float) -> float:
    allowed = sum(int((one.panes >= one.start).sum()) for one in quiet) / run_length
    low, high = 0, len(peer.settings) - 1
    while low < high:  # the first setting, the most sensitive, that keeps within what is allowed
        middle = (low + high) // 2
        within = sum(len(alarms(peer, peer.settings[middle], one)) for one in quiet) <= allowed
        low, high = (low, middle) if within else (middle + 1, high)
    return peer.settings[low]


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Rows ``{detector, setting, change, found, of, median_panes, p90_panes, false_alarms, slice_panes, …}``."""
    changed, tune, check = _changed(args), _quiet(args, 3_000), _quiet(args, 3_100)
    run_length, rows = ours(args.out), []
    for peer in _peers():
        some = (lambda s: _few(s, SLOW_SLICES)) if peer.slow else (lambda s: s)
        setting = _tuned(peer, some(tune), run_length)
        given = [(one, alarms(peer, setting, one)) for one in [*some(changed), *some(check)]]
        rows += table(peer.name, f"{setting:.3g}", given)
        print(rows[-1], flush=True)
    rows += alibi.measure(changed, tune, check, table, run_length)
    return [row | {"run_length": round(run_length)} for row in rows]


def ours(out: Path) -> float:
    """Slice-panes to a false alarm of ours, measured; those watched altogether where there was none."""
    known = json.loads(out.read_text()).get("run_length", []) if out.exists() else []
    same = [row for row in known if (row["A"], row["phi"], row["slices_differ"]) == (1e4, 0, False)]
    return float(same[0]["slice_panes"] / max(same[0]["alarms"], 1)) if same else RUN_LENGTH


def _few(every: list[Series], most: int) -> list[Series]:
    """So many of each kind of change."""
    kinds = dict.fromkeys(one.change for one in every)
    return [one for kind in kinds for one in [s for s in every if s.change == kind][:most]]


def _changed(args: Namespace) -> list[Series]:
    out = []
    for case in delay.cases(args):
        called = {case.planted.names().index(name): change for name, change in case.called.items() if name}
        out += series(case.planted, called) if called else []
    return out


def _quiet(args: Namespace, seed: int) -> list[Series]:
    streams = 1 if args.quick else 3
    planted = [Planted(slices=60, monitored=480, change_pane=720, seed=seed + k) for k in range(streams)]
    return [one for p in planted for one in series(p, dict.fromkeys(range(p.slices), ""))]


def table(detector: str, setting: str, given: list[tuple[Series, list[int]]]) -> list[dict[str, Any]]:
    """Rows of one detector, from the alarms on each slice; quiet ones give the false alarms."""
    quiet = [(one, found) for one, found in given if not one.change]
    false = {
        "false_alarms": sum(len(found) for _, found in quiet),
        "slice_panes": sum(int((one.panes >= one.start).sum()) for one, _ in quiet),
    }
    rows = []
    for change in dict.fromkeys(one.change for one, _ in given if one.change):
        panes = np.sort([_delay(one, found) for one, found in given if one.change == change])
        rows.append(
            {
                "detector": detector,
                "setting": setting,
                "change": change,
                "found": int(np.isfinite(panes).sum()),
                "of": len(panes),
                "median_panes": _finite(np.quantile(panes, 0.5, method="higher")),
                "p90_panes": _finite(np.quantile(panes, 0.9, method="higher")),
                **false,
            }
        )
    return rows


def _delay(one: Series, found: list[int]) -> float:
    return next((pane - one.change_pane + 1.0 for pane in found if pane >= one.change_pane), math.inf)


def _finite(panes: float) -> float | None:
    return float(panes) if math.isfinite(panes) else None
