"""The demo's terminal view."""

from __future__ import annotations

import json
import time
from textwrap import shorten
from typing import Any

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas.incidents import Incident
from stream_app.demo.facts import SHOWN_SPAN, Facts
from stream_app.demo.progress import Progress
from stream_app.incident_lines import STYLES, bounded, is_over, newest, open_first
from stream_app.terminal import utc

_INCIDENTS_SHOWN = 8
_REASON_MAX = 120
_DAY = "%d %b"
_MARKS = {"drift": "▲", "fault": "◆"}


def render(facts: Facts, progress: Progress) -> RenderableType:
    """The whole view, for one refresh."""
    parts: list[RenderableType] = [_head(facts, progress), _slices(facts), _incidents(facts.messages)]
    if facts.models:
        parts.append(_models(facts.models, facts.status.get("service", "")))
    url = progress.console_url
    title, subtitle = "driftflow: a year of Beijing air", f"console [link={url}]{url}[/link]"
    return Panel(Group(*parts), title=title, subtitle=subtitle, border_style="cyan", padding=(0, 1))


def _head(facts: Facts, progress: Progress) -> RenderableType:
    first, second = Table.grid(expand=True), Table.grid(padding=(0, 3))
    first.add_row(Text(progress.phase, "bold"), Text(f"{time.time() - progress.began:.0f} s", justify="right"))
    day = utc(facts.event_time_ms, f"{_DAY} %Y") if facts.event_time_ms else "–"
    second.add_row(
        f"event time [bold]{day}[/]",
        f"{facts.received:,} of {progress.produced:,} received",
        f"[bold]{facts.events_per_s:,.0f}[/] events/s",
    )
    waits = f"the traffic waits for {progress.waits_for}" if progress.waits_for else ""
    return Group(first, second, _bar(facts.event_time_ms, progress), Text(), Text(waits, "dim"))  # a bar ends no line


def _bar(event_ms: int, progress: Progress) -> ProgressBar:
    start_ms, end_ms = progress.season.start_ms, progress.season.end_ms
    return ProgressBar(total=end_ms - start_ms, completed=min(max(event_ms, start_ms), end_ms) - start_ms)


def _slices(facts: Facts) -> RenderableType:
    if not facts.slices:
        return Text("no slices yet", "dim")
    kinds, names = _open_kinds(facts.messages), sorted(facts.slices)
    cells = [_slice(name, facts.slices[name], kinds.get(name, set())) for name in names]
    words = f"slices: share of strange events (p ≤ 0.01), last {SHOWN_SPAN[:-1]} days; ▲ drift, ◆ data fault"
    return Group(Text(words, "dim"), Columns(cells, padding=(0, 3)), Text())


def _slice(name: str, row: dict[str, Any], kinds: set[str]) -> Text:
    share, marks = row["p_le_01"] / max(row["scored"], 1), "".join(_MARKS[kind] for kind in sorted(kinds)) or "●"
    style = "bold red" if "drift" in kinds else "yellow" if kinds else "green"
    return Text.assemble((f"{marks:<2} ", style), f"{name:<14}", (f"{share:6.1%}", style))


def _open_kinds(messages: list[Incident]) -> dict[str, set[str]]:
    """Kinds of the open incidents that a slice is a member of."""
    table: dict[str, set[str]] = {}
    for incident in newest(messages).values():
        for member in incident.members if not is_over(incident) else ():
            if not member.over:
                table.setdefault(member.slice, set()).add(incident.kind)
    return table


def _incidents(messages: list[Incident]) -> RenderableType:
    threads = open_first(newest(messages).values())
    if not threads:
        return Text("no incidents yet", "dim")
    table = Table(box=None, header_style="dim", padding=(0, 1), expand=True)
    for column, width in (("since", 6), ("state", 8), ("kind", 7), ("severity", 8)):  # these whole, on any terminal
        table.add_column(column, no_wrap=True, min_width=width)
    table.add_column("what has happened", no_wrap=True, ratio=1)
    for incident in threads[:_INCIDENTS_SHOWN]:
        style = "green" if is_over(incident) else STYLES[incident.severity]
        table.add_row(
            utc(incident.since_ms, _DAY),
            Text(incident.state if is_over(incident) else "open", style),
            f"{_MARKS[incident.kind]} {incident.kind}",
            Text(incident.severity, style),
            Text(bounded(incident.summary)),
        )
    now = sum(not is_over(incident) for incident in threads)
    return Group(Text(f"{len(threads)} incidents, {now} of them open; {len(messages)} messages", "dim"), table, Text())


def _models(models: list[dict[str, Any]], service: str) -> RenderableType:
    table = Table(box=None, header_style="dim", padding=(0, 1), expand=True)
    for column in ("model", "status", "up to", "rows", "on held-out days"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for model in models[-4:]:
        name = Text(model["model_id"], "bold green" if model["model_id"] == service else "")
        status = Text("in service", "bold green") if model["model_id"] == service else model["status"]
        table.add_row(name, status, utc(model["time_ms"], _DAY), f"{model['train_rows']:,}", _judged(model))
    return table


def _judged(model: dict[str, Any]) -> str:
    """The figures of the gates in brief; the beginning of a refusal's reason."""
    gates = json.loads(model["gates"])
    if model["status"] in ("refused", "waiting") or "calibration_high" not in gates:
        return shorten(str(model["reason"]), _REASON_MAX, placeholder=" …")
    gain = gates.get("likelihood", {}).get("gain_nats")
    better = "" if gain is None else f", {gain:+.1f} nats"
    brief = f"{gates['calibration_high']['candidate']:.1%} strange{better}"
    return f"{brief}; compared on live events" if model["status"] == "candidate" else brief
