"""The demo's terminal view."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from stream_app.demo.story import Story

_ALERTS_SHOWN = 8
_START_MS = 1_362_096_000_000  # 1 March 2013
_END_MS = 1_394_841_600_000  # 15 March 2014


def render(story: Story) -> RenderableType:
    """The whole view, for one refresh."""
    parts: list[RenderableType] = [_head(story), _slices(story), _alerts(story.facts.alerts)]
    if story.facts.models:
        parts.append(_models(story.facts.models, story.facts.status.get("service", "")))
    return Panel(Group(*parts), title="driftflow: a year of Beijing air", border_style="cyan", padding=(0, 1))


def _head(story: Story) -> RenderableType:
    facts = story.facts
    table = Table.grid(padding=(0, 3))
    day = _day(facts.event_time_ms) if facts.event_time_ms else "–"
    phase = "waiting for the trainer" if story.waits else story.phase
    table.add_row(
        Text(phase, "bold"),
        f"console [link={story.console_url}]{story.console_url}[/link]",
        f"{time.time() - story.began:.0f} s",
    )
    table.add_row(
        f"event time [bold]{day}[/]",
        f"{facts.received:,} of {story.produced:,} events received",
        f"[bold]{facts.events_per_s:,.0f}[/] events/s",
    )
    done = max(facts.event_time_ms - _START_MS, 0)
    return Group(table, ProgressBar(total=_END_MS - _START_MS, completed=min(done, _END_MS - _START_MS)), Text())


def _slices(story: Story) -> RenderableType:
    open_rules = _open_rules(story.facts.alerts)
    table = Table.grid(padding=(0, 2))
    names = sorted(story.facts.slices)
    for at in range(0, len(names), 4):
        table.add_row(
            *[_slice(name, story.facts.slices[name], open_rules.get(name, [])) for name in names[at : at + 4]]
        )
    if not names:
        return Text("no slices yet", "dim")
    return Group(Text("slices: share of strange events (p ≤ 0.01), last 28 days", "dim"), table, Text())


def _slice(name: str, row: dict[str, Any], rules: list[str]) -> Text:
    share = row["p_le_01"] / max(row["scored"], 1)
    mark, style = ("▲", "bold red") if "drift" in rules else ("●", "yellow") if rules else ("●", "green")
    return Text.assemble((f"{mark} ", style), f"{name:<14}", (f"{share:6.1%}", style))


def _open_rules(alerts: list[dict[str, Any]]) -> dict[str, list[str]]:
    state = {(a["slice"], a["rule"]): a["state"] for a in alerts}
    table: dict[str, list[str]] = {}
    for (name, rule), last in state.items():
        if last != "resolve":
            table.setdefault(name, []).append(rule)
    return table


def _alerts(alerts: list[dict[str, Any]]) -> RenderableType:
    if not alerts:
        return Text("no alerts yet", "dim")
    table = Table(box=None, header_style="dim", padding=(0, 1), expand=True)
    for column in ("when", "state", "slice", "rule", "statistic"):  # these whole, on a terminal of any width
        table.add_column(column, no_wrap=True, min_width=13 if column == "slice" else 7)
    table.add_column("features to blame", no_wrap=True, ratio=1)
    # What opened, and every word on drift: the rest is in the console.
    told = [alert for alert in alerts if alert["state"] == "open" or alert["rule"] == "drift"]
    for alert in told[-_ALERTS_SHOWN:][::-1]:
        style = {"open": "bold red", "resolve": "green"}.get(alert["state"], "yellow")
        blame = ", ".join(f"{b['feature']} {b['weight']:.0%}" for b in json.loads(alert["blame"]))
        table.add_row(
            _day(alert["time_ms"], "%d %b"),
            Text(alert["state"], style),
            alert["slice"],
            alert["rule"],
            f"{alert['statistic']:.3g}",
            blame,
        )
    opened = sum(alert["state"] == "open" for alert in alerts)
    return Group(Text(f"latest of {opened} alerts", "dim"), table, Text())


def _models(models: list[dict[str, Any]], service: str) -> RenderableType:
    table = Table(box=None, header_style="dim", padding=(0, 1), expand=True)
    for column in ("model", "status", "up to", "rows", "on held-out days"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for model in models[-4:]:
        name = Text(model["model_id"], "bold green" if model["model_id"] == service else "")
        status = Text("in service", "bold green") if model["model_id"] == service else model["status"]
        table.add_row(name, status, _day(model["time_ms"], "%d %b"), f"{model['train_rows']:,}", _judged(model))
    return table


def _judged(model: dict[str, Any]) -> str:
    """The figures of the gates in brief; a refusal's reason as it is."""
    gates = json.loads(model["gates"])
    if model["status"] != "promoted" or "calibration" not in gates:
        return str(model["reason"])
    gain = gates["likelihood"]["gain_nats"] if "likelihood" in gates else None
    better = "" if gain is None else f", {gain:+.1f} nats"
    return f"{gates['calibration']['candidate']:.1%} strange{better}"


def _day(ms: int, shown: str = "%d %b %Y") -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime(shown)
