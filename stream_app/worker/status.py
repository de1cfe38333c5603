"""Live totals of the workers, in small files beside the snapshots: for people, probes and the demo's view."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from stream_app.config import Config
from stream_app.stages.score.state import COUNTERS

_FRESH_S = 5.0
_OLD_S = 86_400.0
_SUMS = ("pending", "lag", "unwatched", "late_blocks", "closed_early")

Status = dict[str, Any]


def folder_of(config: Config) -> Path:
    """Where the workers of a state folder write."""
    return config.path(config.state.dir) / "status"


class StatusFile:
    """One worker's file, named after its process."""

    def __init__(self, config: Config) -> None:
        folder = folder_of(config)
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*"):
            if time.time() - path.stat().st_mtime > _OLD_S:
                path.unlink(missing_ok=True)
        self._path = folder / f"{os.getpid()}.json"
        self._counters: dict[str, dict[str, int]] = {}

    def write(self, status: Status) -> None:
        """Replace the file; ``counters`` are by source partition, and those of a partition that left are kept."""
        self._counters.update(status["counters"])
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps({"at": time.time(), **status, "counters": self._counters}))
        os.replace(beside, self._path)


def read_status(config: Config) -> Status:
    """All workers of a state folder together; empty when none has written yet.

    Counters only grow, so a partition counts as the owner that came furthest counted it. What is in work is summed over
    the workers that are alive.
    """
    files = [json.loads(path.read_text()) for path in folder_of(config).glob("*.json")]
    if not files:
        return {}
    files.sort(key=lambda status: status["at"])
    counters: dict[str, dict[str, int]] = {}
    for status in files:
        for number, counted in status["counters"].items():
            if counted["received"] >= counters.get(number, counted)["received"]:
                counters[number] = counted
    alive = [status for status in files if files[-1]["at"] - status["at"] < _FRESH_S]
    began = [status["first_score_at"] for status in files if status["first_score_at"]]
    merged = {
        **files[-1],
        **{name: sum(part[name] for part in counters.values()) for name in COUNTERS},
        **{name: sum(status[name] for status in alive) if _known(alive, name) else None for name in _SUMS},
        "first_score_at": min(began, default=None),
        "models_refused": max(status["models_refused"] for status in alive),
    }
    del merged["counters"]
    return merged


def unread(config: Config) -> dict[int, int | None]:
    """Records of each source partition that its owner has not settled; None where the owner does not know, no entry where
    nobody owns it.
    """
    files = [json.loads(path.read_text()) for path in folder_of(config).glob("*.json")]
    alive = [status for status in files if time.time() - status["at"] < _FRESH_S]
    return {int(number): lag for status in alive for number, lag in status["unread"].items()}


def _known(alive: list[Status], name: str) -> bool:
    return all(status[name] is not None for status in alive)
