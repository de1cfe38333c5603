"""Calibration: in how many slices the share of events with p ≤ .01 is within [.8, 1.25] of .01.

Rows go through :meth:`flowlib.Density.fit` with the trainer's settings, in tables instead of JSON: 20,000 rows a slice
and 14,000 of a reference would take hours to write and parse. p-values are those of :meth:`flowlib.Density.score`,
which SCORE calls.

Slices that differ (``tau``) have all their columns scaled by one factor, such that the logarithm of their true share of
events beyond the pooled .01 is normal with sd ``tau``. ``best_possible`` is what an oracle reaches that knows this law
and each slice's number of reference rows beyond the pooled .01, k ~ Poisson(.01 · rows · share), and nothing of the
tail's form: it corrects a slice by the posterior mean of its logarithm, and is judged, like the product, by the rows
that are looked at, Poisson(.01 · rows_per_slice · what is left). For slices alike it knows that they are.

The ``adaptive`` row goes through SCORE as JSON: slices that differ in location and scale, the event rule at .01 and
following each slice's events, the share of events that are reported. Nothing keeps it from being right everywhere.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import chi2

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Floats, Table
from flowlib.training import TrainConfig
from schemas.records import EventAnomaly
from tests.bench.detect import product
from tests.bench.detect.pool import each
from tests.bench.detect.product import STEPS
from tests.bench.detect.streams import HOUR_MS, LOG_SCALE_SD, START_MS, Planted

ALPHA, BAND = 0.01, (0.8, 1.25)
D = 8
TRAIN, VALID = 24_000, 6_000
CHUNK = 200_000
FORMLESS = 20_000
"""Slices of the oracle's simulation."""


@dataclass(frozen=True)
class Setting:
    """A row of the table."""

    setting: str
    tau: float
    reference_rows: int
    slices: int
    rows_per_slice: int
    seed: int = 4_000


def settings(args: Namespace) -> list[Setting]:
    """The rows that are measured."""
    rows, slices = (2_000, 10) if args.quick else (20_000, 200)
    short = [
        Setting("homogeneous", 0.0, 330, slices, rows),
        *(Setting("heterogeneous", tau, 330, slices, rows) for tau in (0.1, 0.2, 0.3)),
        Setting("zero_inflated", 0.0, 330, slices, rows),
    ]
    if args.quick:
        return [*short, Setting("adaptive", LOG_SCALE_SD, 330, 6, rows)]
    return [*short, Setting("heterogeneous", 0.3, 14_000, 60, rows), Setting("adaptive", LOG_SCALE_SD, 330, 60, rows)]


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Rows ``{setting, tau, reference_rows, slices, rows_per_slice, share_in_band, best_possible}``."""
    return each(one, settings(args), args.jobs)


def one(s: Setting) -> dict[str, Any]:
    """One row."""
    ratio = _reported(s) if s.setting == "adaptive" else _below(s)
    said = np.quantile(ratio, (0.05, 0.5, 0.95)).round(2)
    print(f"  {s.setting} τ {s.tau} {s.reference_rows} rows: ratio to α {said} (5, 50, 95 %)", flush=True)
    best = 1.0 if s.setting == "adaptive" else best_possible(s.tau, s.reference_rows, s.rows_per_slice)
    return {
        "setting": s.setting,
        "tau": s.tau,
        "reference_rows": s.reference_rows,
        "slices": s.slices,
        "rows_per_slice": s.rows_per_slice,
        "share_in_band": round(in_band(ratio), 3),
        "best_possible": round(best, 3),
    }


def _below(s: Setting) -> Floats:
    """Share of each slice's rows with p ≤ α, over α."""
    log_rates = np.random.default_rng([s.seed, 1]).normal(0, s.tau, s.slices)
    draw = _Drawn(s, np.sqrt(chi2.isf(ALPHA, D) / chi2.isf(ALPHA * np.exp(log_rates), D)))
    density, below = _fit(draw), np.zeros(s.slices)
    for table in draw.tables(2, s.rows_per_slice):
        p = density.score(table).p_value
        below += np.bincount(table.slices.astype(int)[p <= ALPHA], minlength=s.slices)
    return np.asarray(below / s.rows_per_slice / ALPHA)


