"""The figures of an incident: those of its members added up, cause by cause; and its share of the traffic."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import msgspec

from stream_app.stages.judge.heard import Heard, Sums, size_sd

FINDINGS_MAX = 5
"""Causes that a message has figures of."""
SPREAD = "spread"
"""Measure of causes that are about squares: the figure that people get is the root."""


class Pooled(msgspec.Struct, frozen=True):
    """What members have in common: a cause, its direction, and the figures of all of them.

    Attributes:
        channel: of the detector.
        weight: share of the evidence.
        seen, expected: means over all events; None where there are none.
        size_sd: how far apart they are, in standard deviations of one event; None where that means nothing.
        events: that ``seen`` is of.
        slices: that have it.
        until_ms: end of the pane in which its evidence was as large as ever last, on any of them.
    """

    detector: str
    channel: int
    features: tuple[str, ...]
    direction: str
    measure: str
    unit: str
    says: str
    weight: float
    seen: float | None
    expected: float | None
    size_sd: float | None
    events: int
    slices: int
    until_ms: int = 0

    @property
    def key(self) -> CauseKey:
        """What tells causes apart."""
        return self.detector, self.channel, self.features, self.direction


CauseKey = tuple[str, int, tuple[str, ...], str]
"""Detector, channel, columns and direction."""


def pool(members: Iterable[Heard]) -> list[Pooled]:
    """The main causes of all members, :data:`FINDINGS_MAX` at most: those that members name first, then the largest."""
    largest = _largest(members)
    total = sum(of.weight for of, _ in largest) or 1.0
    return [_pooled(of, total, slices) for of, slices in largest]


def _largest(members: Iterable[Heard]) -> list[tuple[Sums, int]]:
    """The causes of :func:`pool`, each with the number of slices that have it."""
    each: dict[CauseKey, list[tuple[Sums, tuple[str, str]]]] = {}
    first: dict[CauseKey, float] = {}
    for member in members:
        for cause in member.main:
            key = (*cause.key, cause.direction)
            each.setdefault(key, []).append((cause, member.key[1:]))
            first[key] = first.get(key, 0.0) + (max(cause.weight, 1.0) if cause.first else 0.0)
    found = {key: (_total([cause for cause, _ in of]), len({place for _, place in of})) for key, of in each.items()}
    order = sorted(found, key=lambda key: (-first[key], -found[key][0].weight, key))
    return [found[key] for key in order[:FINDINGS_MAX]]


def _total(causes: list[Sums]) -> Sums:
    """One cause of some members, added up."""
    if len(causes) == 1:  # as mostly, in every pane
        return causes[0]
    total = _none_of(causes[0])
    for cause in causes:
        _add(total, cause)
    return total


def pool_of(members: Iterable[Heard], keys: Collection[CauseKey]) -> dict[CauseKey, Pooled]:
    """Some causes with their figures, as far as members have any, whether main ones or not: of no weight."""
    found: dict[CauseKey, Sums] = {}
    slices: dict[CauseKey, set[tuple[str, str]]] = {}
    for member in members:
        for cause in member.causes:
            key = (*cause.key, cause.direction)
            if key in keys:
                _add(found.setdefault(key, _none_of(cause)), cause)
                slices.setdefault(key, set()).add(member.key[1:])
    return {key: _pooled(of, math.inf, len(slices[key])) for key, of in found.items()}


def _none_of(cause: Sums) -> Sums:
    return Sums(*cause.key, cause.direction, cause.measure, cause.unit, cause.says, 0.0)


def _add(total: Sums, cause: Sums) -> None:
    total.weight += cause.weight
    total.until_ms = max(total.until_ms, cause.until_ms)
    counted = cause.counted if cause.counted[0] > 0 else cause.waiting
    total.counted = [a + b for a, b in zip(total.counted, counted, strict=True)]


def _pooled(of: Sums, total: float, slices: int) -> Pooled:
    figures = of.figures
    seen = expected = None
    if figures.events > 0:
        seen, expected = figures.seen / figures.events, figures.expected / figures.events
        if of.measure == SPREAD:
            seen, expected = max(seen, 0.0) ** 0.5, max(expected, 0.0) ** 0.5
    return Pooled(
        of.detector,
        of.channel,
        of.features,
        of.direction,
        of.measure,
        of.unit,
        of.says,
        of.weight / total,
        seen,
        expected,
        size_sd(of),
        round(figures.events),
        slices,
        of.until_ms,
    )


def largest_sd(members: Iterable[Heard]) -> float | None:
    """The largest change of a mean among the main causes of all members, in standard deviations; None where no mean has
    changed.
    """
    sizes = (size_sd(of) for of, _ in _largest(members))
    return max((size for size in sizes if size is not None), key=abs, default=None)


def traffic(members: Iterable[Heard]) -> tuple[int, float]:
    """Events of the members' slices, as far as they were counted, and their share of the stream's, of those that should
    have come: of the slicing that has most. What two rules say of one slice counts once.
    """
    of_slice: dict[tuple[str, str], tuple[float, int]] = {}
    for member in members:
        share = member.usual / member.total if member.total > 0 else 0.0
        place = member.key[1:]
        before = of_slice.get(place, (0.0, 0))
        of_slice[place] = max(before[0], share), max(before[1], member.events)
    shares: dict[str, float] = {}
    events: dict[str, int] = {}
    for (slicing, _), (share, count) in sorted(of_slice.items()):
        shares[slicing] = shares.get(slicing, 0.0) + share
        events[slicing] = events.get(slicing, 0) + count
    return max(events.values(), default=0), min(max(shares.values(), default=0.0), 1.0)
