"""State in plain files of one folder, each write durable before it returns."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from stream_app.config import Config
from stream_app.disk import append_durably, locked, read_lines, write_durably, writing
from stream_app.errors import SnapshotError, TakenOver
from stream_app.kafka.shape import record_shape, shape_of, shape_path
from stream_app.stages import decisions as codec
from stream_app.stages.decisions import DECODER, Decision, width_of
from stream_app.stages.decisions import REMEDY as DECISIONS_REMEDY
from stream_app.stages.snapshot import REMEDY
from stream_app.worker.heads import Head, Saved, check_base, decode_head, digest, encode_head
from stream_app.worker.state import name_of
from stream_app.worker.status import unread

T = TypeVar("T")


class FileStore:
    """A :class:`~stream_app.worker.state.StateStore` in ``state.dir``: ``NAME.head`` names ``NAME.HASH.base``, the file
    ``NAME.owner`` says which process may write them.

    Raises:
        SnapshotError: at once, when the folder belongs to another stream or another shape of it.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._dir = config, config.path(config.state.dir)
        self._decisions = self._dir / "decisions.jsonl"
        self._partials, self._width = config.topics.partials, config.topics.partitions
        self._read: tuple[int, ...] = ()
        self._token = secrets.token_hex(16).encode()
        self._taken: set[str] = set()
        self._dir.mkdir(parents=True, exist_ok=True)
        self._check_shape(config)

    def _check_shape(self, config: Config) -> None:
        """Refuse the state of other panes, spans or features: it cannot be read as that of these."""
        path = shape_path(config)
        if not path.exists() or path.read_bytes() == shape_of(config):
            record_shape(config)
        elif self._decisions.exists() or any(self._dir.glob("*.head")) or any(self._dir.glob("*.snapshot")):
            raise SnapshotError(
                f"{self._dir} holds the state of another configuration (see {path}): give this one its own state.dir, "
                "or remove the folder to start over from the committed offsets"
            )
        else:  # a trainer was started before the configuration was changed
            write_durably(path, shape_of(config))

    # Bases and heads -----------------------------------------------------------------------------------------------

    def take(self, name: str) -> Saved | None:
        """Take a name over; what is kept of it."""
        path = self._owner(name)
        with writing(path), locked(path) as file:
            os.ftruncate(file, 0)
            os.pwrite(file, self._token, 0)
        self._taken.add(name)
        return self._load(name)

    def _load(self, name: str) -> Saved | None:
        former = self._dir / f"{name}.snapshot"
        blob = _read(self.head_path(name))
        if blob is None and _read(former) is not None:
            raise SnapshotError(f"{former} cannot be used: it is of another version of driftflow; {REMEDY}")
        if blob is None:
            return None
        head = _of(self.head_path(name), lambda: decode_head(blob))
        path = self.base_path(name, head)
        base = _read(path)
        if base is None:
            raise SnapshotError(f"{path} is not there, and {self.head_path(name)} names it; {REMEDY}")
        _of(path, lambda: check_base(head, base))
        return Saved(head, base)

    def put_base(self, name: str, base: bytes) -> None:
        """Keep a base beside the one that counts. Raises DriftflowError where it cannot be written."""
        with self._owned(name):
            write_durably(self._base(name, digest(base)), base)

    def put_head(self, name: str, head: Head) -> None:
        """Let a head count; a crash leaves the old one or the new one, never half of it. Raises DriftflowError where it
        cannot be written; the old one stays."""
        with self._owned(name):
            write_durably(self.head_path(name), encode_head(head))
            for path in self._dir.glob(f"{name}.*.base"):
                if path != self.base_path(name, head):
                    with suppress(OSError):  # it does no harm
                        path.unlink()

    def settle(self) -> None:
        """Every head was durable when it was put."""

    def where(self, name: str) -> str:
        """The file to look at, or to remove."""
        return str(self.head_path(name))

    def head_path(self, name: str) -> Path:
        """Where a head is kept."""
        return self._dir / f"{name}.head"

    def base_path(self, name: str, head: Head) -> Path:
        """Where the base is kept that a head names."""
        return self._base(name, head.base)

    def _base(self, name: str, sha256: str) -> Path:
        return self._dir / f"{name}.{sha256[:16]}.base"

    def _owner(self, name: str) -> Path:
        return self._dir / f"{name}.owner"

    @contextmanager
    def _owned(self, name: str) -> Iterator[None]:
        """Nobody else takes the name over during the block; raises TakenOver where another worker has."""
        if name not in self._taken:
            yield
            return
        path = self._owner(name)
        with writing(path), locked(path) as file:
            if os.pread(file, len(self._token) + 1, 0) != self._token:
                raise TakenOver(name)
            yield

    # Decisions -----------------------------------------------------------------------------------------------------

    def record(self, decision: Decision) -> None:
        """Append a decision. Raises DriftflowError where it cannot be written, TakenOver where it is another's."""
        with self._owned(name_of(decision)):
            append_durably(self._decisions, codec.encode(decision))

    def has_news(self) -> bool:
        """Whether the file has changed since it was last read."""
        return self._stamp() != self._read

    def _stamp(self) -> tuple[int, ...]:
        try:
            file = self._decisions.stat()
        except FileNotFoundError:
            return ()
        return file.st_ino, file.st_size, file.st_mtime_ns

    def decisions(self) -> list[Decision]:
        """Every decision so far. Raises DriftflowError where the file is damaged."""
        self._read = self._stamp()  # before the file: what is added while it is read is news
        return read_lines(self._decisions, DECODER, DECISIONS_REMEDY)

    def preset(self, decisions: Iterable[Decision]) -> None:
        """Start with the decisions of another run."""
        decisions = list(decisions)
        check_width(decisions, self._width, self._partials)
        if decisions and not self._decisions.exists():
            write_durably(self._decisions, b"".join(codec.encode(decision) for decision in decisions))
        elif self.decisions() != decisions:
            raise SnapshotError(
                f"{self._decisions} holds other decisions: repeat a run with a state.dir and a kafka.group of its own"
            )

    # What else is asked of a store ---------------------------------------------------------------------------------

    def unread(self, partition: int) -> int | None:
        """What the owner of a source partition says in its status; None where nobody owns it, or it does not know."""
        return unread(self._config).get(partition)

    def close(self) -> None:
        """Nothing is held."""


def check_width(decisions: list[Decision], width: int, partials: str) -> None:
    """Raise SnapshotError where decisions are of a run with another number of partials partitions."""
    theirs = width_of(decisions) or width
    if theirs != width:
        raise SnapshotError(
            f"the decisions are of a run with {theirs} partials partitions, and {partials} has {width}: "
            f"make a partials topic with {theirs}, and repeat the run with that and a state.dir of its own"
        )


def _read(path: Path) -> bytes | None:
    """The bytes of a file, None where there is none; raises SnapshotError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"{path} cannot be read, {(error.strerror or str(error)).lower()}: {REMEDY}") from error


def _of(path: Path, look: Callable[[], T]) -> T:
    """What a look at the bytes of a file gives; raises SnapshotError with its path."""
    try:
        return look()
    except SnapshotError as error:
        raise SnapshotError(f"{path} cannot be used: {error}") from error