def _reported(s: Setting) -> Floats:
    """Share of each slice's events that SCORE reports, over α."""
    # A fifth of ten days is held out, and is the reference.
    planted = Planted(s.slices, D, 240, 0, per_pane=s.reference_rows // 48 + 1, fixed=True, differ=True, seed=s.seed)
    live = replace(planted, per_pane=200, reference=0, monitored=s.rows_per_slice // 200)
    config = product.planted_config(planted, event_rule={"alpha": ALPHA, "follow": "adaptive"})
    density = product.trained(planted, planted.events(), config)
    run = product.watch(config, density, product.keyed(live.events()), keep=False).run
    reported = Counter(record.slice for record in product.signals(run) if isinstance(record, EventAnomaly))
    return np.array([reported[name] for name in planted.names()]) / s.rows_per_slice / ALPHA


def in_band(ratio: Floats) -> float:
    """Share within :data:`BAND`."""
    return float(((ratio >= BAND[0]) & (ratio <= BAND[1])).mean())


def best_possible(tau: float, reference_rows: int, rows_per_slice: int) -> float:
    """See the module."""
    g = np.random.default_rng(0)
    log_rate = g.normal(0, tau, FORMLESS)
    known = np.zeros(FORMLESS)
    if tau:
        seen = g.poisson(ALPHA * reference_rows * np.exp(log_rate))
        grid = np.linspace(-6 * tau, 6 * tau, 401)
        counts = np.arange(seen.max() + 1)[:, None]
        log_posterior = counts * grid - ALPHA * reference_rows * np.exp(grid) - 0.5 * (grid / tau) ** 2
        weight = np.exp(log_posterior - log_posterior.max(axis=1, keepdims=True))
        known = ((weight * grid).sum(axis=1) / weight.sum(axis=1))[seen]
    left = np.exp(log_rate - known)
    return in_band(g.poisson(ALPHA * rows_per_slice * left) / (ALPHA * rows_per_slice))


@dataclass(frozen=True)
class _Drawn:
    """Rows of a setting: 0 trains and stops, 1 is the reference, 2 is looked at."""

    setting: Setting
    scales: Floats

    def tables(self, part: int, rows_per_slice: int) -> Iterator[Table]:
        """So many rows of every slice, slices mixed, some at a time."""
        s = self.setting
        whole = max(CHUNK // s.slices, 1)
        for number, first in enumerate(range(0, rows_per_slice, whole)):
            yield self._table(min(whole, rows_per_slice - first), [s.seed, part, number])

    def _table(self, rows_per_slice: int, seed: list[int]) -> Table:
        s = self.setting
        planted = Planted(
            slices=s.slices,
            d=D,
            reference=1,
            monitored=0,
            per_pane=rows_per_slice,
            fixed=True,
            counts=s.setting == "zero_inflated",
            seed=int(np.random.SeedSequence(seed).generate_state(1)[0]),
        )
        events = planted.events()
        values = events.values if planted.counts else events.values * self.scales[events.slice_, None]
        return Table.of(values, slices=events.slice_.astype(str).astype(object), time_ms=events.time_ms)


def _joined(tables: Iterator[Table]) -> Table:
    parts = list(tables)
    return Table.of(
        np.concatenate([t.numeric for t in parts]),
        slices=np.concatenate([t.slices for t in parts]),
        time_ms=np.linspace(START_MS, START_MS + 240 * HOUR_MS, sum(map(len, parts)), endpoint=False).astype(np.int64),
    )


def _fit(draw: _Drawn) -> Density:
    s = draw.setting
    rows = _joined(draw.tables(0, (TRAIN + VALID) // s.slices))
    cut = len(rows) * TRAIN // (TRAIN + VALID)
    return Density.fit(
        FeatureSpec(tuple(f"x{j}" for j in range(D))),
        rows.span(0, cut),
        rows.span(cut, len(rows)),
        _joined(draw.tables(1, s.reference_rows)),
        seed=s.seed,
        config=FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=STEPS)), distance="base"),
    )


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines = [("setting", "τ", "reference rows", "slices in the band", "best possible")]
    for r in rows:
        cells = (r["setting"], f"{r['tau']:g}", f"{r['reference_rows']:,}")
        lines.append((*cells, f"{r['share_in_band']:.1%}", f"{r['best_possible']:.1%}"))
    return lines
