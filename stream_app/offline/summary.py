"""What a run without a broker has found, in about a dozen lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from schemas.incidents import Incident
from stream_app.event_files import Report
from stream_app.incident_lines import STYLES, bounded, is_over, newest, open_first, show
from stream_app.offline.signals import Signals
from stream_app.terminal import utc

INCIDENTS_TOLD = 5
_REASONS_TOLD = 5
_DAY = "%Y-%m-%d"


@dataclass(frozen=True)
class Scored:
    """What became of the rows of a run.

    Attributes:
        name: what was read.
        received, windowed: rows that came, and those that are counted in panes.
        first_ms, last_ms: event times; 0 where no pane has closed.
        models: ids of those that scored.
        rate: rows a second, from the first scored one to the last.
    """

    name: str
    received: int
    windowed: int
    first_ms: int
    last_ms: int
    models: Sequence[str]
    rate: float

    def sentence(self) -> str:
        """All of it."""
        span = f", {utc(self.first_ms, _DAY)} to {utc(self.last_ms, _DAY)}" if self.last_ms else ""
        by = f" by model {', '.join(self.models)}" if self.models else ""
        fast = f", {self.rate:,.0f} a second" if self.rate else ""
        return f"{self.received:,} rows of {self.name}{span}: {self.windowed:,} scored{by}{fast}."


def tell(out: Console, scored: Scored, signals: Signals, report: Report, look: Sequence[str]) -> None:
    """Print it: rows, what was dropped and why, incidents with their dates, and ``look``, where to look next."""
    show(out, Text(bounded(scored.sentence())))
    report.tell(out, _REASONS_TOLD)
    incidents = open_first(newest(signals.messages).values())
    show(out, Text(_head(incidents), "bold"))
    for incident in incidents[:INCIDENTS_TOLD]:
        show(out, _line(incident))
    if len(incidents) > INCIDENTS_TOLD:
        show(out, Text(f"  … and {len(incidents) - INCIDENTS_TOLD:,} more", "dim"))
    if signals.strange:
        last = signals.strange[-1]
        total = sum(one.count for one in signals.strange)
        show(out, Text(f"{total:,} single strange events, the last told {utc(last.pane_end_ms)}."))
    if signals.requests:
        first = utc(signals.requests[0].requested_pane_ms, _DAY)
        times = f"{len(signals.requests):,} times, first" if len(signals.requests) > 1 else "once,"
        show(out, Text(f"A better model was asked for {times} {first}: none is trained here."))
    if look:
        show(out, Text(f"Look next: {'; '.join(look)}."))


def _head(incidents: Sequence[Incident]) -> str:
    over = sum(map(is_over, incidents))
    still = len(incidents) - over
    if not incidents:
        return "No incident: nothing changed that the rules tell of."
    of = "1 incident" if len(incidents) == 1 else f"{len(incidents):,} incidents"
    return f"{of}, {still:,} open at the end, {over:,} over:"


def _line(incident: Incident) -> Text:
    over = is_over(incident)
    since = utc(incident.since_ms, _DAY)
    until = f"{since} to {utc(incident.pane_end_ms, _DAY)}" if over else f"open since {since}"
    style = "green" if over else STYLES[incident.severity]
    return Text.assemble((f"  {incident.severity:<8}", style), f"  {until}: {bounded(incident.summary)}")
