"""One side beside the other: how many incidents, how many messages, and what of the known ones was told, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from schemas.incidents import Incident
from stream_app.config.alerts import MONTH_MS
from stream_app.offline.backtest.sides import Heard, Sides
from stream_app.offline.backtest.threads import Label, Told, folded, from_feedback
from stream_app.stages.decisions import Decision, actions_of

_WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True)
class Side:
    """What people get on one side.

    Attributes:
        told: the incidents.
        months, weeks: how long the history is.
        single: messages about single events.
        found: of the labels that ought to be told, the first incident that is about each; None where there is none.
        noise: of the labels that ought not, how many were told all the same.
    """

    told: list[Told]
    months: float
    weeks: float
    single: int
    requests: int
    found: list[Told | None]
    noise: int

    def figures(self) -> dict[str, Any]:
        """Plain values."""
        messages = sum(told.messages for told in self.told)
        return {
            "incidents": len(self.told),
            "incidents_per_month": len(self.told) / self.months if self.months else 0.0,
            "open": sum(told.is_open for told in self.told),
            "messages_per_week": messages / self.weeks if self.weeks else 0.0,
            "single_events_per_week": self.single / self.weeks if self.weeks else 0.0,
            "by_kind": dict(sorted(Counter(told.kind for told in self.told).items())),
            "by_severity": dict(sorted(Counter(told.severity for told in self.told).items())),
            "requests": self.requests,
            "missed": sum(told is None for told in self.found),
            "noise": self.noise,
        }


@dataclass(frozen=True)
class Comparison:
    """Both sides.

    Attributes:
        labels: what is known: those that ought to be told first.
        equal: whether every incident is the same on both, message for message but for the promise they state.
    """

    service: Side
    others: Side
    labels: list[Label]
    span_ms: tuple[int, int]
    events: int
    equal: bool

    @property
    def useful(self) -> list[Label]:
        """Labels of what ought to be told."""
        return [label for label in self.labels if label.useful]

    def delays_ms(self, side: Side) -> list[int | None]:
        """Time from the beginning of each label that ought to be told until it was; None where it was missed."""
        pairs = zip(self.useful, side.found, strict=True)
        return [max(told.told_ms - label.from_ms, 0) if told else None for label, told in pairs]

    def figures(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {
            "events": self.events,
            "from_ms": self.span_ms[0],
            "to_ms": self.span_ms[1],
            "labels": len(self.useful),
            "noise_labels": len(self.labels) - len(self.useful),
            "in_service": self._side(self.service),
            "rules": self._side(self.others),
            "equal": self.equal,
        }

    def _side(self, side: Side) -> dict[str, Any]:
        known = [delay for delay in self.delays_ms(side) if delay is not None]
        return side.figures() | {"delay_ms_median": median(known) if known else None}


def compared(sides: Sides, decisions: Sequence[Decision], labels: Sequence[Label]) -> Comparison:
    """Both sides at the end of the history.

    Args:
        sides: all events were fed to them.
        decisions: what people said: their verdicts are labels too.
        labels: what is known beside them.
    """
    told = folded(sides.service.incidents)
    known = [*labels, *from_feedback((act.action for act in actions_of(decisions)), told)]
    known.sort(key=lambda label: (not label.useful, label.from_ms, label.name))
    span = sides.span_ms
    service, others = (_side(heard, known, span[1] - span[0]) for heard in (sides.service, sides.others))
    return Comparison(service, others, known, span, sides.events, _alike(sides.service) == _alike(sides.others))


def _side(heard: Heard, labels: Sequence[Label], span_ms: int) -> Side:
    told = folded(heard.incidents)
    found = [next((of for of in told if label.fits(of)), None) for label in labels if label.useful]
    noise = sum(any(label.fits(of) for of in told) for label in labels if not label.useful)
    return Side(told, span_ms / MONTH_MS, span_ms / _WEEK_MS, len(heard.strange), heard.requests, found, noise)


def _alike(heard: Heard) -> list[tuple[Any, ...]]:
    """Every message, without what the promise alone makes different."""

    def plain(record: Incident) -> tuple[Any, ...]:
        return record.id, record.number, record.state, record.severity, record.pane_end_ms, record.member_count

    return [plain(record) for record in heard.incidents]
