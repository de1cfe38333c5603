"""Every fault that is put into a process, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Then = Literal["goes on", "ends"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A function that fails in one way.

    Attributes:
        part: which part of the process it belongs to, as the table in ARCHITECTURE.md names it.
        target, how, where, times: see :class:`tests.hostile.faulty.Plan`.
        then: ``goes on``, and once the fault is over everything is as if it had not been; or ``ends`` within five
            seconds (after what counts as hung, where it hangs), with status 1 and one sentence, and the next start goes
            on with nothing lost.
        role: the command.
        in_ci: whether it is among the few that every run of the tests tries; ``make bench-hostile`` tries all.
    """

    part: str
    target: str
    how: str
    then: Then
    where: str = ""
    times: int = -1
    role: Literal["worker", "trainer", "console"] = "worker"
    in_ci: bool = False

    @property
    def name(self) -> str:
        """For people."""
        function = self.target.removeprefix("stream_app.").replace(":", " ")
        return " ".join(filter(None, (self.role, self.part, function, self.where, self.how)))


_W = "stream_app.worker"
_SPOOL, _STORE = "sql:spool.sqlite", "sql:driftflow.sqlite"

WORKER = (
    # SCORE and WATCH
    Fault("score", "stream_app.stages.pipeline:Pipeline.score", "bug", "ends", in_ci=True),
    Fault("score", "stream_app.stages.pipeline:Pipeline.score", "no memory", "ends"),
    Fault("score", "stream_app.stages.pipeline:Pipeline.score", "hang", "ends"),
    Fault("watch", "stream_app.stages.pipeline:Pipeline.watch", "bug", "ends"),
    Fault("watch", "stream_app.stages.pipeline:Pipeline.watch", "hang", "ends"),
    Fault("score", f"{_W}.batch_transport:send", "aiokafka", "ends"),
    Fault("score", f"{_W}.batch_transport:send", "bug", "ends"),
    Fault("score", f"{_W}.batch_transport:send", "hang", "ends"),
    # The checkpoint and what it writes
    Fault("checkpoint", f"{_W}.agents:Worker.checkpoint", "bug", "ends"),
    Fault("checkpoint", f"{_W}.agents:Worker.checkpoint", "hang", "ends", in_ci=True),
    Fault("checkpoint", f"{_W}.outbox:Outbox.checkpoint", "timeout", "ends"),
    Fault("checkpoint", f"{_W}.state:StateStore.save", "disk full", "ends"),
    Fault("checkpoint", f"{_W}.state:StateStore.save", "hang", "ends"),
    Fault("checkpoint", "open:.snapshot", "half", "ends", in_ci=True),
    Fault("checkpoint", "os:fsync", "input/output error", "ends"),
    Fault("checkpoint", "os:replace", "disk full", "ends", where=".snapshot"),
    Fault("checkpoint", f"{_SPOOL}:INSERT INTO queue", "database full", "ends", in_ci=True),
    Fault("checkpoint", f"{_SPOOL}:INSERT INTO queue", "database damaged", "ends"),
    Fault("checkpoint", f"{_SPOOL}:INSERT INTO queue", "hang", "ends"),
    # Decisions
    Fault("checkpoint", f"{_W}.deciding:Decider.end_catching_up", "bug", "ends"),
    Fault("checkpoint", f"{_W}.deciding:Decider.pass_over_idle", "bug", "ends"),
    Fault("models feed", f"{_W}.deciding:Decider.activate_all", "key error", "ends"),
    Fault("models feed", f"{_W}.state:StateStore.record", "disk full", "ends"),
    Fault("models feed", "open:append", "half", "ends"),
    # The models feed
    Fault("models feed", f"{_W}.models_feed:ModelsFeed._take", "bug", "ends"),
    Fault("models feed", f"{_W}.models_feed:ModelsFeed._take", "aiokafka", "goes on", times=2, in_ci=True),
    Fault("models feed", f"{_W}.models_feed:ModelsFeed._take", "hang", "ends"),
    Fault("models feed", f"{_W}.agents:Worker.take_model", "bug", "ends"),
    # The status
    Fault("status", f"{_W}.status:StatusFile.write", "disk full", "goes on", times=2, in_ci=True),
    Fault("status", f"{_W}.status:StatusFile.write", "bug", "ends"),
    Fault("event loop", f"{_W}.status:StatusFile.write", "hang", "ends", in_ci=True),
    Fault("status", f"{_W}.agents:Worker.status", "key error", "ends"),
    # The watchdog
    Fault("progress", f"{_W}.progress:Watchdog.stalled", "bug", "ends"),
    # The drainer
    Fault("drainer", "stream_app.sinks.sqlite:SQLiteSink.write", "bug", "goes on", times=3),
    Fault("drainer", "stream_app.sinks.sqlite:SQLiteSink.write", "no memory", "goes on", times=2),
    Fault("drainer", f"{_STORE}:INSERT OR REPLACE", "database locked", "goes on", times=3, in_ci=True),
    Fault("drainer", f"{_STORE}:INSERT OR REPLACE", "database full", "goes on", times=3),
    Fault("drainer", f"{_SPOOL}:DELETE FROM queue WHERE id = ?", "database full", "goes on", times=3, in_ci=True),
    Fault("drainer", f"{_SPOOL}:SELECT id, point FROM queue", "database locked", "goes on", times=3),
    Fault("drainer", "stream_app.sinks.spool:Spool.read", "the thread's end", "ends"),
    Fault("drainer", "stream_app.sinks.spool:Spool.read", "hang", "ends"),
    # Kafka's client
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.getmany", "bug", "ends"),
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.getmany", "hang", "ends", in_ci=True),
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.commit", "bug", "ends"),
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.commit", "hang", "ends"),
)

FAULTS: tuple[Fault, ...] = WORKER
