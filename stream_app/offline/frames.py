"""Events in a DataFrame of pandas, polars or Arrow, scored by a model of the registry: a frame in, the same back."""

from __future__ import annotations

from typing import Any

import msgspec
import narwhals.stable.v2 as nw
import numpy as np

from stream_app.config import Config
from stream_app.config.field_names import literal
from stream_app.errors import DriftflowError
from stream_app.event_files import of_files
from stream_app.event_files.parquet_rows import json_value, time_maker
from stream_app.models.registry import Registry, ordered
from stream_app.offline.replay import BATCH_ROWS
from stream_app.offline.score import load_models
from stream_app.stages.batches import RawBatch
from stream_app.stages.score.decoding import Decoder

COLUMNS = ("log_prob", "p_value", "strange", "fault")
"""What :func:`score_frame` adds."""


def score_frame(config: Config, frame: Any, model: str | None = None) -> Any:
    """Score the rows of a frame as the events that they are: read as a file's rows are, each by itself.

    Args:
        config: the stream; its columns are matched by name.
        frame: of pandas, polars or Arrow, an event a row.
        model: id of the model; None is the one in service.

    Returns:
        the frame with four columns more: ``log_prob``, nats; ``p_value``, in (0, 1], small is strange; ``strange``,
        whether it is at or below ``event_rule.alpha``; and ``fault``, why a row is no event, else "". Rows with a fault
        miss the others, and so do those that a model cannot score.

    Raises:
        DriftflowError: it is no DataFrame, or has one of these columns already.
        ModelError: there is no model, or it is not accepted.
    """
    table = _opened(frame)
    config = ordered(of_files(config), model)
    density = load_models(Registry(config), set(), model)[0]
    n, decoder = len(table), Decoder(config)
    log_prob, p_value, fault = np.full(n, np.nan), np.full(n, np.nan), [""] * n
    for first in range(0, n, BATCH_ROWS):
        bodies = _bodies(config, table[first : first + BATCH_ROWS])
        offsets = np.arange(first, first + len(bodies), dtype=np.int64)
        events, rejects = decoder.decode(RawBatch(config.topics.events, 0, offsets, bodies))
        for reject in rejects:
            fault[reject.offset] = f"{reject.reason}{f' ({reject.field})' if reject.field else ''}: {reject.detail}"
        scores = density.score(events.table())
        at = events.offsets[scores.scorable]
        log_prob[at], p_value[at] = scores.log_prob[scores.scorable], scores.p_value[scores.scorable]
    strange = (p_value <= config.event_rule.alpha).tolist()
    columns = {
        "log_prob": _known(log_prob),
        "p_value": _known(p_value),
        "strange": [None if np.isnan(p) else is_so for p, is_so in zip(p_value.tolist(), strange, strict=True)],
        "fault": fault,
    }
    backend = nw.get_native_namespace(table)
    made = [nw.new_series(name, values, backend=backend) for name, values in columns.items()]
    return table.with_columns(*made).to_native()


def _bodies(config: Config, rows: Any) -> list[bytes]:
    """Each row as the body of an event."""
    encode, time_name, time_of = (
        msgspec.json.Encoder().encode,
        literal(config.event.time_field),
        time_maker(config.event),
    )
    columns = []
    for name in rows.columns:
        cells = [_plain(cell) for cell in rows[name].to_list()]
        values = map(json_value, cells)
        columns.append(list(map(time_of, values, cells)) if name == time_name else list(values))
    return [encode(dict(zip(rows.columns, row, strict=True))) for row in zip(*columns, strict=True)]


def _plain(cell: Any) -> Any:
    """A value of Python: gaps of pandas are None, its times datetimes."""
    if cell is None or cell != cell:
        return None
    return cell.to_pydatetime() if hasattr(cell, "to_pydatetime") else cell


def _opened(frame: Any) -> Any:
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise DriftflowError(
            f"{type(frame).__name__} is no DataFrame: give one of pandas or polars, or an Arrow table"
        ) from None
    if taken := sorted({*COLUMNS} & {*table.columns}):
        raise DriftflowError(f"the frame has a column {taken[0]!r} already: rename it, the score is called so")
    return table


def _known(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]
