"""Rows of a world that does not change, requests for them, and models that say what they are told to."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from flowlib.table import DAY_MS, Bools, Floats, Table
from schemas.records import IncidentSpan, OffsetRange, RetrainRequest
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.trainer.data.admit import Prepared, prepare
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.data.sheet import DataSheet, make_sheet
from stream_app.trainer.data.spans import Folds

START_MS = 20_000 * DAY_MS
CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["w", "x", "y", "z"], categorical=["c"], slicings=[["s"]]),
)
SECRET = b"k" * 32


def iid(seed: int, days: int = 60, a_day: int = 40, slices: int = 3) -> Table:
    """Four numbers, two of them dependent, one skew and one on a grid; a category; as many rows a day as chance has."""
    g, n = np.random.default_rng(seed), days * a_day
    x = g.standard_normal((n, 4))
    x[:, 1] = 0.7 * x[:, 0] + 0.7 * x[:, 1]
    x[:, 2], x[:, 3] = np.exp(x[:, 2]), np.round(x[:, 3], 1)
    names = g.choice([f"s{i}" for i in range(slices)], n).astype(object)
    levels = g.choice(["a", "b", "c"], (n, 1), p=[0.6, 0.3, 0.1]).astype(object)
    return Table.of(x, levels, names, START_MS + np.sort(g.integers(0, days * DAY_MS, n)))


def day_of(table: Table) -> Any:
    """``(n,)`` days since the first."""
    return (table.time_ms - START_MS) // DAY_MS


def request(table: Table, calibrate_from_day: int | None = None, **fields: Any) -> RetrainRequest:
    """For all rows of a table."""
    end_ms = int(table.time_ms[-1]) + 1 if len(table) else START_MS
    start_ms = min(int(table.time_ms[0]), START_MS) if len(table) else START_MS
    part = OffsetRange(topic="e", partition=0, start=0, end=len(table), start_ms=start_ms, end_ms=end_ms)
    calibrate_from_ms = start_ms if calibrate_from_day is None else START_MS + calibrate_from_day * DAY_MS
    made: dict[str, Any] = {
        "id": "r",
        "stream": "s",
        "reason": "drift",
        "slices": [],
        "alerts": [],
        "model_id": "",
        "requested_pane_ms": end_ms,
        "train": [part],
        "calibrate_from_ms": calibrate_from_ms,
    }
    return RetrainRequest(**{**made, **fields})


def span(name: str, first_day: int, end_day: int, slices: list[str] | None = None, kind: str = "burst") -> IncidentSpan:
    """Whole days of some slices, or of all."""
    times = START_MS + first_day * DAY_MS, START_MS + end_day * DAY_MS
    return IncidentSpan(incident_id=name, kind=kind, slicing="s", slices=slices or [], from_ms=times[0], to_ms=times[1])


def prepared(
    table: Table | Rows,
    champion: Any = None,
    config: Config = CONFIG,
    secret: bytes = SECRET,
    name: str = "r",
    calibrate_from_day: int | None = None,
    **fields: Any,
) -> Prepared:
    """Rows made ready to train."""
    rows = table if isinstance(table, Rows) else Rows.of(table)
    made = request(rows.table, calibrate_from_day, **fields)
    return prepare(config, made, rows, champion, Folds(secret, name))


def sheet_of(table: Table | Rows, champion: Any = None, config: Config = CONFIG, **fields: Any) -> DataSheet:
    """The data sheet of what is made of them."""
    rows = table if isinstance(table, Rows) else Rows.of(table)
    made = prepared(rows, champion, config, **fields)
    return make_sheet(made.split, rows, champion, config, fields.get("accepted", ()))


def told(p_value: Callable[[Table], Floats]) -> Any:
    """A model whose p-values are told, and whose log-likelihood is their logarithm."""

    def score(table: Table) -> Any:
        p = np.asarray(p_value(table), dtype=float)
        return SimpleNamespace(scorable=np.ones(len(p), bool), p_value=p, log_prob=np.log(p))

    return SimpleNamespace(score=score, manifest={})


def changed(table: Table, rows: Bools, **columns: Any) -> Table:
    """The table with other values in some rows: of ``w`` to ``z``, ``c`` and ``s``; a function takes the old ones."""
    numeric, categories, slices = table.numeric.copy(), table.categories.copy(), table.slices.copy()
    places: dict[str, Any] = {name: numeric[:, i] for i, name in enumerate("wxyz")} | {
        "c": categories[:, 0],
        "s": slices,
    }
    for name, value in columns.items():
        place = places[name]
        place[rows] = value(place[rows]) if callable(value) else value
    return Table.of(numeric, categories, slices, table.time_ms)
