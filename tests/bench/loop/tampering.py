"""What is done to an audit log behind its back, and whether it is found.

A log of many lines, some of whose heads signed notices have carried away, is edited, cut, re-ordered, added to, and
written anew from a line on with all hashes right; each at every line. ``audit_tampering_found``: whether all of it was
found; ``audit_tampering``: rows of ``{kind, tried, found}``.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from stream_app.models.audit import AuditLog, Entry
from tests.bench.loop.worlds import stream_in

LINES, EVENTS = 60, ("request", "training", "gates", "shadow", "promotion")
Lines = list[Entry]


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    with tempfile.TemporaryDirectory() as folder:
        log, heads = AuditLog(stream_in(Path(folder))), []
        for number in range(12 if args.quick else LINES):
            event = EVENTS[number % len(EVENTS)]
            entry = log.append(event, f"m{number}", {"by": "/driftflow/loop/judge", "number": number})
            heads += [entry.hash] if event == "promotion" else []
        heads = [*heads, log.head]
        if faults := log.faults(heads):
            raise RuntimeError(f"a log that nobody has touched is said to be damaged: {faults}")
        rows = [_tried(log, heads, kind, change) for kind, change in KINDS.items()]
    return {"audit_tampering_found": all(row["found"] == row["tried"] for row in rows), "audit_tampering": rows}


def _tried(log: AuditLog, heads: list[str], kind: str, change: Callable[[Lines, int], Lines]) -> dict[str, Any]:
    """A change at every line where it changes something."""
    whole, tried, found = log.path.read_bytes(), 0, 0
    entries = log.entries()
    for at in range(len(entries)):
        changed = change(list(entries), at)
        if changed != entries:
            log.path.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in changed))
            tried, found = tried + 1, found + bool(log.faults(heads))
    log.path.write_bytes(whole)
    return {"kind": kind, "tried": tried, "found": found}


def _edited(lines: Lines, at: int) -> Lines:
    lines[at] = msgspec.structs.replace(lines[at], body={**lines[at].body, "by": "somebody else"})
    return lines


def _resealed(lines: Lines, at: int) -> Lines:
    lines[at] = _edited(lines, at)[at].sealed()
    return lines


def _anew(lines: Lines, at: int) -> Lines:
    """From the edited line on all hashes are right again."""
    _edited(lines, at)
    for number in range(at, len(lines)):
        prev = lines[number - 1].hash if number else lines[0].prev
        lines[number] = msgspec.structs.replace(lines[number], prev=prev).sealed()
    return lines


def _renumbered(lines: Lines, at: int) -> Lines:
    """One line is taken out, and the ones after it are numbered and hashed anew."""
    del lines[at]
    for number in range(at, len(lines)):
        prev = lines[number - 1].hash if number else "0" * 64
        lines[number] = msgspec.structs.replace(lines[number], n=number + 1, prev=prev).sealed()
    return lines


def _moved(lines: Lines, at: int) -> Lines:
    lines.insert((at + 3) % len(lines), lines.pop(at))
    return lines


def _added(lines: Lines, at: int) -> Lines:
    forged = msgspec.structs.replace(lines[at], event="approval", about="nobody", prev=lines[at].hash, n=at + 2)
    return [*lines[: at + 1], forged.sealed(), *lines[at + 1 :]]


def _added_inside(lines: Lines, at: int) -> Lines:
    return lines if at + 1 == len(lines) else _added(lines, at)


KINDS: dict[str, Callable[[Lines, int], Lines]] = {
    "a line edited": _edited,
    "a line edited and its hash made anew": _resealed,
    "a line edited and the log hashed anew from there on": _anew,
    "a line deleted": lambda lines, at: lines[:at] + lines[at + 1 :],
    "a line deleted and the log numbered and hashed anew": _renumbered,
    "the end cut off": lambda lines, at: lines[:at],
    "a line moved": _moved,
    "two lines exchanged": lambda lines, at: [*lines[:at], *lines[at : at + 2][::-1], *lines[at + 2 :]],
    "a line twice": lambda lines, at: [*lines[: at + 1], *lines[at:]],
    "a line forged in between": _added_inside,
}
"""What is done, to what it makes of the lines at one of them."""


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    return [
        ("kind", "tried", "found"),
        *((row["kind"], row["tried"], row["found"]) for row in found["audit_tampering"]),
    ]
