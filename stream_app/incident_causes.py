"""Incidents that are one to people: what several source partitions tell of one fault, each for itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from schemas.incidents import EXAMPLES_MAX, MEMBERS_MAX, Incident, Member
from stream_app.incident_lines import STYLES, is_over, source_of

SLICING = "partition"
"""Slicing of the members: source partitions."""

_NAMED = 5


def together(incidents: Iterable[Incident], members: bool = True) -> list[Incident]:
    """The last messages of incidents, those of one cause as one where they were open at the same event time, or have
    not a pane between them. It has the id of the one that began first, and the partitions as members.

    Args:
        incidents: the last message of each.
        members: whether it has; else none, for who takes members for slices.
    """
    alone, causes = list[Incident](), dict[str, list[Incident]]()
    for incident in incidents:
        if incident.cause_id:
            causes.setdefault(incident.cause_id, []).append(incident)
        else:
            alone.append(incident)
    return [*alone, *(_one(group, members) for cause in causes.values() for group in groups(cause))]


def groups(incidents: Iterable[Incident]) -> Iterable[list[Incident]]:
    """The last messages of one cause by which are one, in the order of their beginnings."""
    group, until_ms = list[Incident](), 0.0
    for incident in sorted(incidents, key=lambda one: (one.since_ms, one.id)):
        if group and incident.since_ms > until_ms:
            yield group
            group, until_ms = [], 0.0
        group.append(incident)
        ends_ms = incident.pane_end_ms + (incident.pane_end_ms - incident.pane_start_ms)
        until_ms = max(until_ms, ends_ms if is_over(incident) else float("inf"))
    if group:
        yield group


def _one(group: Sequence[Incident], named: bool) -> Incident:
    if len(group) == 1:
        return group[0]
    severities, now = list(STYLES), [one for one in group if not is_over(one)]
    shown = min(now or group, key=lambda one: (severities.index(one.severity), -one.pane_end_ms, one.id))
    others = [source_of(one) for one in group if one is not shown]
    more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
    members = [_member(one) for one in sorted(group, key=is_over)] if named else []
    return replace(
        shown,
        id=group[0].id,
        severity=min((one.severity for one in group), key=severities.index),
        members=members[:MEMBERS_MAX],
        member_count=len(members),
        since_ms=min(one.since_ms for one in group),
        opened_pane_ms=min(one.opened_pane_ms for one in group),
        pane_end_ms=max(one.pane_end_ms for one in group),
        events=sum(one.events for one in group),
        examples=[one.examples[0] for one in group if one.examples][:EXAMPLES_MAX],
        summary=f"{shown.summary} The same on {', '.join(others[:_NAMED])}{more}.",
    )


def _member(of: Incident) -> Member:
    return Member(
        rule=of.rules[0] if of.rules else "",
        slicing=SLICING,
        slice=source_of(of),
        detector=of.detector,
        feature=of.feature,
        direction="up",
        since_ms=of.since_ms,
        over=is_over(of),
    )
