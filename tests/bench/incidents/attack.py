"""An attack with new names: which honest slices still have their windows, and what it costs.

Honest slices of a planted stream have two events an hour each, on two partitions, from JSON bodies through SCORE, WATCH
and JUDGE. An attacker sends hundreds of thousands of events a day, many times as many names as there are places
(``max_slices``, on each partition): a ``new`` one with each event, or the ``same`` ones hour by hour, which last like
honest ones do. It begins in the middle of the stream, or before its first honest event. The model knows the honest
slices (``known``), but for the newcomers among them, which come in the middle; in one row it knows none.

``rows``, one for each way of attacking:

- ``honest_slices``, ``honest_slices_with_windows``: those whose point of the measurement ``windows`` counts each of
  their events, in every pane of the attack. The smallest of all rows stands at the top; it must be all of them.
- ``newcomers``, ``newcomers_with_windows``: honest slices that nobody knows, and how many of them are counted whole in
  the last third of the attack. The attacker's names that lasted before them keep what places there were.
- ``said``: the field that explodes and how many names a pane it is said to have, with how many it had
  (``names_a_pane``).
- ``incidents``: of JUDGE's own rule about slices without a place.
- ``events_per_s`` (of processor time), size of all snapshots (``state_mb``), memory of the process (``memory_mb``) in
  both halves of the stream; where the attack begins at the start both are of an attack.
"""

from __future__ import annotations

import gc
import os
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from flowlib.density import Density
from schemas.codecs import decode_event, decode_partial
from schemas.incidents import Incident
from schemas.records import PaneClosed, Strangers
from stream_app.config import Config
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun, batches
from stream_app.stages.batches import RawBatch
from stream_app.stages.outputs import Point
from tests.bench.detect import product
from tests.bench.detect.streams import HOUR_MS, START_MS, Events, Planted

PARTITIONS, PER_PANE, DAY = 2, 2, 24
MB = 1024 * 1024
Row = tuple[bytes | None, bytes | None]
"""Key and body."""


@dataclass(frozen=True)
class Attack:
    """A way of attacking.

    Attributes:
        names: ``new``, one with each event; ``same``, hour by hour.
        begins: ``middle`` of the stream, or before its first event (``start``).
        known: whether the model knows the honest slices.
        honest, newcomers: slices; the latter come in the middle, and no model knows them.
        hours: length of each half.
        a_day: events of the attacker.
        max_slices: the setting.
    """

    names: str
    begins: str
    known: bool = True
    honest: int = 400
    newcomers: int = 20
    hours: int = DAY
    a_day: int = 300_000
    max_slices: int = 1_000
    seed: int = 5

    @property
    def planted(self) -> Planted:
        """The honest stream, newcomers included."""
        slices = self.honest + self.newcomers
        return Planted(slices, d=4, monitored=2 * self.hours, per_pane=PER_PANE, fixed=True, seed=self.seed)

    @property
    def different(self) -> int:
        """Names that the attacker has."""
        return self.a_day * 1_000 if self.names == "new" else 5 * self.max_slices * PARTITIONS

    @property
    def config(self) -> Config:
        """Of the stream."""
        topics = {"events": "events", "partitions": PARTITIONS}
        windows = {"max_slices": self.max_slices, "spans": ["1d"]}
        return product.planted_config(self.planted, topics=topics, windows=windows)


WAYS = (
    Attack("new", "middle"),
    Attack("new", "start"),
    Attack("same", "middle"),
    Attack("same", "start"),
    Attack("new", "middle", known=False),
)


