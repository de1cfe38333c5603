"""Economy: how many messages reach people in the example's four years, with retraining on.

Twelve stations of Beijing, hourly, with the example's configuration; the first half year trains the first model, as in
the demo, and what comes after it is watched. Each request is answered at the end of the day of the stream on which it
is made.

- ``messages_per_week``: messages of incidents (opens, updates, resolves, whatever their reason) a week.
- ``incidents``: how many there were; ``by_kind`` of them, ``by_state`` and ``by_reason`` of the messages.
- ``single_events_per_week``: messages of strange events a week.
- ``weeks`` that were watched, ``requests`` for a model, and ``models`` that were promoted after the first.
"""

from __future__ import annotations

import gzip
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from flowlib.table import DAY_MS
from schemas.incidents import Incident, SilencedIncident, StrangeEvents
from schemas.records import Record
from stream_app.config import Config, load
from stream_app.demo.progress import Season
from stream_app.event_files import read_timed_rows
from stream_app.terminal import utc
from tests.bench.incidents.answered import Answered, Timed

FILE = "beijing_air_12_stations.csv.gz"
WEEK_MS = 7 * DAY_MS
MUST = 1.0
"""Messages a week."""
_QUICK_MS = 60 * DAY_MS


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    path = next((p for p in (args.data / "example" / FILE, args.data / FILE) if p.exists()), None)
    if path is None:
        raise SystemExit(f"no {FILE} in {args.data}: pass the folder that holds it, or example/ with it")
    with tempfile.TemporaryDirectory() as folder:
        answered, weeks = played(config(), renamed(path, Path(folder)), _QUICK_MS if args.quick else None)
    show(answered.signals)
    return figures(answered, weeks)


def config() -> Config:
    """The example's, as it is shipped."""
    with shipped("driftflow.toml") as path:
        return load(path)


def shipped(name: str) -> AbstractContextManager[Path]:
    """A file of the example."""
    return resources.as_file(resources.files("stream_app.demo.example").joinpath(name))


def renamed(path: Path, folder: Path) -> Path:
    """The file with the example's name for its slices, ``station``."""
    copy = folder / "events.csv.gz"
    with gzip.open(path, "rt") as source, gzip.open(copy, "wt", compresslevel=1) as target:
        target.write(next(source).replace(",slice,", ",station,"))
        target.writelines(source)
    return copy


def played(
    of: Config, path: Path, live_ms: int | None = None, kind: type[Answered] = Answered
) -> tuple[Answered, float]:
    """The run, and how many weeks were watched; with ``live_ms`` only so much of what follows the history."""
    season = Season()
    answered, last_ms = kind(of), season.live_ms
    days = groupby(_rows(path, of), lambda row: max(row[0], season.live_ms - 1) // DAY_MS)
    for day, rows in days:
        if day * DAY_MS < season.live_ms:
            answered.begin(rows, season.live_ms)
        elif live_ms is None or day * DAY_MS < season.live_ms + live_ms:
            answered.feed(rows)
            last_ms = (day + 1) * DAY_MS
            if day % 100 == 0:
                print(f"  {utc(last_ms)}: {len(answered.signals):,} signals", flush=True)
    return answered, (last_ms - season.live_ms) / WEEK_MS


def _rows(path: Path, of: Config) -> Iterator[Timed]:
    for key, value, time_ms in read_timed_rows(path, of):
        assert time_ms is not None
        yield time_ms, key, value


def figures(answered: Answered, weeks: float) -> dict[str, Any]:
    """See above."""
    told = messages(answered.signals)
    kinds = {incident.id: incident.kind for incident in told}
    strange = sum(isinstance(record, StrangeEvents) for record in answered.signals)
    return {
        "messages_per_week": round(len(told) / weeks, 3),
        "incidents": len(kinds),
        "by_kind": dict(sorted(Counter(kinds.values()).items())),
        "single_events_per_week": round(strange / weeks, 3),
        "by_state": dict(sorted(Counter(incident.state for incident in told).items())),
        "by_reason": dict(sorted(Counter(incident.reason for incident in told).items())),
        "weeks": round(weeks, 1),
        "requests": len(answered.outcomes),
        "models": len(answered.models) - 1,
    }


def messages(signals: Sequence[Record]) -> list[Incident]:
    """Those that reach people."""
    return [r for r in signals if isinstance(r, Incident) and not isinstance(r, SilencedIncident)]


def show(signals: Sequence[Record]) -> None:
    """Every message as a line, for whoever looks for what is too much."""
    for record in signals:
        if isinstance(record, Incident):
            said = f"{record.id[:8]} {record.number} {record.state} ({record.reason}) {record.kind} {record.severity}"
            print(f"  {utc(record.pane_end_ms)} {said}: {record.summary}")
        elif isinstance(record, StrangeEvents):
            print(f"  {utc(record.pane_end_ms)} strange events: {record.count} {record.summary}")


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    kept = {"messages_per_week": f"≤ {MUST:g}"}
    return [("what", "is", "must be"), *((name, str(value), kept.get(name, "")) for name, value in found.items())]
