"""Rows of a Parquet file, by pyarrow, a batch at a time."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any
from zoneinfo import ZoneInfo

import msgspec

from stream_app.config import EventConfig
from stream_app.config.field_names import literal
from stream_app.errors import DriftflowError
from stream_app.event_files.csv_rows import check_names, no_time
from stream_app.event_files.report import Report

_BATCH_ROWS = 4_000
_INT_MAX = 2**63 - 1


def parquet_rows(
    stream: IO[bytes], event: EventConfig, path: str, report: Report
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each row as a JSON object, decoded and encoded; the report counts rows, not lines.

    Raises:
        DriftflowError: pyarrow is not installed, or the file is damaged, has no column with the time, or one column
            twice.
        OSError: it is damaged further on.
    """
    try:
        import pyarrow as pa  # 170 MB that only those need who have such files
        from pyarrow import parquet
    except ImportError:
        raise DriftflowError(
            f"{path} is a Parquet file, which pyarrow reads: pip install 'driftflow[parquet]'"
        ) from None
    report.unit = "row"
    encode = msgspec.json.Encoder().encode
    try:
        file = parquet.ParquetFile(stream)
        names = [field.name for field in file.schema_arrow]
        if literal(event.time_field) not in names:
            raise DriftflowError(no_time(names, event, path))
        check_names(names, event, path)
        rows = file.metadata.num_rows
        report.taken = lambda: report.number / rows if rows else None  # its columns are not read in the order of bytes
        time_of, time_name = time_maker(event), literal(event.time_field)
        for batch in file.iter_batches(_BATCH_ROWS):
            for cells in _readable(list(zip(*(_column(pa, column) for column in batch.columns), strict=True)), report):
                fields = dict(zip(names, map(json_value, cells), strict=True))
                fields[time_name] = time_of(fields[time_name], cells[names.index(time_name)])
                yield fields, encode(fields)
    except (pa.ArrowException, OSError) as error:
        raise OSError(0, f"it is damaged: {str(error).splitlines()[0]}") from error


class _Misfit(str):
    """Stands for a value that Python cannot hold: why."""


def _column(pa: Any, column: Any) -> list[Any]:
    """The values of a column of a batch."""
    if pa.types.is_timestamp(column.type):  # Python's go down to microseconds
        column = column.cast(pa.timestamp("us", "UTC" if column.type.tz else None), safe=False)
    try:
        values: list[Any] = column.to_pylist()
        return values
    except (OverflowError, ValueError):
        return [_single(value) for value in column]


def _single(value: Any) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError) as error:
        return _Misfit(str(error)[:200])


def _readable(rows: list[tuple[Any, ...]], report: Report) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        report.number += 1
        why = next((cell for cell in row if type(cell) is _Misfit), None)
        if why is None:
            yield row
        else:
            report.unreadable(report.number, "a value out of range", why)


def json_value(cell: Any) -> Any:
    """A value as JSON has it."""
    make = _MAKERS.get(type(cell))
    return cell if make is None else make(cell)


def _of_float(cell: float) -> float | str | None:
    """NaN is missing; JSON has no infinity: left as text it is reported instead of vanishing as null."""
    return cell if math.isfinite(cell) else None if math.isnan(cell) else str(cell)


def _of_decimal(cell: Decimal) -> float | int | str | None:
    whole = cell.is_finite() and cell == cell.to_integral_value() and abs(cell) <= _INT_MAX
    return int(cell) if whole else _of_float(float(cell))


def _of_bytes(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return base64.b64encode(cell).decode()


_MAKERS: dict[type, Callable[[Any], Any]] = {
    float: _of_float,
    Decimal: _of_decimal,
    bytes: _of_bytes,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    list: lambda cell: [json_value(item) for item in cell],
    tuple: lambda cell: [json_value(item) for item in cell],
    dict: lambda cell: {name: json_value(item) for name, item in cell.items()},
}


def time_maker(event: EventConfig) -> Callable[[Any, Any], Any]:
    """A function from a time, as JSON has it and as it was, to what ``event.time_format`` expects of a moment."""
    if event.time_format == "iso8601":
        return lambda value, cell: value
    zone = ZoneInfo(event.timezone)

    def of_moment(value: Any, cell: Any) -> Any:
        if not isinstance(cell, date):  # a datetime is a date
            return value
        moment = cell if isinstance(cell, datetime) else datetime.combine(cell, time())
        if not event.time_format.startswith("epoch"):
            return moment.strftime(event.time_format)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
        return round(seconds * 1000) if event.time_format == "epoch_ms" else seconds

    return of_moment
