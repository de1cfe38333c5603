"""From the messages of incidents to what a person asks: what is wrong now, since when, where, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from schemas.incidents import Incident, Member
from schemas.pane_layout import OTHER, TOGETHER
from stream_app.console.rows import Row
from stream_app.incident_causes import groups, together
from stream_app.incident_lines import is_answerable, is_over, source_of

ENDED = {
    "resolve": "as before",
    "handover": "a newer model takes it for normal",
    "accepted": "accepted as the new normal",
}
"""How an incident ended, in words, by the state of its last message."""

_NO_SLICE = (TOGETHER, OTHER)
_SEVERITY = {"ok": 0, "silenced": 1, "info": 2, "warning": 3, "critical": 4}
_FINDINGS = 4
_NAMES = 100

Slice = tuple[str, str]
"""Slicing and name."""


def is_open(head: Row) -> bool:
    """Whether the last message of an incident leaves it open."""
    return head["record"].state not in ENDED


def is_silenced(head: Row) -> bool:
    """Whether a silence keeps it from people."""
    return bool(head["silenced"] == "1")


def by_cause(heads: Iterable[Row]) -> list[Row]:
    """Last messages with those of one cause as one (:func:`~stream_app.incident_causes.together`), oldest first."""
    known = {head["record"].id: head for head in heads}
    found = together((head["record"] for head in known.values()), members=False)  # partitions have no page
    return sorted((known[one.id] | {"record": one} for one in found), key=lambda head: int(head["time_ms"]))


def one_with(head: Row, heads: Iterable[Row]) -> list[Row]:
    """Last messages of what is one with an incident to people, in the order of their beginnings; its own among them."""
    record: Incident = head["record"]
    if not record.cause_id:
        return [head]
    known = {row["record"].id: row for row in heads if row["record"].cause_id == record.cause_id}
    found = groups(row["record"] for row in known.values())
    return next(
        ([known[one.id] for one in group] for group in found if any(one.id == record.id for one in group)), [head]
    )


def worst_first(heads: Iterable[Row]) -> list[Row]:
    """Open incidents by severity, then age, silenced ones last."""
    return sorted(heads, key=lambda head: (-_SEVERITY[severity(head)], head["record"].since_ms, head["record"].id))


def severity(head: Row) -> str:
    """``info``, ``warning``, ``critical``; ``silenced`` where nobody is to be bothered."""
    return "silenced" if is_silenced(head) else str(head["record"].severity)


def worst(severities: Iterable[str]) -> str:
    """The worst of some; ``ok`` when there are none."""
    return max(severities, key=_SEVERITY.__getitem__, default="ok")


def hushed(tone: str, state: str) -> str:
    """The tone of something at a slice in a state: a silence hushes it, since a person knows of it already."""
    return "silenced" if state == "silenced" and tone != "ok" else tone


def accepted(heads: Iterable[Row]) -> set[tuple[str, str, str]]:
    """(slicing, slice, model) of drift that a person has accepted: events of these slices are strange to that model,
    and stay so until another scores them.
    """
    records = (head["record"] for head in heads)
    taken = [record for record in records if record.state == "accepted" and record.kind == "drift"]
    return {(*_place(member), record.model_id) for record in taken for member in record.members}


def rank(state: str) -> int:
    """Larger is worse."""
    return _SEVERITY[state]


def line(head: Row) -> Row:
    """An incident as an entry of a list."""
    record: Incident = head["record"]
    names = dict.fromkeys((member.slicing, member.slice) for member in record.members)
    return {
        **{name: getattr(record, name) for name in ("id", "state", "kind", "severity", "detector", "feature")},
        **{name: getattr(record, name) for name in ("summary", "since_ms", "opened_pane_ms", "share", "acked_by")},
        "silenced": is_silenced(head),
        "time_ms": head["time_ms"],
        "end_ms": None if is_open(head) else record.pane_end_ms,
        "ended": ENDED.get(record.state, ""),
        "answerable": is_answerable(record),
        "members": record.member_count,
        "slices": record.slice_count,
        "names": [{"slicing": slicing, "slice": name} for slicing, name in list(names)[:_NAMES]],
    }


def card(head: Row) -> Row:
    """An open incident: its line, the figures, and what happens next."""
    record: Incident = head["record"]
    shown = {"findings": builtins(record.findings[:_FINDINGS]), "links": record.links, "next": record.next}
    return line(head) | shown | {"more_findings": max(len(record.findings) - _FINDINGS, 0)}


def message(row: Row) -> Row:
    """A message as an entry of its thread; ``place`` is the source partition that tells it, where there is one."""
    record: Incident = row["record"]
    more = {"place": source_of(record), "time_ms": row["time_ms"], "silenced": is_silenced(row)}
    names = ("number", "state", "reason", "severity", "kind", "slice_count", "member_count", "summary", "acked_by")
    return {name: getattr(record, name) for name in names} | more


def partition(head: Row) -> Row:
    """What a source partition tells, as an entry of the incident that it is part of."""
    record: Incident = head["record"]
    return {
        "place": source_of(record),
        "since_ms": record.since_ms,
        "end_ms": record.pane_end_ms if is_over(record) else None,
    }


def by_slice(heads: Iterable[Row]) -> dict[Slice, list[Row]]:
    """Open incidents by the slices that are members and not over, in the order given."""
    table: dict[Slice, list[Row]] = {}
    for head in heads:
        for place in dict.fromkeys(_place(member) for member in head["record"].members if not member.over):
            table.setdefault(place, []).append(head)
    return table


def _place(member: Member) -> Slice:
    return member.slicing, member.slice


def places(record: Incident) -> list[Slice]:
    """Slices among its members, in their order: not the sum of all, not those without a place, no event before that."""
    found = dict.fromkeys(_place(member) for member in record.members if member.slicing)
    return [place for place in found if place[1] not in _NO_SLICE]


def unlisted(heads: Iterable[Row]) -> int:
    """Members of open incidents that no message names."""
    return sum(max(head["record"].member_count - len(head["record"].members), 0) for head in heads)


def of_slice(heads: Iterable[Row], place: Slice) -> list[Row]:
    """From when to when each incident that names a slice lasted; ``end_ms`` is None while it is open."""
    found = []
    for head in heads:
        since = [member.since_ms for member in head["record"].members if _place(member) == place]
        if since:
            found.append(span(head) | {"since_ms": min(since)})
    return sorted(found, key=lambda entry: int(entry["since_ms"]))


def span(head: Row) -> Row:
    """What a picture over time shows of an incident."""
    record: Incident = head["record"]
    return {
        "id": record.id,
        "kind": record.kind,
        "severity": severity(head),
        "says": says(record),
        "since_ms": record.since_ms,
        "opened_ms": record.opened_pane_ms,
        "end_ms": None if is_open(head) else record.pane_end_ms,
    }


def says(record: Incident) -> str:
    """What was found first, in few words: ``TEMP 4.1 σ higher: …``; where there are none, the sentence."""
    return next((finding.says for finding in record.findings if finding.says), record.summary)


def last_ended(heads: Iterable[Row]) -> Row | None:
    """The line of the one that ended last."""
    ended = [head for head in heads if not is_open(head)]
    return line(max(ended, key=lambda head: (head["record"].pane_end_ms, head["record"].id))) if ended else None


def builtins(record: Any) -> Any:
    """A record, or a list of them, as JSON has it."""
    return msgspec.to_builtins(record)


def headline(open_heads: Sequence[Row], slices: int, named: int, ended: Row | None) -> Row:
    """The sentence above everything else, and its tone. It follows from the incidents that are open and says no more.

    Args:
        open_heads: last messages of the open incidents.
        slices: slices that there are.
        named: slices that a message of an open incident names, silenced ones aside.
        ended: the line of the incident that ended last.
    """
    loud = [head["record"] for head in open_heads if not is_silenced(head)]
    hush = len(open_heads) - len(loud)
    if loud:
        return {"tone": worst(record.severity for record in loud), "says": _open_words(loud, hush, slices, named)}
    return {"tone": "silenced" if hush else "ok", "says": _quiet_words(hush, slices, ended)}


def _open_words(loud: Sequence[Incident], hush: int, slices: int, named: int) -> str:
    levels = [record.severity for record in loud]
    counted = [f"{levels.count(level)} {level}" for level in ("critical", "warning", "info") if level in levels]
    where = ""
    if named:
        least = "at least " if any(record.member_count > len(record.members) for record in loud) else ""
        where = (
            f" {least.capitalize()}{named:,} of {slices:,} slice{_s(slices)} {'is' if named == 1 else 'are'} concerned."
        )
    silent = f" {hush:,} more {_is(hush)} silenced." if hush else ""
    many = f"incident{_s(len(loud))} {_is(len(loud))} open"
    says = f"{counted[0]} {many}" if len(counted) == 1 else f"{len(loud):,} {many}: {', '.join(counted)}"
    return f"{says}.{where}{silent}"


def _quiet_words(hush: int, slices: int, ended: Row | None) -> str:
    if hush:
        return f"No incident is open but {hush:,} that {_is(hush)} silenced."
    where = f" in {'the only slice' if slices == 1 else f'any of the {slices:,} slices'}" if slices else ""
    return f"No incident is open{where}." + ("" if ended else " None has been opened so far.")


def _s(n: int) -> str:
    return "" if n == 1 else "s"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"
