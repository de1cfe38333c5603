"""The audit log of a stream: what was asked, trained, judged, promoted, rolled back, approved and said, line by line.

Each line holds the hash of the line before it, so that no row can be edited, deleted or moved unseen. A log that was
cut at its end, or written anew, does not hold the heads that signed notices have carried away: :func:`faults` is told
them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stream_app.config import Config
from stream_app.disk import append_locked, locked, writing
from stream_app.errors import DriftflowError
from stream_app.terminal import utc

_REMEDY = "keep the file as it is for who looks into it, and restore it from a backup"
_START = "0" * 64
"""What the first line names as the line before it."""


class Entry(msgspec.Struct, frozen=True):
    """A line.

    Attributes:
        n: number, from 1 on.
        prev: hash of the line before.
        at_ms: when it was written, wall clock.
        event: what happened, such as ``promotion``.
        about: what it happened to: with the event the name of this line, which is written once.
        body: the facts, JSON.
        hash: SHA-256 in hex over the canonical JSON of all the others.
    """

    n: int
    prev: str
    at_ms: int
    event: str
    about: str
    body: dict[str, Any]
    hash: str = ""

    def sealed(self) -> Entry:
        """The same with its hash."""
        return msgspec.structs.replace(self, hash=self.digest())

    def digest(self) -> str:
        """What :attr:`hash` has to be."""
        said = msgspec.structs.asdict(self)
        del said["hash"]
        return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


_DECODER = msgspec.json.Decoder(Entry)


class AuditLog:
    """The log of a stream, beside its models. Several processes may append; a kill in between loses no whole line."""

    def __init__(self, config: Config) -> None:
        self.path: Path = config.path(config.trainer.registry) / f"{config.stream}.audit.jsonl"

    def append(self, event: str, about: str, body: Mapping[str, Any]) -> Entry:
        """Add what happened, unless the same event about the same thing is there; the line that is there then.

        Raises:
            DriftflowError: the file cannot be written, or its last line is damaged: nothing is added to such a log.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path) as file:
                entries = self.entries()
                for entry in entries:
                    if (entry.event, entry.about) == (event, about):
                        return entry
                prev = entries[-1].hash if entries else _START
                fresh = Entry(len(entries) + 1, prev, time.time_ns() // 1_000_000, event, about, dict(body)).sealed()
                append_locked(file, self.path, msgspec.json.encode(fresh) + b"\n")
        return fresh

    def entries(self) -> list[Entry]:
        """All lines, oldest first; a last one that a crash cut short is left out. Hashes are not looked at.

        Raises:
            DriftflowError: the file cannot be read, or holds a line that is none.
        """
        found = []
        for number, line in enumerate(self._lines(), 1):
            try:
                found.append(_DECODER.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise DriftflowError(f"{self.path}, line {number} is damaged ({error}): {_REMEDY}") from error
        return found

    @property
    def head(self) -> str:
        """Hash of the last line; "" of a log without any."""
        entries = self.entries()
        return entries[-1].hash if entries else ""

    def faults(self, heads: Iterable[str] = ()) -> list[str]:
        """What is wrong with the log, in sentences; none where it is whole.

        Args:
            heads: hashes of last lines, as signed notices have named them: each has to be here.

        Raises:
            DriftflowError: the file cannot be read.
        """
        found, known, prev, last_ms = list[str](), set[str](), _START, 0
        for number, line in enumerate(self._lines(), 1):
            where = f"{self.path.name}, line {number}"
            try:
                entry = _DECODER.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                found.append(f"{where} is no line of an audit log: {error}")
                prev = ""
                continue
            if entry.hash != entry.digest():
                found.append(
                    f"{where} ({entry.event} {entry.about}, {utc(entry.at_ms)}) was changed after it was written"
                )
            if entry.n != number or (prev and entry.prev != prev):
                found.append(f"{where} does not follow the line before it: lines were taken out, put in or moved here")
            if entry.at_ms < last_ms:
                found.append(f"{where} is dated before the line before it: a clock was set back, or lines were moved")
            prev, last_ms = entry.hash, entry.at_ms
            known.add(entry.hash)
        for head in heads:
            if head and head not in known:
                found.append(
                    f"a signed notice names line {head[:12]}…, which is not here: the log was cut or made anew"
                )
        return found

    def _lines(self) -> list[bytes]:
        try:
            *lines, _ = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DriftflowError(f"{self.path} cannot be read, {error.strerror}: {_REMEDY}") from error
        return lines
