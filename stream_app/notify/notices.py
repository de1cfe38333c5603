"""What a signal is to those who are notified: a message of a thread, in words, with the CloudEvent that it came as."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from schemas.incidents import Finding, Incident, Member, StrangeEvents
from schemas.intake import RawHeaders, header_map
from schemas.pane_layout import TOGETHER
from schemas.records import Health, Record, record_id
from stream_app.incident_lines import KINDS, bounded, is_over, is_silenced, short, source_of
from stream_app.terminal import printable, utc

LINES_MAX = 12
"""Lines of details; what there is beyond is counted."""

_KEY = re.compile(r"[A-Za-z0-9-]{1,100}")
_ATTRIBUTE = "ce_"
_SHARE_LEAST = 0.01


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message to people, whole: a channel needs nothing beside it.

    Attributes:
        key: the same however often the message is delivered: receivers fold repeats by it.
        thread: what it belongs to: the id of an incident.
        about: what it is of.
        state: ``open`` and ``update``; ``over``; ``once``, where nothing follows.
        reason: of an incident, see :class:`~schemas.incidents.Incident`; ``joined`` where another partition tells the
            same.
        cause, source: of what a source partition tells of its events, or a process of a part of it: what it shares with
            others, and which it is.
        silenced: a silence keeps it from people.
        title: one line.
        text: what has happened, in a sentence or two.
        lines: details, one a line.
        next: what happens by itself, and what a person can do.
        links: name to address.
        since_ms: when what it tells of began, event time.
        at_ms: what time it is about.
        labels: what receivers may route by.
        slices: slicing and name of each slice that is listed.
        event: attributes of the CloudEvent.
        data: its data, JSON.
    """

    key: str
    thread: str
    about: Literal["incidents", "strange", "health"]
    state: Literal["open", "update", "over", "once"]
    severity: str
    stream: str
    title: str
    text: str
    since_ms: int
    at_ms: int
    event: dict[str, str]
    data: bytes
    reason: str = ""
    cause: str = ""
    source: str = ""
    silenced: bool = False
    acked_by: str = ""
    lines: list[str] = []
    next: str = ""
    links: dict[str, str] = {}
    labels: dict[str, str] = {}
    slices: list[tuple[str, str]] = []

    @property
    def rests(self) -> bool:
        """Whether nobody is to be bothered by it from now on: it is over, or silenced."""
        return self.state == "over" or self.silenced

    @property
    def is_grave(self) -> bool:
        """Whether all should see it who see only the beginnings of threads."""
        return self.state in ("open", "over", "once") or self.reason in ("severity", "again")


def notice_of(record: Record, value: bytes, headers: RawHeaders, place: str) -> Notice | None:
    """The notice of a signal; None where it is nothing that people are notified of.

    Args:
        record: what was taken in.
        value, headers: the message that it came as.
        place: where it stands, for a key where the message has no id.
    """
    event = {name: text.decode("utf-8", "replace") for name, text in header_map(headers).items()}
    attributes = {name.removeprefix(_ATTRIBUTE): text for name, text in event.items() if name.startswith(_ATTRIBUTE)}
    said = attributes.get("id", "")
    key = said if _KEY.fullmatch(said) else record_id("notice", place)
    common: dict[str, Any] = {"key": key, "event": attributes, "data": value}
    match record:
        case Incident():
            return _of_incident(record, common)
        case StrangeEvents():
            return _of_strange(record, common)
        case Health():
            return _of_health(record, common)
    return None


def _of_incident(incident: Incident, common: dict[str, Any]) -> Notice:
    return Notice(
        **common,
        thread=incident.id,
        about="incidents",
        state="over" if is_over(incident) else "open" if incident.state == "open" else "update",
        reason=incident.reason,
        cause=incident.cause_id,
        source=source_of(incident),
        silenced=is_silenced(incident),
        severity=incident.severity,
        acked_by=incident.acked_by,
        stream=incident.stream,
        title=_title(incident),
        text=bounded(incident.summary),
        lines=_lines(incident),
        next="" if is_over(incident) else bounded(incident.next),
        links=dict(incident.links),
        since_ms=incident.since_ms,
        at_ms=incident.pane_end_ms,
        labels={"severity": incident.severity, "kind": incident.kind},
        slices=[(member.slicing, member.slice) for member in incident.members],
    )


def _title(incident: Incident) -> str:
    """Which incident; what has become of it the summary says."""
    acked = f", acknowledged by {incident.acked_by}" if incident.acked_by else ""
    state = " is over" if is_over(incident) else acked
    return printable(f"{incident.stream}: {incident.severity} {KINDS[incident.kind]} {short(incident.id)}{state}")


def _lines(incident: Incident) -> list[str]:
    told = [finding for finding in incident.findings if finding.says]
    known = len(told) == 1 and told[0].says in incident.summary  # the only one: its sentence says no more
    findings = [] if known else [_finding(finding) for finding in told]
    members = [_member(member) for member in incident.members]
    lines = [*findings[: LINES_MAX // 2], *members][:LINES_MAX]
    more = incident.member_count - (len(lines) - min(len(findings), LINES_MAX // 2))
    lines += [f"… and {more:,} more slices and rules"] if more > 0 else []
    return [bounded(line) for line in lines]


def _finding(finding: Finding) -> str:
    share = f" ({finding.weight:.0%} of the evidence)" if finding.weight >= _SHARE_LEAST else ""
    return f"{finding.says}{share}"


def _member(member: Member) -> str:
    channel = " ".join(filter(None, [member.detector, member.feature, member.direction]))
    where = "all slices together" if member.slice == TOGETHER else member.slice
    return f"{where} ({member.slicing}): {channel} since {utc(member.since_ms)}{', over' if member.over else ''}"


def _of_strange(strange: StrangeEvents, common: dict[str, Any]) -> Notice:
    lines = [
        f"{utc(event.event_time_ms)}  {event.topic}/{event.partition}@{event.offset}, {event.slice}, p = "
        f"{event.p_value:.2g}"
        for event in strange.events
    ]
    return Notice(
        **common,
        thread=strange.id,
        about="strange",
        state="once",
        severity="info",
        stream=strange.stream,
        title=printable(f"{strange.stream}: strange events {short(strange.id)}"),
        text=bounded(strange.summary),
        lines=[bounded(line) for line in lines[:LINES_MAX]],
        since_ms=strange.from_ms,
        at_ms=strange.pane_end_ms,
        labels={"severity": "info", "kind": "strange"},
        slices=[("", event.slice) for event in strange.events],
    )


def _of_health(health: Health, common: dict[str, Any]) -> Notice:
    is_well = health.state == "ok"
    says = f"{health.part} works again" if is_well else health.says or f"{health.part} fails"
    return Notice(
        **common,
        thread=record_id("health", health.stream, health.part, health.source),
        cause=record_id("health", health.stream, health.part),
        source=health.source,
        about="health",
        state="over" if is_well else "open",
        severity="warning",
        stream=health.stream,
        title=printable(f"{health.stream}: {health.part} {'works again' if is_well else 'fails'}"),
        text=bounded(f"{says} ({health.source})"),
        since_ms=health.since_ms,
        at_ms=health.since_ms,
        labels={"severity": "warning", "kind": "health"},
    )
