"""What people were told, folded into incidents, and what is known of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.incidents import Action, Incident, SilencedIncident
from schemas.pane_layout import TOGETHER
from stream_app.config import EventConfig
from stream_app.errors import DriftflowError
from stream_app.stages.score.event_time import date_ms

_SEVERITIES = ("info", "warning", "critical")
_NEVER = 2**62


@dataclass(frozen=True)
class Told:
    """An incident as people were told of it.

    Attributes:
        told_ms: end of the pane in which it opened.
        ended_ms: end of the pane that ended it; far in the future where it is open.
        severity: the gravest.
        slices: all members that were listed, and ``__all__`` where all slices together are one.
        features: columns that were blamed.
        messages: how many people got.
        summary: of the first message.
    """

    id: str
    since_ms: int
    told_ms: int
    ended_ms: int
    kind: str
    severity: str
    slices: frozenset[str]
    features: frozenset[str]
    messages: int
    summary: str

    @property
    def is_open(self) -> bool:
        """Whether it had not ended by the end of the history."""
        return self.ended_ms == _NEVER


def folded(records: Iterable[Incident]) -> list[Told]:
    """Incidents in the order in which people heard of them; those that were silenced all along are left out."""
    threads: dict[str, list[Incident]] = {}
    for record in records:
        if not isinstance(record, SilencedIncident):
            threads.setdefault(record.id, []).append(record)
    return sorted((_told(messages) for messages in threads.values()), key=lambda told: (told.told_ms, told.id))


def _told(messages: Sequence[Incident]) -> Told:
    first, last = messages[0], messages[-1]
    over = last.state in ("resolve", "handover", "accepted")
    return Told(
        id=first.id,
        since_ms=first.since_ms,
        told_ms=first.pane_end_ms,
        ended_ms=last.pane_end_ms if over else _NEVER,
        kind=last.kind,
        severity=max((message.severity for message in messages), key=_SEVERITIES.index),
        slices=frozenset(member.slice for message in messages for member in message.members),
        features=frozenset(finding.feature for message in messages for finding in message.findings if finding.feature),
        messages=len(messages),
        summary=first.summary,
    )


@dataclass(frozen=True)
class Label:
    """What is known of a span of time: that there was something to tell, or that there was nothing.

    Attributes:
        useful: whether an incident ought to be told.
        slices: where; none is anywhere.
        name: what people call it.
    """

    useful: bool
    from_ms: int
    to_ms: int
    slices: frozenset[str]
    name: str

    def fits(self, told: Told) -> bool:
        """Whether an incident is about it."""
        together = TOGETHER in told.slices or TOGETHER in self.slices
        there = not self.slices or not told.slices or together or bool(self.slices & told.slices)
        return there and self.from_ms < told.told_ms and told.since_ms < self.to_ms


def from_feedback(actions: Iterable[Action], told: Iterable[Told]) -> list[Label]:
    """The verdicts that people gave on incidents; of several on one the last counts."""
    by_id, verdicts = {of.id: of for of in told}, dict[str, str]()
    for action in actions:
        if action.verb == "feedback" and action.incident_id in by_id:
            verdicts[action.incident_id] = action.verdict
    return [
        Label(verdict != "noise", of.since_ms, min(of.ended_ms, of.told_ms + 1), of.slices, f"{verdict} {of.id[:8]}")
        for incident_id, verdict in verdicts.items()
        for of in [by_id[incident_id]]
    ]


def read_labels(event: EventConfig, path: Path) -> list[Label]:
    """A CSV file with the columns ``from`` and ``to``, and if wanted ``slice``, ``verdict`` and ``name``.

    Raises:
        DriftflowError: it cannot be read, or a row is no label: with its line, and what would be right.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return [_label(event, row, f"{path}, line {number}") for number, row in enumerate(csv.DictReader(file), 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DriftflowError(f"labels cannot be read from {path}: {error}") from None


def _label(event: EventConfig, row: dict[str, str | None], where: str) -> Label:
    verdict = (row.get("verdict") or "useful").strip()
    if verdict not in ("useful", "noise"):
        raise DriftflowError(f"{where}: verdict is {verdict!r}; expected useful or noise")
    slice_ = (row.get("slice") or "").strip()
    if missing := [name for name in ("from", "to") if not (row.get(name) or "").strip()]:
        raise DriftflowError(f"{where}: no {' and no '.join(missing)}; the columns are from,to,slice,verdict,name")
    try:
        start, end = (date_ms(event, (row.get(name) or "").strip()) for name in ("from", "to"))
    except ValueError as error:
        raise DriftflowError(f"{where}: {error}; the columns are from,to,slice,verdict,name") from None
    if end <= start:
        raise DriftflowError(f"{where}: it ends before it begins")
    slices = frozenset([slice_]) if slice_ else frozenset[str]()
    return Label(verdict == "useful", start, end, slices, (row.get("name") or "").strip() or where)
