"""Signals from a file of JSON lines as ``driftflow score --signals`` writes them: headers, and a record as ``data``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from stream_app.client.taking import R, Signal, Taker
from stream_app.config import Config
from stream_app.errors import DriftflowError

_OWN = ("partition", "data")


class _Named(msgspec.Struct):
    stream: str = ""


def read_file(path: Path, taker: Taker[R], config: Config | None) -> Iterator[Signal[R]]:
    """Signals of a file, in its order.

    Args:
        path: the file.
        taker: says which are wanted.
        config: the stream that they have to be of; None for any.

    Raises:
        DriftflowError: the file cannot be read, or a line is none of a file of signals.
    """
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield from _signal(path, number, line, taker, config)
    except OSError as error:
        raise DriftflowError(f"{path} cannot be read, {error.strerror}: name a file of signals") from error


def _signal(path: Path, number: int, line: bytes, taker: Taker[R], config: Config | None) -> Iterator[Signal[R]]:
    try:
        found = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        data = bytes(found["data"])
        stream = config.stream if config is not None else msgspec.json.decode(data, type=_Named).stream
        partition = msgspec.json.decode(found.get("partition", b"-1"), type=int)
        headers = [(name, _text(value)) for name, value in found.items() if name not in _OWN]
    except (msgspec.MsgspecError, KeyError, UnicodeError, RecursionError) as error:
        raise DriftflowError(
            f"{path}, line {number} is no signal ({error}): a file of signals has lines as `driftflow score --signals` "
            "writes them"
        ) from error
    # What was signed are the bytes on the topic: those of the record as msgspec writes it, whatever the file has.
    signal = taker.take(stream, data, headers, (str(path), partition, number), msgspec.json.encode)
    if signal is not None:
        yield signal


def _text(value: Any) -> bytes:
    return msgspec.json.decode(value, type=str).encode()
