"""The signals of a run without a broker: as lines of a file while they come, and what they say in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from schemas.codecs import decode_event
from schemas.incidents import Incident, StrangeEvents
from schemas.records import RetrainRequest
from stream_app.disk import writing
from stream_app.stages.outputs import Outgoing


class Signals:
    """Takes the messages of a run, and remembers what a person would want to know at its end.

    Args:
        file: takes each signal as a JSON line; None for none.

    Attributes:
        messages: of incidents, in order.
        strange: messages about single events.
        requests: for models, which nobody answers here.
        lines: signals so far.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file, self._waiting = file, list[str]()
        self.messages: list[Incident] = []
        self.strange: list[StrangeEvents] = []
        self.requests: list[RetrainRequest] = []
        self.lines = 0

    def take(self, message: Outgoing) -> None:
        """A message of any stage, in the order in which they are sent."""
        if message.role != "signals":
            return
        self.lines += 1
        record = decode_event(message.value, message.headers)
        if isinstance(record, Incident):
            self.messages.append(record)
        elif isinstance(record, StrangeEvents):
            self.strange.append(record)
        elif isinstance(record, RetrainRequest):
            self.requests.append(record)
        if self._file is not None:
            headers = {name: value.decode() for name, value in message.headers}
            line = {"partition": message.partition, **headers, "data": json.loads(message.value)}
            self._waiting.append(json.dumps(line, ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """Whatever was taken is in the file from now on, in whole lines however the run ends."""
        if self._file is not None and self._waiting:
            self._file.write("".join(self._waiting))
            self._file.flush()
            self._waiting.clear()


@contextmanager
def signals_to(path: Path | None) -> Iterator[Signals]:
    """Signals that go to a file while they come: whole lines, each partition's in order.

    Raises:
        DriftflowError: the file cannot be written.
    """
    if path is None:
        yield Signals()
        return
    with writing(path):
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - an error of the block is not one of this file
    signals = Signals(file)
    try:
        yield signals
    finally:
        with writing(path):
            signals.flush()
            file.close()
