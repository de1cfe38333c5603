"""Where a worker keeps snapshots and decisions: plain files in one folder, each write durable before it returns."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from stream_app.config import Config
from stream_app.disk import append_durably, read_lines, write_durably
from stream_app.errors import SnapshotError
from stream_app.kafka.shape import record_shape, shape_of, shape_path
from stream_app.stages import decisions as codec
from stream_app.stages import snapshot as snapshots
from stream_app.stages.decisions import DECODER, REMEDY, Decision, width_of


class StateStore:
    """Snapshots by name (``source-3``, ``watch-0``) and the log of decisions.

    Raises:
        SnapshotError: at once, when the folder belongs to another stream or another shape of it.
    """

    def __init__(self, config: Config) -> None:
        self._dir = config.path(config.state.dir)
        self._decisions = self._dir / "decisions.jsonl"
        self._partials, self._width = config.topics.partials, config.topics.partitions
        self._read: tuple[int, ...] = ()
        self._dir.mkdir(parents=True, exist_ok=True)
        self._check_shape(config)

    def _check_shape(self, config: Config) -> None:
        """Refuse the state of other panes, spans or features: it cannot be read as that of these."""
        path = shape_path(config)
        if not path.exists() or path.read_bytes() == shape_of(config):
            record_shape(config)
        elif self._decisions.exists() or any(self._dir.glob("*.snapshot")):
            raise SnapshotError(
                f"{self._dir} holds the state of another configuration (see {path}): give this one its own state.dir, "
                "or remove the folder to start over from the committed offsets"
            )
        else:  # a trainer was started before the configuration was changed
            write_durably(path, shape_of(config))

    def save(self, name: str, blob: bytes) -> None:
        """Replace a snapshot; a crash leaves the old one or the new one, never half of it.

        Raises:
            DriftflowError: it cannot be written; the old one stays.
        """
        write_durably(self.path(name), blob)

    def load(self, name: str) -> bytes | None:
        """A snapshot, or None when there is none.

        Raises:
            SnapshotError: there is one, and it cannot be read.
        """
        path = self.path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotError(
                f"{path} cannot be read, {(error.strerror or str(error)).lower()}: {snapshots.REMEDY}"
            ) from error

    def path(self, name: str) -> Path:
        """Where a snapshot is kept."""
        return self._dir / f"{name}.snapshot"

    def topic_id(self, name: str) -> str:
        """The id of the topic that a snapshot is of; "" where none was kept, or it cannot be read."""
        try:
            return str(uuid.UUID(self._topic_path(name).read_text()))
        except (OSError, ValueError):
            return ""

    def keep_topic_id(self, name: str, topic_id: str) -> None:
        """Write down which topic a snapshot is of; raises DriftflowError where that cannot be written."""
        write_durably(self._topic_path(name), topic_id.encode())

    def _topic_path(self, name: str) -> Path:
        return self._dir / f"{name}.topic"

    def record(self, decision: Decision) -> None:
        """Append a decision; it is durable when this returns. Raises DriftflowError where it cannot be written."""
        append_durably(self._decisions, codec.encode(decision))

    def has_news(self) -> bool:
        """Whether the decisions have changed since they were last read, by any worker."""
        return self._stamp() != self._read

    def _stamp(self) -> tuple[int, ...]:
        try:
            file = self._decisions.stat()
        except FileNotFoundError:
            return ()
        return file.st_ino, file.st_size, file.st_mtime_ns

    def decisions(self) -> list[Decision]:
        """Every decision so far.

        Raises:
            DriftflowError: the file is damaged.
        """
        self._read = self._stamp()  # before the file: what is added while it is read is news
        return read_lines(self._decisions, DECODER, REMEDY)

    def preset(self, decisions: Iterable[Decision]) -> None:
        """Start with the decisions of another run.

        Raises:
            SnapshotError: the folder has other decisions already, or they are of another number of partials partitions.
        """
        decisions = list(decisions)
        width = width_of(decisions) or self._width
        if width != self._width:
            raise SnapshotError(
                f"the decisions are of a run with {width} partials partitions, and {self._partials} has {self._width}: "
                f"make a partials topic with {width}, and repeat the run with that and a state.dir of its own"
            )
        if decisions and not self._decisions.exists():
            write_durably(self._decisions, b"".join(codec.encode(decision) for decision in decisions))
        elif self.decisions() != decisions:
            raise SnapshotError(
                f"{self._decisions} holds other decisions: repeat a run with a state.dir and a kafka.group of its own"
            )
