"""Too many events whose slices have no place: which field explodes, or whose names nobody knows.

Bernoulli bets on their share against ``event.tolerated``, as :mod:`stream_app.stages.detection.detectors.intake` has
them, summed up by Shiryaev and Roberts over panes. A rule of JUDGE's own (:data:`OTHER_RULE`): only here all partitions
meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Floats
from schemas import records
from schemas.pane_layout import OTHER
from stream_app.config import Config
from stream_app.stages.detection.detectors.counting import Bets
from stream_app.stages.judge.candidates import OTHER_RULE, Candidate, Cause, Figures

_ODDS = np.array([1.5, 2.0, 4.0])
_RUNS = 2.0
"""Variance ratio that is allowed for: such events come in runs."""

RESOLVE = 1e-4
"""It is over where so much is left of the evidence."""

DETECTOR = "strangers"
_CALM = 1.0


@dataclass(slots=True)
class _Slicing:
    """Evidence of a slicing.

    Attributes:
        log_r1: ``(b,)`` log(1 + R) of each bet.
        peak: of the bet that was largest, its log(1 + R) then and its number; none while nothing is told.
        calm_ms: end of the last pane in which nothing spoke for it.
        newest: what SCORE has said of most strangers since then.
    """

    log_r1: Floats = field(default_factory=lambda: np.zeros(len(_ODDS)))
    peak: tuple[float, int] | None = None
    calm_ms: int = 0
    newest: records.Strangers | None = None


class StrangerWatch:
    """Watches ``__other__`` of each slicing that has fields."""

    def __init__(self, config: Config) -> None:
        fields = zip(config.slicing_names, config.event.slicings, strict=True)
        self._of = {name: _Slicing() for name, of in fields if of}
        self._bets = Bets.of(np.array([config.event.tolerated]), _ODDS, np.array([_RUNS]))
        self._tolerated = config.event.tolerated

    @property
    def streams(self) -> int:
        """Slicings that are watched."""
        return len(self._of)

    def take(
        self, end_ms: int, others: Mapping[str, int], events: int, told: Iterable[records.Strangers], floor: float
    ) -> Iterator[Candidate]:
        """A pane's events without a place, by slicing, of all events; what SCORE says of them.

        Args:
            end_ms: of the pane.
            others: events in ``__other__``.
            events: of the pane.
            told: names that wait.
            floor: evidence from which on it is a candidate.
        """
        for strangers in told:
            if strangers.slicing in self._of:
                self._of[strangers.slicing].newest = _larger(self._of[strangers.slicing].newest, strangers)
        for slicing, state in self._of.items():
            found = self._update(state, slicing, end_ms, others.get(slicing, 0), events, floor)
            if found is not None:
                yield found

    def _update(
        self, state: _Slicing, slicing: str, end_ms: int, other: int, events: int, floor: float
    ) -> Candidate | None:
        if events:
            log_e = self._bets.log_e(np.array([float(other)]), np.array([float(events)]))[0]
            state.log_r1 = np.logaddexp(0.0, state.log_r1 + log_e)
        statistic = float(np.expm1(np.minimum(state.log_r1, 600.0)).mean())
        if statistic < _CALM:
            state.calm_ms, state.newest = end_ms, None
        if state.peak is None and statistic < floor:
            return None
        best = int(state.log_r1.argmax())
        if state.peak is None or state.log_r1[best] >= state.peak[0]:
            state.peak = float(state.log_r1[best]), best
        remaining = float(np.exp(min(state.log_r1[state.peak[1]] - state.peak[0], 0.0)))
        candidate = self._candidate(state, slicing, statistic, remaining, other, events)
        if candidate.over:
            state.log_r1, state.peak, state.newest = np.zeros(len(_ODDS)), None, None
        return candidate

    def _candidate(
        self, state: _Slicing, slicing: str, statistic: float, remaining: float, other: int, events: int
    ) -> Candidate:
        features, says = _words(state.newest)
        cause = Cause(
            detector=DETECTOR,
            channel=0,
            features=features,
            direction="up",
            measure="share of events without a slice of their own",
            unit="",
            weight=float(state.log_r1.max()),
            says=says,
            figures=Figures(float(events), float(other), self._tolerated * events, float("nan")),
        )
        return Candidate(
            rule=OTHER_RULE,
            slicing=slicing,
            slice=OTHER,
            kind="fault",
            model_id="",
            statistic=statistic,
            share=1.0 / max(len(self._of), 1),
            remaining=remaining,
            over=remaining < RESOLVE,
            since_ms=state.calm_ms,
            events=other,
            causes=(cause,),
        )

    def to_state(self) -> list[Any]:
        """Plain values and arrays for a snapshot."""
        return [[name, of.log_r1, of.peak, of.calm_ms, _plain(of.newest)] for name, of in self._of.items()]

    def restore(self, state: list[Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        for name, log_r1, peak, calm_ms, newest in state:
            if name in self._of:
                whole = records.Strangers(**newest) if newest is not None else None
                self._of[name] = _Slicing(np.array(log_r1), tuple(peak) if peak else None, calm_ms, whole)


def _larger(before: records.Strangers | None, now: records.Strangers) -> records.Strangers:
    """The one that names more: of several source partitions, the one that sees most of them."""
    return now if before is None or now.names >= before.names else before


def _plain(strangers: records.Strangers | None) -> dict[str, Any] | None:
    if strangers is None:
        return None
    return {name: getattr(strangers, name) for name in strangers.__struct_fields__}


def _words(newest: records.Strangers | None) -> tuple[tuple[str, ...], str]:
    if newest is None or not newest.field:
        return (), "many events are of slices that have no place of their own"
    examples = f", such as {', '.join(newest.examples[:3])}" if newest.examples else ""
    values = f"about {newest.values:,} values that are new" if newest.values != 1 else "one new value"
    new = f"the field {newest.field} has {values}{examples}"
    return (newest.field,), f"{new}; their slices have no place of their own"
