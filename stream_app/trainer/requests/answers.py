"""What became of each request, written down as it happens: after a crash none is answered twice, trained for ever, or
forgotten. What was decided stands in the registry, under the number that is kept here.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal

import msgspec

from stream_app.config import Config
from stream_app.disk import append_durably, locked, read_lines, writing
from stream_app.trainer.requests.believing import Asked

_REMEDY = "restore the file from a backup; without it nobody knows which requests have been answered"

State = Literal["begun", "answered", "sent"]


class Step(msgspec.Struct, frozen=True):
    """One step of a request: an attempt has ``begun``; it is ``answered`` by a notice of the registry; the notice was
    ``sent``.
    """

    request_id: str
    writer: str
    pane_ms: int
    """Its place among the requests of its writer; 0 where it has none, because its date cannot be right."""
    state: State
    sequence: int = 0
    """Number of the notice."""


_STEPS = msgspec.json.Decoder(Step)


class Answers:
    """``{trainer.registry}/{stream}.answers.jsonl``. One trainer at a time writes it; any of its threads may.

    Raises:
        DriftflowError: the file is damaged.
    """

    def __init__(self, config: Config) -> None:
        self.path = config.path(config.trainer.registry) / f"{config.stream}.answers.jsonl"
        self._lock = threading.RLock()
        self._steps = read_lines(self.path, _STEPS, _REMEDY)
        self._in_hand: Step | None = None

    def attempts(self, request_id: str) -> int:
        """How often a training for a request has begun and come to nothing."""
        return sum(step.state == "begun" for step in self._steps if step.request_id == request_id)

    def newest_pane_ms(self, asked: Asked) -> int:
        """Pane of the newest other request of the same writer that was taken; -1 where there is none."""
        others = [step for step in self._steps if step.request_id != asked.request.id and step.pane_ms]
        return max((step.pane_ms for step in others if step.writer == asked.writer), default=-1)

    def answered(self, request_id: str) -> Step | None:
        """Where a request has been answered: the last step of that; None where it has not."""
        done = [step for step in self._steps if step.request_id == request_id and step.sequence]
        return done[-1] if done else None

    def unsent(self) -> list[Step]:
        """Answers that may not be on their topics yet, oldest first."""
        sent = {step.sequence for step in self._steps if step.state == "sent"}
        return [step for step in self._steps if step.state == "answered" and step.sequence not in sent]

    def begin(self, asked: Asked) -> None:
        """An attempt begins; it counts from now on, whatever ends it."""
        with self._lock:
            self._in_hand = self._add(_step(asked, "begun"))

    def release(self) -> None:
        """The attempt in hand, where there is one, was stopped by something that the request is not to blame for: its
        line is taken back, for which a full disk has room. May be called from any thread.
        """
        with self._lock:
            step, self._in_hand = self._in_hand, None
            if step is not None:
                self._steps.remove(step)
                _take_back(self.path, _line(step))

    def over(self) -> None:
        """The attempt in hand has ended by itself, whatever came of it: it goes on counting."""
        with self._lock:
            self._in_hand = None

    def answer(self, asked: Asked, sequence: int, dated: bool) -> Step:
        """A request is answered by a notice.

        Args:
            asked: the request.
            sequence: number of the notice in the registry.
            dated: whether its date can be right.
        """
        with self._lock:
            self._in_hand = None
            return self._add(_step(asked, "answered", sequence, dated))

    def sent(self, answer: Step) -> None:
        """The notice of an answer is on its topics."""
        with self._lock:
            self._add(msgspec.structs.replace(answer, state="sent"))

    def _add(self, step: Step) -> Step:
        append_durably(self.path, _line(step))
        self._steps.append(step)
        return step


def _step(asked: Asked, state: State, sequence: int = 0, dated: bool = True) -> Step:
    request = asked.request
    return Step(request.id, asked.writer, request.requested_pane_ms if dated else 0, state, sequence)


def _line(step: Step) -> bytes:
    return msgspec.json.encode(step) + b"\n"


def _take_back(path: Path, line: bytes) -> None:
    with writing(path), locked(path) as file:
        before = path.read_bytes().removesuffix(line)
        if before:
            os.ftruncate(file, len(before))
            os.fsync(file)
        else:
            path.unlink()  # a file without a line is a damaged one
