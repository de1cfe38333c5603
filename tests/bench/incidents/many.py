"""Many slices: the error over patience of the control, and how soon it finds those that have changed.

Streams of e-detectors alone, with the control that JUDGE uses: each pane of a slice gives the sum of six scores, either
standard normal or normal scores within ± 3.3 as the events' are, and ``R ← (1 + R)·e`` for each of eight bets of
likelihood ratios, whose mean is the e-detector. After ``change_pane`` panes some of the slices move by ``shift``
standard deviations of an event. Where slices are *dependent*, a common part makes half of every slice's variance.

A slice that is rejected stays so, and counts with the others from then on, as a member of an open incident does. The
false discovery proportion at a time is the share of those that have not changed among all that are rejected.
``error_over_patience`` is the largest of E[FDP]/E[time] over stopping times: every pane of the horizon; the first
rejection, the first false one, the tenth, the hundredth (each or the end of the horizon); ``upper95`` is the upper end
of its interval over runs, ``at`` where it is. It has to be ``alpha_per_pane`` at most. ``power_at`` n is the share of
the changed ones that are rejected n panes after the change.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from flowlib.intervals import NORMAL_95
from flowlib.table import Bools, Floats, Ints
from stream_app.config.alerts import MONTH_MS
from stream_app.stages.judge.control import rejected
from tests.bench.detect.pool import each

POWER_AT = (5, 10, 20, 50)
EVENTS = 6
BETS = np.array([-1.0, -0.5, -0.25, -0.125, 0.125, 0.25, 0.5, 1.0])
BOUND = 3.3
DEFAULT = 3_600_000 / MONTH_MS / 2
"""Alpha a pane of a stream with hourly panes, one false incident a month, and two rules."""

Control = Callable[[Floats, float, int], Bools]


def bonferroni(weighted: Floats, alpha: float, already: int) -> Bools:
    """Each by itself: the share of alpha that it has, whoever else is rejected."""
    return np.asarray(weighted * alpha >= 1.0, dtype=np.bool_)


CONTROLS: dict[str, Control] = {"e-d-BH": rejected, "Bonferroni": bonferroni}


@dataclass(frozen=True)
class Many:
    """A setting.

    Attributes:
        scores: ``gaussian`` or ``bounded``.
        dependent: half of the variance is common to all slices.
        shift: of the changed slices, standard deviations of an event.
    """

    slices: int = 10_000
    drifted: int = 100
    shift: float = 0.5
    alpha: float = DEFAULT
    scores: str = "gaussian"
    dependent: bool = False
    change_pane: int = 50
    horizon: int = 100
    runs: int = 400
    seed: int = 17


@dataclass(frozen=True)
class Ran:
    """A run under one control.

    Attributes:
        fdp: ``(horizon,)`` after each pane.
        since: ``(slices,)`` the pane after which it was rejected, from 1 on; 0 for never.
        power: ``(len(POWER_AT),)`` share of the changed that are rejected by then.
    """

    fdp: Floats
    since: Ints
    power: Floats


def run(of: Many, number: int) -> dict[str, Ran]:
    """One run under each of the controls, on the same scores."""
    rng = np.random.default_rng((of.seed, number))
    grown = np.zeros((len(BETS), of.slices))
    since = {name: np.zeros(of.slices, dtype=np.int64) for name in CONTROLS}
    for pane in range(of.horizon):
        sums = _sums(of, rng, pane)
        cumulant = _cumulants(of.scores)
        grown = np.minimum((1 + grown) * np.exp(BETS[:, None] * sums - EVENTS * cumulant[:, None]), 1e200)
        statistic = grown.mean(axis=0)
        for name, control in CONTROLS.items():
            rest = np.flatnonzero(since[name] == 0)
            found = control(statistic[rest] / of.slices, of.alpha, of.slices - len(rest))
            since[name][rest[found]] = pane + 1
    return {name: _ran(of, panes) for name, panes in since.items()}


def _sums(of: Many, rng: np.random.Generator, pane: int) -> Floats:
    """``(slices,)`` of the scores of a pane's events, independent from pane to pane."""
    noise = rng.standard_normal((EVENTS, of.slices))
    if of.dependent:
        noise = np.sqrt(0.5) * (noise + rng.standard_normal((EVENTS, 1)))
    if pane >= of.change_pane:
        noise[:, : of.drifted] += of.shift
    if of.scores == "bounded":
        noise = np.clip(noise, -BOUND, BOUND)
    return np.asarray(noise.sum(axis=0))


@cache
def _cumulants(scores: str) -> Floats:
    """``(bets,)`` log E exp(λ X) of one score, so that an e-value has mean 1 exactly; of the bounded, rounded up."""
    if scores == "gaussian":
        return BETS**2 / 2
    x = np.linspace(-8, 8, 64_001)
    density = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
    values = np.exp(BETS[:, None] * np.clip(x, -BOUND, BOUND)) @ density
    return np.asarray(np.log(values) + 1e-9)


