"""Signals as a DataFrame: a row each, a column for each field that one of them has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from schemas.records import Record
from stream_app.client.taking import Signal
from stream_app.errors import DriftflowError


def frame_of(signals: Sequence[Signal[Any]], backend: str = "pandas") -> Any:
    """Signals as a DataFrame of pandas or polars, or a table of Arrow.

    The first columns are ``time`` (UTC), ``type``, ``event_id``, ``said_by``, ``is_trusted``, ``at_partition`` and
    ``at_offset``; then come the fields of the records, in their order, missing where a record has none. Times whose
    names end with ``_ms`` stay milliseconds; what is nested is text in JSON.

    Args:
        signals: any number, of any kinds.
        backend: ``pandas``, ``polars`` or ``arrow``.

    Raises:
        ValueError: there is no such backend.
        DriftflowError: its library is not installed.
    """
    if backend not in _BUILDERS:
        raise ValueError(f"backend = {backend!r}: one of {', '.join(_BUILDERS)}")
    columns: dict[str, list[Any]] = {
        "time": [signal.time for signal in signals],
        "type": [signal.type for signal in signals],
        "event_id": [signal.id for signal in signals],
        "said_by": [signal.source for signal in signals],
        "is_trusted": [signal.is_trusted for signal in signals],
        "at_partition": [signal.partition for signal in signals],
        "at_offset": [signal.offset for signal in signals],
    }
    records = [_flat(signal.record) for signal in signals]
    for name in dict.fromkeys(name for record in records for name in record):
        columns[name] = _alike([record.get(name) for record in records])
    try:
        return _BUILDERS[backend](columns)
    except ImportError as error:
        raise DriftflowError(f"{error.name} is not installed: pip install {error.name}") from error


def _pandas(columns: Mapping[str, list[Any]]) -> Any:
    """In pandas' own types with gaps: what has none makes floats of numbers, and False of what is not known."""
    import narwhals.stable.v2 as nw

    return nw.from_dict(columns, backend="pandas").to_native().convert_dtypes()


def _polars(columns: Mapping[str, list[Any]]) -> Any:
    return _typed(columns, "polars")


def _arrow(columns: Mapping[str, list[Any]]) -> Any:
    return _typed(columns, "pyarrow")


_BUILDERS = {"pandas": _pandas, "polars": _polars, "arrow": _arrow}


def _typed(columns: Mapping[str, list[Any]], backend: Literal["polars", "pyarrow"]) -> Any:
    import narwhals.stable.v2 as nw

    schema = {name: _type(nw, name, values) for name, values in columns.items()}
    return nw.from_dict(columns, nw.Schema(schema), backend=backend).to_native()


def _flat(record: Record) -> dict[str, Any]:
    """The fields of a record; lists, dictionaries and bytes as JSON."""
    return {name: _cell(value) for name, value in msgspec.to_builtins(record).items()}


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _alike(values: list[Any]) -> list[Any]:
    """Values of one kind; where one kind of record has texts and another numbers, all are texts."""
    kinds = {type(value) for value in values if value is not None}
    if str in kinds and len(kinds) > 1:
        return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return values


def _type(nw: Any, name: str, values: Iterable[Any]) -> Any:
    """The type of a column: whole numbers beside others are numbers."""
    if name == "time":
        return nw.Datetime("us", "UTC")
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool} or name == "is_trusted":
        return nw.Boolean()
    if kinds == {int} or name in ("at_partition", "at_offset"):
        return nw.Int64()
    return nw.Float64() if kinds and kinds <= {int, float} else nw.String()
