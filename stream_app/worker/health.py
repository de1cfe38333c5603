"""Health messages: what fails in a worker, said when it changes, on the partition of processes of the signals topic.

Nothing depends on them: they are sent beside the checkpoint, given up where the broker does not take them in time, and
outside of what a replay compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from schemas.codecs import Envelope, encode_event
from schemas.records import Health, record_id
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing, Point
from stream_app.stages.partitioning import trainer_signals

SETTLE_S = 3.0
"""How long a part must fail, or work again, before it is said."""
INHERITED_S = 120.0
"""The same for what failed before this process came: it takes as long to be noticed again."""
REST_S = 60.0
"""Time between two messages about one part."""
MESSAGES_MAX = 30
"""Messages within ``REST_S`` in all; those beyond wait."""

_SAYS_MAX = 4_000


class Telling:
    """Decides which messages are due.

    Args:
        config: the stream.
        source: which process this is.
    """

    def __init__(self, config: Config, source: str) -> None:
        self._stream, self._source = config.stream, source
        self._said: dict[str, str] = {}
        self._inherited: set[str] = set()
        self._adopted: set[tuple[str, str, float]] = set()
        self._failed: dict[str, set[str]] = {}
        """Part to the processes that it failed in, this one and those that live no more: it has to be said of each."""
        self._changed: dict[str, tuple[str, int, float]] = {}
        """Part to its state now, and since when: by the wall clock and by a monotonic one."""
        self._told_s: dict[str, float] = {}

    def adopt(self, left: Iterable[tuple[str, str, float]]) -> None:
        """Take over what processes have left failing that live no more: it is said to be well once it does not fail
        here.

        Args:
            left: part, which process it was, and when that was written.
        """
        new = set(left) - self._adopted
        self._adopted |= new
        for part, source, _ in new:
            if part not in self._said:
                self._said[part] = "failing"
                self._inherited.add(part)
            self._failed.setdefault(part, set()).add(source or self._source)

    def due(self, failing: Mapping[str, str], now_ms: int, now_s: float) -> list[Health]:
        """Messages to send now; each stays due until it was :meth:`told`.

        Args:
            failing: part to what is wrong with it.
            now_ms: wall clock.
            now_s: a monotonic time.
        """
        self._inherited &= self._said.keys() - failing.keys()
        for part in {*failing, *self._said, *self._changed}:
            state = "failing" if part in failing else "ok"
            if self._changed.get(part, ("",))[0] != state:
                self._changed[part] = (state, now_ms, now_s)
            if state == self._said.get(part, "ok") == "ok":
                del self._changed[part]
        recent = sum(now_s - told_s < REST_S for told_s in self._told_s.values())
        news = [part for part in self._changed if self._is_due(part, now_s)]
        due = [one for part in sorted(news) for one in self._of_part(part, failing.get(part, ""))]
        return due[: max(MESSAGES_MAX - recent, 0)]

    def _of_part(self, part: str, says: str) -> list[Health]:
        failed = self._failed.get(part, set()) if self._changed[part][0] == "ok" else ()
        return [self._health(part, says, source) for source in sorted(failed) or [self._source]]

    def _is_due(self, part: str, now_s: float) -> bool:
        state, _, since_s = self._changed[part]
        rested = now_s - self._told_s.get(part, now_s - REST_S) >= REST_S
        settled_s = INHERITED_S if part in self._inherited else SETTLE_S
        return self._said.get(part, "ok") != state and now_s - since_s >= settled_s and rested

    def _health(self, part: str, says: str, source: str) -> Health:
        state, since_ms, _ = self._changed[part]
        return Health(
            stream=self._stream, source=source, part=part[:1_000], state=state, says=says[:_SAYS_MAX], since_ms=since_ms
        )

    def last(self, part: str, says: str, now_ms: int) -> Health:
        """The message of a process that is about to end."""
        self._changed[part] = ("failing", now_ms, 0.0)
        return self._health(part, says, self._source)

    def told(self, health: Health, now_s: float) -> None:
        """The broker has taken a message."""
        self._told_s[health.part], failed = now_s, self._failed.setdefault(health.part, set())
        if health.state == "failing":
            self._said[health.part] = "failing"
            failed.add(health.source)
            return
        failed.discard(health.source)
        if not failed:
            del self._said[health.part], self._changed[health.part], self._failed[health.part]


def health_message(config: Config, health: Health) -> Outgoing:
    """A health message as a signal."""
    event_id = record_id(
        "health", health
    )  # of all that it says: one that was sent unacknowledged may be said otherwise
    envelope = Envelope(health, event_id, f"/driftflow/{config.stream}/worker", health.since_ms, health.part)
    message = encode_event(envelope)
    partition = trainer_signals(config.topics.partitions)
    return Outgoing("signals", partition, health.part.encode(), message.value, message.headers)


def health_point(health: Health) -> Point:
    """Its point, at the time since when it holds; a part's newest one counts, whichever process it is of."""
    tags = (("part", health.part), ("stream", health.stream))
    fields = (("state", health.state), ("says", health.says), ("source", health.source))
    return Point("health", tags, health.since_ms, fields)
