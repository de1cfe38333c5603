"""Incidents and strange events as people read them in a terminal: in sentences, what matters most first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from schemas.incidents import Incident, SilencedIncident, StrangeEvents
from stream_app.terminal import printable, utc

Form = Literal["table", "json", "line"]
"""How incidents and signals are listed: columns, an object each, or a sentence each."""

STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
"""Severity to how it is shown, the worst first."""
KINDS = {"drift": "drift", "fault": "data fault"}
"""Kind to how people call it."""
OVER = {
    "resolve": "over, as it was before",
    "handover": "over, a newer model takes it for normal",
    "accepted": "over, accepted as the new normal",
}
"""State of an incident that has ended to how people say so."""

_REASONS = {"opened": "opened", "ended": "ended", "reminder": "reminders"}
_ID_SHOWN = 8
_TEXT_MAX = 2_000
_DAY_MS = 86_400_000


def short(record_id: str) -> str:
    """As much of an id as people type."""
    return record_id[:_ID_SHOWN]


def bounded(text: str) -> str:
    """A text of others for a terminal: no longer than a few lines, and nothing in it moves the cursor."""
    cut = text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
    return printable(cut)


def is_over(incident: Incident) -> bool:
    """Whether its last message has said that it has ended."""
    return incident.state in OVER


def is_answerable(incident: Incident) -> bool:
    """Whether it goes on or ends as people say: one of what becomes of events (rule ``intake``) follows these alone."""
    return incident.rules != ["intake"]


def is_silenced(incident: Incident) -> bool:
    """Whether a silence keeps this message from people."""
    return isinstance(incident, SilencedIncident)


def source_of(incident: Incident) -> str:
    """The source partition that an incident of what becomes of events is about; "" of any other."""
    place = incident.examples[0] if incident.cause_id and incident.examples else None
    return f"{place.topic}/{place.partition}" if place is not None else ""


def newest(messages: Iterable[Incident]) -> dict[str, Incident]:
    """The last message of each incident, by id; messages may come twice, and in any order."""
    threads: dict[str, Incident] = {}
    for message in messages:
        if message.id not in threads or message.number >= threads[message.id].number:
            threads[message.id] = message
    return threads


def oldest(messages: Iterable[Incident]) -> dict[str, Incident]:
    """The first message of each incident, by id."""
    threads: dict[str, Incident] = {}
    for message in messages:
        if message.id not in threads or message.number < threads[message.id].number:
            threads[message.id] = message
    return threads


def open_first(incidents: Iterable[Incident]) -> list[Incident]:
    """For a reader: what is open, the severest first; then what is over; of two alike the newer one first."""
    severities = list(STYLES)

    def place(incident: Incident) -> tuple[bool, int, int, str]:
        over = is_over(incident)
        last_ms = incident.pane_end_ms if over else incident.opened_pane_ms
        return over, 0 if over else severities.index(incident.severity), -last_ms, incident.id

    return sorted(incidents, key=place)


def paragraph(incident: Incident) -> Text:
    """An incident in a few lines: severity, id, state, kind and size; what has happened; what happens next."""
    style = "green" if is_over(incident) else STYLES[incident.severity]
    head = Text.assemble(
        (f"{incident.severity:<8}", style), "  ", (short(incident.id), "bold"), f"  {_facts(incident)}"
    )
    lines = [head, Text(f"  {bounded(incident.summary)}")]
    if incident.next and not is_over(incident):
        lines.append(Text(f"  {bounded(incident.next)}", "dim"))
    return Text("\n").join(lines)


def _facts(incident: Incident) -> str:
    since, until = utc(incident.since_ms), utc(incident.pane_end_ms)
    state = f"{since} to {until}: {OVER[incident.state]}" if is_over(incident) else f"open since {since}"
    if incident.acked_by and not is_over(incident):
        state += f", acknowledged by {bounded(incident.acked_by)}"
    slices = incident.slice_count
    size = "events as they arrive" if not slices else f"{slices:,} slices" if slices != 1 else "1 slice"
    silenced = f", silenced ({short(incident.silenced_by)})" if is_silenced(incident) else ""
    return f"{state}; {KINDS[incident.kind]}, {size}{silenced}"


def row(incident: Incident) -> Text:
    """An incident as a row of a table: severity, id, state, since when, kind, slices, and what has happened."""
    style = "green" if is_over(incident) else STYLES[incident.severity]
    state = "silenced" if is_silenced(incident) else "over" if is_over(incident) else "open"
    return Text.assemble(
        (f"{incident.severity:<8}", style),
        "  ",
        (short(incident.id), "bold"),
        f"  {state:<8}  {utc(incident.since_ms)}  {KINDS[incident.kind]:<10}  {incident.slice_count:>6,}  ",
        bounded(incident.summary),
    )


def sentence(incident: Incident) -> Text:
    """An incident as one sentence."""
    words = f"{incident.severity.capitalize()} {short(incident.id)}, {_facts(incident)}: {bounded(incident.summary)}"
    return Text(words if words.endswith(".") else f"{words}.")


def story(incidents: Iterable[Incident], strange: Sequence[StrangeEvents], most: int) -> Iterator[Text]:
    """How a stream stands, paragraph by paragraph: what is open, what is over, single strange events.

    Args:
        incidents: the last message of each.
        strange: messages about single events, in order.
        most: incidents that are told at most, open ones first.
    """
    ordered = open_first(incidents)
    now = [incident for incident in ordered if not is_over(incident)]
    past = ordered[len(now) :]
    yield Text(f"{_incidents(len(now), 'open')}{':' if now else '.'}", "bold")
    yield from _told(now, most)
    if past:
        yield Text(f"{_incidents(len(past), 'over')}:", "bold")
        yield from _told(past, most - len(now))
    if strange:
        yield Text(
            f"{sum(one.count for one in strange):,} single strange events, in {_messages(len(strange))}:", "bold"
        )
        yield Text(f"  {utc(strange[-1].pane_end_ms)}  {bounded(strange[-1].summary)}")


def show(out: Console, part: Text) -> None:
    """Print a part of a story: a line that is too long for the terminal goes on indented as it began, and stays in one
    piece for whatever reads a pipe.
    """
    for line in part.split("\n"):
        text = line.plain.lstrip(" ")
        if out.is_terminal:
            indent = len(line.plain) - len(text)
            out.print(Padding(line[indent:], (0, 0, 0, indent), expand=False))
        else:
            out.print(line, soft_wrap=True)


def _told(incidents: Sequence[Incident], most: int) -> Iterator[Text]:
    shown = max(most, 0)
    yield from map(paragraph, incidents[:shown])
    if len(incidents) > shown:
        yield Text(f"  … and {len(incidents) - shown:,} more", "dim")


def _incidents(n: int, state: str) -> str:
    return {0: "No incident is", 1: "One incident is"}.get(n, f"{n:,} incidents are") + f" {state}"


def _messages(n: int) -> str:
    return "1 message" if n == 1 else f"{n:,} messages"


def messages_a_week(messages: int, span_ms: int) -> float | None:
    """How many messages a week people get; None where the span is empty."""
    return round(messages * 7 * _DAY_MS / span_ms, 2) if span_ms > 0 else None


def reaching(messages: Iterable[Incident], strange: Sequence[StrangeEvents], span_ms: int) -> Text:
    """How many messages people have got in a span of event time, and why."""
    told = [message for message in messages if not is_silenced(message)]
    reasons = Counter(_REASONS.get(message.reason, "changed") for message in told)
    parts = [
        f"{reasons[reason]:,} {reason}" for reason in ("opened", "changed", "reminders", "ended") if reasons[reason]
    ]
    parts += [f"{len(strange):,} of single strange events"] if strange else []
    total = len(told) + len(strange)
    weekly = messages_a_week(total, span_ms)
    span = f" in {span_ms / _DAY_MS:,.0f} days, {weekly:.2f} a week" if weekly is not None else ""
    return Text(f"People got {_messages(total)}{span}{': ' if parts else ''}{', '.join(parts)}.")