@dataclass
class Seen:
    """What came out of a run.

    Attributes:
        events: pane number and honest slice to the events that its windows count.
        said: of each closed pane, by source partition.
        incidents: of slices without a place.
    """

    events: dict[tuple[int, str], int] = field(default_factory=dict)
    said: dict[tuple[int, int], Strangers] = field(default_factory=dict)
    incidents: set[str] = field(default_factory=set)

    def take(self, points: list[Point], run: LocalRun) -> None:
        """Take a batch's results in; what was sent is forgotten."""
        for point in points:
            tags = dict(point.tags)
            if point.measurement == "windows" and tags["span"] == "pane" and tags["slice"].startswith("s"):
                pane = (point.time_ms - START_MS) // HOUR_MS - 1
                self.events[pane, tags["slice"]] = int(dict(point.fields)["seen"])
        for (role, partition), sent in run.sent.items():
            for message in sent if role == "signals" or (role, partition) == ("partials", 0) else ():
                if role == "signals":
                    record = decode_event(message.value, message.headers)
                    if isinstance(record, Incident) and record.detector == "strangers":
                        self.incidents.add(record.id)
                elif isinstance(marker := decode_partial(message.value, dict(message.headers)), PaneClosed):
                    for strangers in marker.strangers:
                        self.said[(marker.pane_start_ms - START_MS) // HOUR_MS, marker.partition] = strangers
            sent.clear()


def measure(args: Namespace) -> dict[str, Any]:
    """``{honest_slices, honest_slices_with_windows, rows}``."""
    ways: Sequence[Attack] = WAYS
    if args.quick:
        small: dict[str, Any] = {"honest": 30, "newcomers": 5, "hours": 12, "a_day": 12_000, "max_slices": 100}
        ways = [replace(way, **small) for way in WAYS]
    rows = []
    for way in ways:
        rows.append(measured(way))
        print(f"  {rows[-1]}", flush=True)
    least = min(rows, key=lambda row: row["honest_slices_with_windows"] - row["honest_slices"])
    return {name: least[name] for name in ("honest_slices", "honest_slices_with_windows")} | {"rows": rows}


def measured(way: Attack) -> dict[str, Any]:
    """A row."""
    planted, config, seen = way.planted, way.config, Seen()
    events = planted.events()
    density, feed = scored_by(config, _model(way, events)), _Feed(LocalRun(config), seen)
    feed.run.pipeline.models.add(density)
    feed.run.start(density.model_id)
    first, middle, end = planted.reference, planted.reference + way.hours, planted.panes
    begins, names = (first if way.begins == "start" else middle), _names(way)
    before = feed.half(_rows(way, events, first, middle, names if begins == first else None))
    during = feed.half(_rows(way, events, middle, end, names))
    newcomers = range(way.honest, planted.slices)
    return {
        "names": way.names,
        "begins": way.begins,
        "known": way.known,
        "honest_slices": way.honest,
        "honest_slices_with_windows": _whole(seen, range(way.honest), begins, end - 1),
        "newcomers": way.newcomers,
        "newcomers_with_windows": _whole(seen, newcomers, end - way.hours // 3, end - 1),
        "names_a_pane": min(way.a_day // DAY, way.different),
        "said": _said(seen, end - 2),
        "incidents": len(seen.incidents),
        "max_slices": way.max_slices,
        "before": before,
        "during": during,
    }


def _model(way: Attack, events: Events) -> Density:
    """Planted; of the honest slices without the newcomers, or of a slice of another name."""
    planted = way.planted
    old = events.span(0, planted.reference)
    keep = old.slice_ < way.honest
    rows = list(product.keyed(Events(old.time_ms[keep], old.pane[keep], old.slice_[keep], old.values[keep], planted)))
    if not way.known:
        rows = [(key, body.replace(b'"slice":"s', b'"slice":"old ')) for key, body in rows if body is not None]
    config = product.planted_config(planted, model={"flow": "mixture"})
    return product.train(config, rows, planted)


def _names(way: Attack) -> Iterator[str]:
    """The attacker's."""
    return (f"u{n % way.different}" for n in count())


def _rows(way: Attack, events: Events, first: int, last: int, names: Iterator[str] | None) -> Iterator[Row]:
    """Keyed bodies of some panes in order of time; the attacker's events among them."""
    middle, rng = way.planted.reference + way.hours, np.random.default_rng(first)
    for pane in range(first, last):
        of_pane = events.span(pane, pane + 1)
        honest = zip(of_pane.time_ms.tolist(), of_pane.slice_.tolist(), product.keyed(of_pane), strict=True)
        rows = [(t, row) for t, s, row in honest if s < way.honest or pane >= middle]
        if names is not None:
            times = (START_MS + pane * HOUR_MS + np.sort(rng.integers(0, HOUR_MS, way.a_day // DAY))).tolist()
            values = rng.standard_normal((len(times), way.planted.d)).tolist()
            rows += [(t, _bad(t, next(names), x)) for t, x in zip(times, values, strict=True)]
            rows.sort(key=lambda row: row[0])
        yield from (row for _, row in rows)


def _bad(time_ms: int, name: str, values: list[float]) -> tuple[bytes, bytes]:
    columns = ",".join(f'"x{j}":{value:.7g}' for j, value in enumerate(values))
    return name.encode(), f'{{"time":{time_ms},"slice":"{name}",{columns}}}'.encode()


class _Feed:
    """Feeds a run in batches, and says what it costs."""

    def __init__(self, run: LocalRun, seen: Seen) -> None:
        self.run, self._seen = run, seen
        self._ends = [0] * PARTITIONS

    def half(self, rows: Iterable[Row]) -> dict[str, float]:
        """Feed half of the stream."""
        n, taken_s = 0, 0.0
        for raw in batches(self.run.config, rows):
            first = self._ends[raw.partition]
            self._ends[raw.partition] += len(raw)
            began = time.process_time()
            points = self.run.feed(RawBatch(raw.topic, raw.partition, first + np.arange(len(raw)), raw.values))
            taken_s += time.process_time() - began
            self._seen.take(points, self.run)
            n += len(raw)
        return {
            "events": n,
            "events_per_s": round(n / taken_s),
            "state_mb": round(self._state_bytes() / MB, 2),
            "memory_mb": round(_memory_bytes() / MB, 1),
        }

    def _state_bytes(self) -> int:
        """Size of all snapshots."""
        made = self.run.pipeline
        of_partitions = [make(p) for make in (made.snapshot_score, made.snapshot_watch) for p in range(PARTITIONS)]
        return sum(map(len, (*of_partitions, made.snapshot_judge())))


def _memory_bytes() -> int:
    """What the process has in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _whole(seen: Seen, slices: range, first: int, end: int) -> int:
    """Slices that have all their events in their windows in every one of some panes."""
    names = [f"s{s:04d}" for s in slices]
    return sum(all(seen.events.get((pane, name)) == PER_PANE for pane in range(first, end)) for name in names)


def _said(seen: Seen, pane: int) -> dict[str, Any]:
    """Of one pane, over all source partitions; each has names of its own."""
    said = [seen.said[pane, p] for p in range(PARTITIONS) if (pane, p) in seen.said]
    return {
        "field": said[0].field if said else "",
        "names": sum(one.names for one in said),
        "events": sum(one.events for one in said),
        "examples": said[0].examples[:2] if said else [],
    }


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    head = (
        "attack",
        "honest",
        "with windows",
        "newcomers",
        "with windows",
        "names a pane",
        "said",
        "events/s",
        "memory",
    )
    lines: list[tuple[str, ...]] = [head]
    for row in found["rows"]:
        names = ("honest_slices", "honest_slices_with_windows", "newcomers", "newcomers_with_windows", "names_a_pane")
        way = f"{row['names']} names, {row['begins']}{'' if row['known'] else ', nobody known'}"
        both = (row["before"], row["during"])
        costs = (" → ".join(f"{half[name]:,.0f}" for half in both) for name in ("events_per_s", "memory_mb"))
        lines.append((way, *(str(row[name]) for name in names), str(row["said"]["names"]), *costs))
    return lines
