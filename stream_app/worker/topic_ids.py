"""Ids of topics that have no state of their own, in files: by its id one is told that was made anew."""

from __future__ import annotations

import uuid

from stream_app.config import Config
from stream_app.disk import write_durably


class TopicIds:
    """One file a topic in ``state.dir``.

    Args:
        config: the stream.
    """

    def __init__(self, config: Config) -> None:
        self._dir = config.path(config.state.dir)

    def get(self, name: str) -> str:
        """The id that was kept; "" where none was, or it cannot be read."""
        try:
            return str(uuid.UUID((self._dir / f"{name}.topic").read_text()))
        except (OSError, ValueError):
            return ""

    def keep(self, name: str, topic_id: str) -> None:
        """Write it down; raises DriftflowError where that cannot be done."""
        self._dir.mkdir(parents=True, exist_ok=True)
        write_durably(self._dir / f"{name}.topic", topic_id.encode())
