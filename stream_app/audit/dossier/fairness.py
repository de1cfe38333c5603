"""Who is called strange, and how often: realised shares and likelihoods of slices and of groups of them.

Events of one day are not independent: an interval is taken over days where there are enough of them, and is as wide as
the days of all slices together say where a slice has too few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from flowlib.evaluation import ALARM_ALPHA
from flowlib.intervals import NORMAL_95, wilson
from flowlib.table import Floats

DAYS_MIN = 5
"""Days from which on a slice has an interval of its own."""
QUARTERS_MIN = 8
"""Slices from which on those with little traffic are compared with those with much."""
EXPECTED_MIN = 1.0
"""Alarms that are expected of a slice before it is called over-alarmed."""

Key = tuple[str, str]
"""Slicing and slice; or what a group is of, and its name."""


@dataclass(frozen=True)
class Day:
    """A slice on a day (its number): events that were scored, of these with p ≤ .01, and the sum of their
    log-likelihoods; events that could not be scored.
    """

    day: int
    scored: int
    alarms: int
    log_prob: float
    unscorable: int = 0


@dataclass(frozen=True)
class Figures:
    """Of a slice, or of a group.

    Attributes:
        of, name: slicing and slice, or what a group is of, and its name.
        slices: how many it has.
        scored, alarms, unscorable: events.
        share, low, high: of the events that were called strange (p ≤ .01), with its 95 % interval.
        others: the same share of all other events of its slicing; None where there are none.
        nats, nats_low, nats_high: mean log-likelihood of an event, with its 95 % interval.
        is_over: surely above what is meant, and above the others, however many slices are looked at.
    """

    of: str
    name: str
    slices: int
    scored: int
    alarms: int
    unscorable: int
    share: float
    low: float
    high: float
    others: float | None
    nats: float
    nats_low: float
    nats_high: float
    is_over: bool

    @property
    def excess(self) -> float:
        """Events that were called strange beyond what is meant."""
        return self.alarms - ALARM_ALPHA * self.scored


def figures(days: Mapping[Key, Sequence[Day]], slices: Mapping[Key, int] | None = None) -> list[Figures]:
    """Of each slice or group, the most over-alarmed first.

    Args:
        days: of each, its days.
        slices: how many slices each has (default: one).
    """
    arrays = {key: _array(some) for key, some in days.items() if any(day.scored for day in some)}
    totals = defaultdict[str, Floats](lambda: np.zeros(2))
    for (of, _), array in arrays.items():
        totals[of] += array[:, :2].sum(axis=0)
    usual = _design(_stacked(arrays))
    found = [
        _figures(key, array, totals[key[0]], usual, len(arrays), (slices or {}).get(key, 1))
        for key, array in arrays.items()
    ]
    return sorted(found, key=lambda one: (not one.is_over, -one.low, one.of, one.name))


def groups(days: Mapping[Key, Sequence[Day]]) -> list[Figures]:
    """Of the values of each field of slicings by several fields, and of slices with little and with much traffic."""
    members = defaultdict[Key, list[Key]](list)
    of_slicing = defaultdict[str, list[Key]](list)
    for slicing, name in days:
        of_slicing[slicing].append((slicing, name))
        fields, values = slicing.split("+"), name.split("|")
        if len(fields) == len(values) > 1:
            for field_name, value in zip(fields, values, strict=True):
                members[f"{field_name} of {slicing}", value].append((slicing, name))
    for slicing, keys in of_slicing.items():
        if len(keys) >= QUARTERS_MIN:
            keys = sorted(keys, key=lambda key: sum(day.scored for day in days[key]))
            quarter = len(keys) // 4
            members[f"traffic of {slicing}", "the quarter of slices with least"] = keys[:quarter]
            members[f"traffic of {slicing}", "the others"] = keys[quarter:-quarter]
            members[f"traffic of {slicing}", "the quarter of slices with most"] = keys[-quarter:]
    joined = {group: _joined(days[key] for key in keys) for group, keys in members.items()}
    return figures(joined, {group: len(keys) for group, keys in members.items()})


def _joined(parts: Iterable[Sequence[Day]]) -> list[Day]:
    """Days of several slices, put together."""
    sums = defaultdict[int, list[float]](lambda: [0, 0, 0.0, 0])
    for day in (day for days in parts for day in days):
        for i, value in enumerate((day.scored, day.alarms, day.log_prob, day.unscorable)):
            sums[day.day][i] += value
    return [Day(day, int(n), int(hits), nats, int(lost)) for day, (n, hits, nats, lost) in sorted(sums.items())]


def _array(days: Sequence[Day]) -> Floats:
    return np.array([(day.scored, day.alarms, day.log_prob, day.unscorable) for day in days], dtype=np.float64)


def _stacked(arrays: Mapping[Key, Floats]) -> Floats:
    return np.concatenate([*arrays.values(), np.zeros((0, 4))])


def _design(array: Floats) -> float:
    """So many events count as one independent one, by how much the shares of days differ; 1 at least."""
    n, hits = array[:, 0], array[:, 1]
    total, days = n.sum(), int((n > 0).sum())
    share = hits.sum() / total if total else 0.0
    if days < 2 or not 0 < share < 1:
        return 1.0
    variance = ((hits - share * n) ** 2).sum() / total**2 * days / (days - 1)
    return max(1.0, float(variance / (share * (1 - share) / total)))


def _figures(key: Key, array: Floats, total: Floats, usual: float, tests: int, slices: int) -> Figures:
    n, hits, log_prob, unscorable = array.sum(axis=0)
    days = int((array[:, 0] > 0).sum())
    design = _design(array) if days >= DAYS_MIN and hits else usual
    low, high = wilson(hits / design, n / design)
    z = NormalDist().inv_cdf(1 - 0.025 / max(tests, 1))
    sure = float(wilson(hits / design * (NORMAL_95 / z) ** 2, n / design * (NORMAL_95 / z) ** 2)[0])
    rest = total - (n, hits)
    others = float(rest[1] / rest[0]) if rest[0] else None
    over = sure > max(ALARM_ALPHA, others or 0.0) and n * ALARM_ALPHA >= EXPECTED_MIN
    nats = log_prob / n
    error = _error(array, nats)
    return Figures(
        *key,
        slices,
        int(n),
        int(hits),
        int(unscorable),
        float(hits / n),
        float(low),
        float(high),
        others,
        float(nats),
        float(nats - NORMAL_95 * error),
        float(nats + NORMAL_95 * error),
        bool(over),
    )


def _error(array: Floats, nats: float) -> float:
    """Standard error of a mean log-likelihood, over days; inf of one day."""
    n, sums = array[:, 0], array[:, 2]
    days = int((n > 0).sum())
    if days < 2:
        return float("inf")
    return float(np.sqrt(((sums - nats * n) ** 2).sum() * days / (days - 1)) / n.sum())
