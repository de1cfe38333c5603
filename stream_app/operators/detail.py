"""One incident with all that it carries: figures, slices, evidence and promise, events to look at, what people did."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from schemas.incidents import Example, Finding, Incident, Member
from stream_app.incident_lines import bounded, paragraph
from stream_app.terminal import utc

_MEMBERS_SHOWN = 12


def detail(incident: Incident) -> Iterator[Text]:
    """Part by part, each with its head."""
    yield paragraph(incident)
    yield _part("What has changed", [_finding(finding) for finding in incident.findings])
    members = [_member(member) for member in incident.members[:_MEMBERS_SHOWN]]
    more = incident.member_count - len(members)
    yield _part("Where", [*members, *([f"… and {more:,} more"] if more > 0 else [])])
    yield _part(
        "Evidence", [f"{_rough(incident.statistic)}, opened at {_rough(incident.threshold)}: {incident.evidence}"]
    )
    yield _part("Promise", [incident.promise])
    yield _part("Events to look at", [_example(example) for example in incident.examples])
    yield _part("What people did", [f"{utc(mark.at_ms)}  {mark.text} ({mark.by})" for mark in incident.marks])
    yield _part("Models", [f"found under {incident.model_id}", *_successor(incident)])
    yield _part("Links", [f"{name}: {link}" for name, link in incident.links.items()])


def _part(head: str, lines: list[str]) -> Text:
    """A head and its lines; nothing without lines."""
    kept = [line for line in lines if line.strip()]
    if not kept:
        return Text()
    return Text("\n").join([Text(f"{head}:", "bold"), *(Text(f"  {bounded(line)}") for line in kept)])


def _finding(finding: Finding) -> str:
    share, events = f"{finding.weight:.0%} of the evidence", f", {finding.events:,} events" if finding.events else ""
    return f"{finding.says} ({finding.detector}, {share}{events})"


def _member(member: Member) -> str:
    channel = " ".join(filter(None, [member.detector, member.feature, member.direction]))
    over = ", over" if member.over else ""
    return f"{member.slice} ({member.slicing}), rule {member.rule}: {channel} since {utc(member.since_ms)}{over}"


def _example(example: Example) -> str:
    blame = ", ".join(
        f"{part.feature} {part.weight:.0%}" + (f" ({part.detail})" if part.detail else "") for part in example.blame
    )
    place = f"{example.topic}/{example.partition}@{example.offset}"
    return f"{utc(example.event_time_ms)}  {place}, {example.slice}, p = {example.p_value:.2g}: {blame}"


def _successor(incident: Incident) -> list[str]:
    return [f"normal for {incident.successor_id}"] if incident.successor_id else []


def _rough(evidence: float) -> str:
    return f"{evidence:,.0f}" if 1 <= evidence < 1e9 else f"{evidence:.2g}"
