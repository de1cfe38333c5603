"""What the processes of this machine say of themselves now: the workers' status, and the candidate of the trainer.

The store tells of event time; a stream that has broken, or stands still, is seen here within seconds.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from stream_app.config import Config
from stream_app.console import arriving
from stream_app.console.rows import Row
from stream_app.errors import DriftflowError

RECENT_S = 60.0
"""Rates are of the last minute, or of as long as somebody has looked."""

DEAD_S = 60.0
"""A worker writes twice a second; after so long without a word it is not alive."""

_LOOK_S = 1.0
_SAMPLES_MAX = 120
_SHOWN = (
    "lag",
    "lags",
    "event_time_ms",
    "judged_ms",
    "service",
    "waits_for",
    "spooled",
    "set_aside",
    "sink_errors",
    "failing",
    "dead_letters",
    "closed_early",
    "late_blocks",
    "monitor",
)
_COUNTS = ("received", "windowed", "rejected", "late", "duplicate")


class Live:
    """Looks at the state folder of a stream, once a second at most.

    Args:
        config: the stream.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._lock = config, threading.Lock()
        self._looked_s = -_LOOK_S
        self._samples = deque[tuple[float, dict[str, int], dict[str, int]]](maxlen=_SAMPLES_MAX)
        self._last: Row | None = None

    @property
    def tolerated(self) -> float:
        """Share of events that may be dropped."""
        return self._config.event.tolerated

    def look(self) -> Row | None:
        """How the workers stand; None where none has written here: the store is of another machine, or of a file."""
        with self._lock:
            if time.monotonic() - self._looked_s >= _LOOK_S:
                self._last = self._look()
                self._looked_s = time.monotonic()
            return self._last

    def _look(self) -> Row | None:
        from stream_app.worker.status import read_status

        status = read_status(self._config)
        if not status:
            return None
        return {
            **{name: status[name] for name in _SHOWN},
            "totals": {name: status[name] for name in arriving.TOTALS},
            "alive": time.time() - status["at"] < DEAD_S,
            "at_ms": int(status["at"] * 1_000),
            "recent": self._recent(status),
        }

    def _recent(self, status: Mapping[str, Any]) -> Row:
        """What became of the events of the last minute, and why those that were dropped were."""
        at_s, totals = float(status["at"]), {name: status[name] for name in _COUNTS}
        letters = {reason: int(n) for reason, n in status["dead_letters"].items()}
        self._samples.append((at_s, totals, letters))
        while len(self._samples) > 2 and at_s - self._samples[1][0] >= RECENT_S:
            self._samples.popleft()
        since_s, before, old = self._samples[0]
        seconds = at_s - since_s
        reasons = Counter({reason: n - old.get(reason, 0) for reason, n in letters.items()})
        per_second = {name: max(totals[name] - before[name], 0) / seconds if seconds > 0 else None for name in _COUNTS}
        found = arriving.recent(before, totals, self.tolerated)
        return found | {"seconds": seconds, "reasons": dict(+reasons), "per_second": per_second}

    def candidate(self) -> Row | None:
        """The model that is compared or waits for a person, with what has been seen so far; None where there is none,
        or nobody may know here: the file is the trainer's.
        """
        if not (self._config.path(self._config.state.dir) / f"{self._config.stream}.shadow").exists():
            return None
        from stream_app.trainer.shadow.state import CandidateFile  # loads torch, which takes seconds

        try:
            found = CandidateFile(self._config).load()
        except DriftflowError:
            return None
        if found is None:
            return None
        trainer = self._config.trainer
        return {
            "model_id": found.model_id,
            "champion": found.champion,
            "phase": found.phase,
            "began_ms": int(found.begun_s * 1_000),
            "figures": found.test.figures(),
            "says": found.test.says(found.verdict),
            "events_max": trainer.shadow_events,
            "patience_ms": int(trainer.shadow_patience),
        }
