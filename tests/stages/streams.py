"""Synthetic streams, and a driver that feeds them to a pipeline without a broker."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from flowlib.density import Density
from flowlib.table import Table
from stream_app.config import Config, parse
from stream_app.offline.replay import Downstream
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.stages.decisions import Activated, Decision
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.pipeline import Pipeline

NUMERIC, CATEGORIES, STATIONS = ("x", "y", "v"), ("c",), ("north", "south", "west")
PANE = 1_000
Channels = dict[tuple[str, int], list[Outgoing]]

RULES: dict[str, Any] = {
    "drift": {
        "detectors": ["location", "scale", "dependence", "likelihood", "categories", "variation"],
        "resolve": 0.01,
        "retrain": True,
    },
    "fault": {"detectors": ["missing", "stuck", "silence", "volume"], "resolve": 0.01},
    "step": {"detectors": ["page_hinkley"], "options": {"threshold": 3.0, "hold": 2}},
}


class Quiet(list[Any]):
    """A list whose repr is short: hypothesis prints the arguments of a test that fails."""

    def __repr__(self) -> str:
        return f"<{len(self)} items>"


def table(rng: np.random.Generator, n: int, shift: float = 0.0) -> tuple[Any, Any, Any]:
    """Correlated rows: numeric ``(n, 3)`` float32 with gaps, categories ``(n, 1)``, stations ``(n,)``."""
    z = rng.standard_normal((n, 3))
    numeric = np.column_stack([z[:, 0] + shift, 0.8 * z[:, 0] + 0.6 * z[:, 1], np.exp(0.5 * z[:, 2])]).astype(
        np.float32
    )
    numeric[rng.random((n, 3)) < 0.03] = np.nan
    categories = rng.choice(np.array(["a", "b"], dtype=object), (n, 1))
    return numeric, categories, rng.choice(np.array(STATIONS, dtype=object), n)


def held_out(seed: int) -> Table:
    """Rows with their times and slices, for a reference: forty panes of ten events."""
    numeric, categories, stations = table(np.random.default_rng(100 * seed + 3), 400)
    others = np.full((400, 1), "all", dtype=object)
    return replace(Table.of(numeric, categories, stations, np.arange(400) * PANE // 10), others=others)


def config(**sections: Any) -> Config:
    """A stream of one-second panes on two partials partitions, sliced by station and as a whole. Its clock is the
    newest event, so that few events close panes.
    """
    raw: dict[str, Any] = {
        "stream": "s",
        "topics": {"events": "e", "partitions": 2},
        "event": {
            "time_field": "t",
            "time_format": "epoch_ms",
            "numeric": list(NUMERIC),
            "categorical": list(CATEGORIES),
            "slicings": [["station"], []],
            "id_field": "id",
            "max_bytes": 2_000,
        },
        "windows": {
            "pane": "1s",
            "spans": ["2s", "8s"],
            "lateness": "500ms",
            "clock": 1,
            "max_future": "100s",
            "max_slices": 50,
        },
        "event_rule": {"alpha": 0.01},
        "alerts": {"false_incidents_per_month": 10_000.0},
        "rules": RULES,
        "retrain": {"cooldown": "10s", "reference": "60s", "calibration": "5s"},
    }
    return parse({key: {**raw.get(key, {}), **sections.get(key, {})} if key in sections else raw[key] for key in raw})


def event(t: Any, i: int = -1, **fields: Any) -> bytes:
    """One body."""
    known: dict[str, Any] = {"t": t, "x": 0.1, "y": 0.2, "v": 1.0, "c": "a", "station": "north"}
    return msgspec.json.encode(known | ({"id": i} if i >= 0 else {}) | fields)


def bodies(seed: int, n: int, span_ms: int, drift_from: float = 0.5, gaps: bool = True) -> list[bytes | None]:
    """``n`` events over ``span_ms``, slightly out of order; from a share of them on, x is shifted and may have gaps."""
    rng = np.random.default_rng(seed)
    numeric, categories, stations = table(rng, n)
    times = np.maximum(np.linspace(0, span_ms, n) + rng.normal(0, 300, n), 0).astype(int)
    out: list[bytes | None] = []
    for i in range(n):
        late = i >= drift_from * n
        x, y, v = (None if np.isnan(value) else float(value) for value in numeric[i])
        x = None if x is None or (late and gaps and i % 3 == 0) else x + 4.0 * late
        out.append(event(int(times[i]), i - i % 17 // 16, x=x, y=y, v=v, c=categories[i, 0], station=stations[i]))
    return out


def raw(partition: int, values: Sequence[bytes | None], first: int = 0) -> RawBatch:
    """A batch whose offsets start at ``first``."""
    return RawBatch("e", partition, np.arange(first, first + len(values), dtype=np.int64), list(values))


def pipeline(cfg: Config, models: Iterable[Density], sources: int = 1, decisions: Iterable[Decision] = ()) -> Pipeline:
    """Everything opened, and the first model active from the start unless decisions are given."""
    models, given = list(models), list(decisions)
    if not given:
        given = [Activated(p, 0, models[0].model_id) for p in range(sources)]
    made = Pipeline(cfg, sources, given)
    for one in models:
        made.models.add(one)
    for p in range(sources):
        made.open_score(p)
    for q in range(cfg.topics.partitions):
        made.open_watch(q)
    return made


def cut(n: int, sizes: Iterable[int]) -> list[tuple[int, int]]:
    """``[start, end)`` of batches of the sizes, taken in turn, over ``n`` rows."""
    edges, at = [0], 0
    for size in itertools.cycle(list(sizes)):
        if at >= n:
            return list(itertools.pairwise(edges))
        at = min(at + max(size, 1), n)
        edges.append(at)
    raise AssertionError("unreachable")


def score_all(made: Pipeline, partition: int, values: Sequence[bytes | None], sizes: Iterable[int]) -> Outputs:
    """The whole of a source partition through SCORE, in batches."""
    out = Outputs()
    for a, b in cut(len(values), sizes):
        step = made.score(raw(partition, values[a:b], a))
        out.messages += step.messages
        out.points += step.points
    return out


def channels(messages: Iterable[Outgoing]) -> Channels:
    """Messages by what orders them: role and partition."""
    out: Channels = defaultdict(list)
    for message in messages:
        out[message.role, message.partition].append(message)
    return dict(out)


def partials_of(messages: Sequence[Outgoing], first: int = 0) -> list[PartialMessage]:
    """Messages as WATCH takes them, offsets from ``first`` on."""
    return [PartialMessage(offset, m.value, m.headers) for offset, m in enumerate(messages, first)]


def watch_all(made: Pipeline, q: int, messages: Sequence[Outgoing], first: int = 0, size: int = 1) -> Outputs:
    """Partials messages through WATCH, ``size`` at a time, offsets from ``first`` on."""
    out, partials = Outputs(), partials_of(messages, first)
    for start in range(0, len(partials), size):
        step = made.watch(q, partials[start : start + size])
        out.messages += step.messages
        out.points += step.points
        out.refused += step.refused
    return out


def judge_all(made: Pipeline, sent: Iterable[Outgoing]) -> Outputs:
    """All that SCORE has sent, through WATCH and JUDGE."""
    out = Outputs()
    made.open_judge()
    out.points += Downstream(made, out.messages.append).take(sent)
    return out


def decoded(lines: bytes) -> list[Decision]:
    """Decisions from the lines of their file."""
    return [msgspec.json.decode(line, type=Decision) for line in lines.splitlines()]
