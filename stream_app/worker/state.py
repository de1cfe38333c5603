"""Where a worker keeps snapshots and decisions: plain files in one folder, each write durable before it returns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from stream_app.config import Config
from stream_app.disk import append_durably, read_lines, write_durably
from stream_app.errors import SnapshotError
from stream_app.stages import decisions as codec
from stream_app.stages.decisions import DECODER, REMEDY, Decision


class StateStore:
    """Snapshots by name (``source-3``, ``watch-0``) and the log of decisions.

    Raises:
        SnapshotError: at once, when the folder belongs to another stream or another shape of it.
    """

    def __init__(self, config: Config) -> None:
        self._dir = config.path(config.state.dir)
        self._decisions = self._dir / "decisions.jsonl"
        self._dir.mkdir(parents=True, exist_ok=True)
        self._check_shape(config)

    def _check_shape(self, config: Config) -> None:
        """Refuse the state of other panes, spans or features: it cannot be read as that of these."""
        shape = {
            "stream": config.stream,
            "topic": config.topics.events,
            "partials": config.topics.partitions,
            "numeric": config.event.numeric,
            "slicings": config.event.slicings,
            "pane": int(config.windows.pane),
            "spans": [int(span) for span in config.windows.spans],
            "rules": sorted((name, rule.detector) for name, rule in config.rules.items()),
        }
        text = msgspec.json.encode(shape)
        path = self._dir / "shape.json"
        if path.exists() and path.read_bytes() != text:
            raise SnapshotError(
                f"{self._dir} holds the state of another configuration (see {path}): give this one its own state.dir, "
                "or remove the folder to start over from the committed offsets"
            )
        if not path.exists():
            write_durably(path, text)

    def save(self, name: str, blob: bytes) -> None:
        """Replace a snapshot; a crash leaves the old one or the new one, never half of it."""
        write_durably(self.path(name), blob)

    def load(self, name: str) -> bytes | None:
        """A snapshot, or None when there is none."""
        path = self.path(name)
        return path.read_bytes() if path.exists() else None

    def path(self, name: str) -> Path:
        """Where a snapshot is kept."""
        return self._dir / f"{name}.snapshot"

    def record(self, decision: Decision) -> None:
        """Append a decision; it is durable when this returns."""
        append_durably(self._decisions, codec.encode(decision))

    def decisions(self) -> list[Decision]:
        """Every decision so far.

        Raises:
            DriftflowError: the file is damaged.
        """
        return read_lines(self._decisions, DECODER, REMEDY)

    def preset(self, decisions: Iterable[Decision]) -> None:
        """Start with the decisions of another run.

        Raises:
            SnapshotError: the folder has other decisions already.
        """
        decisions = list(decisions)
        if not self._decisions.exists():
            write_durably(self._decisions, b"".join(codec.encode(decision) for decision in decisions))
        elif self.decisions() != decisions:
            raise SnapshotError(
                f"{self._decisions} holds other decisions: repeat a run with a state.dir and a kafka.group of its own"
            )
