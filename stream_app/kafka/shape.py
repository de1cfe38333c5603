"""The shape of a stream, written down in ``state/shape.json`` at its first start.

It says what the snapshots beside it are of, and how many partials partitions the stream has: slices are spread over
that number and signals partitions counted from it, so that it stays as it was, however topics grow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.errors import SnapshotError
from stream_app.stages.columns import in_order_of


class _Recorded(msgspec.Struct, frozen=True):
    """What is read back of a shape."""

    stream: str
    topic: str
    partials: Annotated[int, msgspec.Meta(ge=1)]
    numeric: list[str]
    categorical: list[str]


def shape_path(config: Config) -> Path:
    """Where it is kept."""
    return config.path(config.state.dir) / "shape.json"


def shape_of(config: Config) -> bytes:
    """The shape of a stream whose ``topics.partitions`` is the number of its partials partitions."""
    shape = {
        "stream": config.stream,
        "topic": config.topics.events,
        "partials": config.topics.partitions,
        "numeric": config.event.numeric,
        "categorical": config.event.categorical,
        "slicings": config.event.slicings,
        "pane": int(config.windows.pane),
        "spans": [int(span) for span in config.windows.spans],
        "rules": sorted(
            (name, sorted(rule.detectors), rule.slicing, sorted(rule.options.items()))
            for name, rule in config.rules.items()
        ),
    }
    return msgspec.json.encode(shape)


def recorded_width(config: Config) -> int | None:
    """Number of partials partitions that was written down for the stream here; None before its first start.

    Raises:
        SnapshotError: the file cannot be read or is damaged.
    """
    shape = _recorded(config)
    return shape.partials if shape else None


def in_recorded_order(config: Config) -> Config:
    """The configuration with its columns in the order that was written down for the stream here: snapshots have it.

    Raises:
        SnapshotError: the file cannot be read or is damaged.
    """
    shape = _recorded(config)
    return in_order_of(config, shape.numeric, shape.categorical) if shape else config


def _recorded(config: Config) -> _Recorded | None:
    path = shape_path(config)
    try:
        shape = msgspec.json.decode(path.read_bytes(), type=_Recorded)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{path} cannot be read ({error}): restore it from a backup") from error
    return shape if (shape.stream, shape.topic) == (config.stream, config.topics.events) else None


def adopt_shape(config: Config, shape: bytes) -> None:
    """Let a shape that another worker has written down elsewhere count here too.

    Raises:
        DriftflowError: it cannot be written.
    """
    path = shape_path(config)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, shape)


def record_shape(config: Config) -> None:
    """Write the shape down where none is.

    Raises:
        DriftflowError: it cannot be written.
    """
    path = shape_path(config)
    if not path.exists():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, shape_of(config))
