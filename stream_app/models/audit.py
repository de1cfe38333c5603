"""The audit log of a stream: what was asked, trained, judged, promoted, rolled back, approved and said, line by line.

Each line holds the hash of the line before it, so that no row can be edited, deleted or moved unseen. A log that was
cut at its end, or written anew, does not hold the heads that signed notices have carried away: :meth:`AuditLog.faults`
and :meth:`AuditLog.begin` are told them. A file appears with its first line in it, so that one without a whole line is
always a damaged one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stream_app.config import Config
from stream_app.disk import append_locked, create_durably, locked, writing
from stream_app.errors import DriftflowError
from stream_app.terminal import utc

_REMEDY = "keep the file as it is for who looks into it, and restore it from a backup"
_ANEW = (
    "restore it from a backup; or move it away, where it stays for who looks into it, and the trainer begins a log "
    "that says that this one is lost"
)
LOST = "log lost"
"""Event of the line of a log that was begun where notices name lines of another one."""
_CUT = "is empty or cut short within its first line"
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


def _entry(n: int, prev: str, event: str, about: str, body: Mapping[str, Any]) -> Entry:
    return Entry(n, prev, time.time_ns() // 1_000_000, event, about, dict(body)).sealed()


def _lost(entries: Iterable[Entry]) -> set[str]:
    """Hashes of lines that a log says are lost."""
    return {str(head) for entry in entries if entry.event == LOST for head in entry.body.get("missing", ())}


class AuditLog:
    """The log of a stream, beside its models. Several processes may append; a kill in between loses no whole line."""

    def __init__(self, config: Config) -> None:
        self.path: Path = config.path(config.trainer.registry) / f"{config.stream}.audit.jsonl"

    def append(self, event: str, about: str, body: Mapping[str, Any]) -> Entry:
        """Add what happened, unless the same event about the same thing is there; the line that is there then.

        Raises:
            DriftflowError: the file cannot be written, has no whole line, or one that is damaged: nothing is added to
                such a log.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                first = _entry(1, _START, event, about, body)
                if create_durably(self.path, msgspec.json.encode(first) + b"\n"):
                    return first
            with locked(self.path) as file:
                entries = self.entries()
                for entry in entries:
                    if (entry.event, entry.about) == (event, about):
                        return entry
                fresh = _entry(len(entries) + 1, entries[-1].hash, event, about, body)
                append_locked(file, self.path, msgspec.json.encode(fresh) + b"\n")
        return fresh

    def begin(self, heads: Iterable[str]) -> int:
        """Look, before anything is added, whether this is the log of which signed notices name lines; where there is no
        file any more, begin one that says so.

        A file that lacks them is left alone, since it is evidence. One that is gone, or that a person has moved away,
        cannot be: the stream goes on, and the loss stands in the record from then on.

        Args:
            heads: hashes of last lines, as notices have named them, oldest first.

        Returns:
            how many of them are lost with a file that is gone.

        Raises:
            DriftflowError: there is a file, and it is empty, damaged, cut or another one.
        """
        is_there = self.path.exists()
        entries = self.entries() if is_there else []
        known = {entry.hash for entry in entries} | _lost(entries)
        missing = [head for head in dict.fromkeys(heads) if head and head not in known]
        if not missing:
            return 0
        if is_there:
            raise DriftflowError(
                f"{self.path} lacks {len(missing):,} lines that signed notices name, such as {missing[-1][:12]}…: it "
                f"was cut, or made anew: {_ANEW}"
            )
        self.append(LOST, missing[-1], {"count": len(missing), "missing": missing})
        return len(missing)

    def entries(self) -> list[Entry]:
        """All lines, oldest first; a last one that a crash cut short is left out. Hashes are not looked at. None where
        there is no file.

        Raises:
            DriftflowError: the file cannot be read, has no whole line, or holds one that is none.
        """
        found, lines = [], self._lines()
        if self._is_cut(lines):
            raise DriftflowError(f"{self.path} {_CUT}: {_ANEW}")
        for number, line in enumerate(lines, 1):
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
        lines, known, prev, last_ms = self._lines(), set[str](), _START, 0
        found = [f"{self.path.name} {_CUT}"] if self._is_cut(lines) else []
        for number, line in enumerate(lines, 1):
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
            if entry.event == LOST:
                found.append(
                    f"{where} says that the log before it was lost: what {entry.body.get('count', 0):,} notices name "
                    f"of it is gone (found by the trainer, {utc(entry.at_ms)})"
                )
            prev, last_ms = entry.hash, entry.at_ms
            known |= {entry.hash} | _lost([entry])
        for head in heads:
            if head and head not in known:
                found.append(
                    f"a signed notice names line {head[:12]}…, which is not here: the log was cut or made anew"
                )
        return found

    def _is_cut(self, lines: list[bytes]) -> bool:
        """Whether there is a file without one whole line."""
        return not lines and self.path.exists()

    def _lines(self) -> list[bytes]:
        try:
            *lines, _ = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DriftflowError(f"{self.path} cannot be read, {error.strerror}: {_REMEDY}") from error
        return lines