def _ran(of: Many, since: Ints) -> Ran:
    panes = np.arange(1, of.horizon + 1)[:, None]
    every = np.sort(since[since > 0])
    false = np.sort(since[of.drifted :][since[of.drifted :] > 0])
    all_, wrong = (np.searchsorted(of_, panes[:, 0], side="right") for of_ in (every, false))
    moved = since[: of.drifted]
    power = [np.mean((moved > 0) & (moved <= of.change_pane + n)) if of.drifted else np.nan for n in POWER_AT]
    return Ran(wrong / np.maximum(all_, 1), since, np.array(power))


def stopping_times(of: Many, ran: Ran) -> Ints:
    """``(k,)`` when each of the stopping rules stops a run, panes: all fixed times, then those named in the module."""
    every, false = (np.sort(s[s > 0]) for s in (ran.since, ran.since[of.drifted :]))
    ends = [_nth(every, 1), _nth(false, 1), _nth(every, 10), _nth(every, 100)]
    return np.minimum(np.array([*range(1, of.horizon + 1), *ends], dtype=np.int64), of.horizon)


def _nth(panes: Ints, n: int) -> int:
    return int(panes[n - 1]) if len(panes) >= n else np.iinfo(np.int64).max


def figures(of: Many, runs: list[Ran]) -> dict[str, Any]:
    """Error over patience and power of runs under one control."""
    times = np.array([stopping_times(of, ran) for ran in runs])
    fdp = np.array([ran.fdp[at - 1] for ran, at in zip(runs, times, strict=True)])
    patience = times.mean(axis=0)
    error = fdp.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.zeros(len(patience))
    over = fdp.mean(axis=0) / patience
    worst = int(np.argmax(over))
    names = [*map(str, range(1, of.horizon + 1)), "first", "first false", "tenth", "hundredth"]
    return {
        "error_over_patience": float(over[worst]),
        "upper95": float(over[worst] + NORMAL_95 * error[worst] / patience[worst]),
        "at": names[worst],
        "false_rejections_per_pane": float(np.mean([(ran.since[of.drifted :] > 0).sum() for ran in runs]) / of.horizon),
        "power_at": {
            str(n): round(float(share), 4)
            for n, share in zip(POWER_AT, np.mean([ran.power for ran in runs], axis=0), strict=True)
            if of.drifted
        },
    }


def row(of: Many, runs: list[dict[str, Ran]]) -> dict[str, Any]:
    """What was simulated, and what came of it under e-d-BH; under ``Bonferroni`` the same figures of it."""
    said = {
        "slices": of.slices,
        "drifted": of.drifted,
        "shift_sd": of.shift,
        "scores": of.scores,
        "dependent": of.dependent,
        "alpha_per_pane": of.alpha,
        "change_pane": of.change_pane,
        "horizon_panes": of.horizon,
        "runs": len(runs),
        "seed": of.seed,
    }
    ours, theirs = (figures(of, [made[name] for made in runs]) for name in CONTROLS)
    return said | ours | {"Bonferroni": theirs}


SETTINGS = [
    Many(),
    Many(scores="bounded"),
    Many(shift=0.25),
    Many(shift=1.0),
    Many(dependent=True),
    Many(alpha=0.01),
    Many(alpha=0.01, scores="bounded", dependent=True),
    Many(drifted=0, alpha=0.01),
    Many(drifted=0, alpha=0.01, dependent=True),
]
"""The first is the default promise; larger alphas show the bound where it is nearer to what comes."""


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Rows, one a setting."""
    settings = [replace(of, slices=500, drifted=of.drifted // 5, runs=5) if args.quick else of for of in SETTINGS]
    return each(measured, settings, args.jobs)


def measured(of: Many) -> dict[str, Any]:
    """All runs of a setting."""
    return row(of, [run(of, number) for number in range(of.runs)])


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines: list[tuple[str, ...]] = [
        ("drifted", "shift", "scores", "alpha", "control", "error", "≤ (95 %)", "power at 5 10 20 50")
    ]
    for row_ in rows:
        scores = f"{row_['scores']}{' dependent' if row_['dependent'] else ''}"
        said = (str(row_["drifted"]), f"{row_['shift_sd']}", scores, f"{row_['alpha_per_pane']:.2g}")
        for name, found in (("e-d-BH", row_), ("Bonferroni", row_["Bonferroni"])):
            error, upper = f"{found['error_over_patience']:.2g}", f"{found['upper95']:.2g}"
            lines.append((*said, name, error, upper, " ".join(f"{p:.2f}" for p in found["power_at"].values())))
    return lines
