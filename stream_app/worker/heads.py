"""What is kept of a partition: a *base*, its packed state at some offset, and a small *head* that says up to where all
that came of its input has been sent.

A base is as large as the state, a head is a few hundred bytes: so bases are seldom written, and heads twice a second.
After a crash the base is loaded, the input is read again from the base's offset on, and what comes of it below the
head's ``done`` is not sent again: the stages are deterministic, and it was sent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

import msgspec

from stream_app.errors import SnapshotError
from stream_app.stages.snapshot import REMEDY
from stream_app.worker.losses import Loss

_FORMAT = b"DFH1"
_SHA = 32

Offset = Annotated[int, msgspec.Meta(ge=0)]


class Until(msgspec.Struct, frozen=True):
    """Up to where JUDGE's signals partition is known: of which topic, and the offset."""

    topic_id: str = ""
    offset: Offset = 0


NOTHING_TOLD = Until()


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where all that came of a partition's input has been sent and spooled.

    Attributes:
        done: input below it is done with.
        decided: so many decisions about the partition have been followed, and what came of them was sent too.
        told: what JUDGE had told people by then; of the other partitions nothing.
    """

    done: Offset = 0
    decided: Offset = 0
    told: Until = NOTHING_TOLD


NOTHING_DONE = Mark()


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What counts of a partition.

    Attributes:
        base: SHA-256 of the base, in hexadecimal digits.
        size: bytes of the base.
        next_offset: of the base: input below it is in it.
        decided: of the base: so many decisions have had their effect in it.
        topic_id: of the topic that the offsets are of; "" of a broker that gives none.
        placed: the offset was set, as of a topic that was made anew, so that it counts even where it is 0.
        mark: how far the rest has come.
        losses: incidents about the log that are open.
    """

    base: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    size: Offset
    next_offset: Offset
    decided: Offset = 0
    topic_id: str = ""
    placed: bool = False
    mark: Mark = NOTHING_DONE
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """What is kept of a partition: head and base."""

    head: Head
    base: bytes


_DECODER = msgspec.json.Decoder(Head)


def digest(base: bytes) -> str:
    """What a head calls a base."""
    return hashlib.sha256(base).hexdigest()


def encode_head(head: Head) -> bytes:
    """A head with its checksum."""
    body = msgspec.json.encode(head)
    return _FORMAT + hashlib.sha256(body).digest() + body


def decode_head(blob: bytes) -> Head:
    """Inverse of :func:`encode_head`; raises SnapshotError where the bytes are none, altered or of another version."""
    start = len(_FORMAT)
    if blob[:3] == _FORMAT[:3] and blob[3:start].isdigit() and blob[:start] != _FORMAT:
        raise SnapshotError(f"it is of another version of driftflow ({blob[:start].decode()}); {REMEDY}")
    if blob[:start] != _FORMAT or hashlib.sha256(blob[start + _SHA :]).digest() != blob[start : start + _SHA]:
        raise SnapshotError(f"it is {'truncated or altered' if blob else 'empty'}; {REMEDY}")
    try:
        return _DECODER.decode(blob[start + _SHA :])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"it makes no sense ({error}); {REMEDY}") from None


def check_base(head: Head, base: bytes) -> None:
    """Raise SnapshotError where a base is not the one that the head is about."""
    if len(base) != head.size or digest(base) != head.base:
        raise SnapshotError(f"it is {'truncated or altered' if base else 'empty'}; {REMEDY}")
