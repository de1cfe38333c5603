"""Every fault that is put into a process, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Then = Literal["goes on", "ends"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A function that fails in one way.

    Attributes:
        part: which part of a process, or which storage, as the tables in ARCHITECTURE.md name it.
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
    # SCORE, WATCH and JUDGE
    Fault("score", "stream_app.stages.pipeline:Pipeline.score", "bug", "ends"),
    Fault("score", "stream_app.stages.pipeline:Pipeline.score", "no memory", "ends"),
    Fault("score", "stream_app.stages.pipeline:Pipeline.score", "hang", "ends"),
    Fault("watch", "stream_app.stages.pipeline:Pipeline.watch", "bug", "ends"),
    Fault("watch", "stream_app.stages.pipeline:Pipeline.watch", "hang", "ends"),
    Fault("judge", "stream_app.stages.pipeline:Pipeline.judge", "bug", "ends", in_ci=True),
    Fault("judge", "stream_app.stages.pipeline:Pipeline.judge", "hang", "ends"),
    Fault("score", f"{_W}.sending:send", "aiokafka", "ends"),
    Fault("score", f"{_W}.sending:send", "bug", "ends"),
    Fault("score", f"{_W}.sending:send", "hang", "ends"),
    # The checkpoint and what it writes
    Fault("checkpoint", f"{_W}.agents:Worker.checkpoint", "bug", "ends"),
    Fault("checkpoint", f"{_W}.agents:Worker.checkpoint", "hang", "ends", in_ci=True),
    Fault("checkpoint", f"{_W}.outbox:Outbox.checkpoint", "timeout", "ends"),
    Fault("base", f"{_W}.files:FileStore.put_base", "disk full", "ends"),
    Fault("checkpoint", f"{_W}.files:FileStore.put_head", "hang", "ends"),
    Fault("head", "open:.head", "half", "ends", in_ci=True),
    Fault("base", "open:.base", "half", "ends"),
    Fault("checkpoint", "os:fsync", "input/output error", "ends"),
    Fault("head", "os:replace", "disk full", "ends", where=".head"),
    Fault("spool", f"{_SPOOL}:INSERT INTO queue", "database full", "ends", in_ci=True),
    Fault("spool", f"{_SPOOL}:INSERT INTO queue", "database damaged", "ends"),
    Fault("checkpoint", f"{_SPOOL}:INSERT INTO queue", "hang", "ends"),
    # Decisions
    Fault("checkpoint", f"{_W}.deciding:Decider.end_catching_up", "bug", "ends"),
    Fault("checkpoint", f"{_W}.deciding:Decider.pass_over_idle", "bug", "ends"),
    Fault("models feed", f"{_W}.deciding:Decider.activate_all", "key error", "ends"),
    Fault("decisions", f"{_W}.files:FileStore.record", "disk full", "ends"),
    Fault("decisions", "open:decisions.jsonl", "half", "ends"),
    # The models feed
    Fault("models feed", f"{_W}.models_feed:ModelsFeed._take", "bug", "ends"),
    Fault("models feed", f"{_W}.models_feed:ModelsFeed._take", "aiokafka", "goes on", times=2, in_ci=True),
    Fault("models feed", f"{_W}.models_feed:ModelsFeed._take", "hang", "ends"),
    Fault("models feed", f"{_W}.modelling:Modelling.take_model", "bug", "ends"),
    # What people say
    Fault("actions feed", f"{_W}.actions_feed:ActionsFeed._poll", "bug", "ends"),
    Fault("actions feed", f"{_W}.actions_feed:ActionsFeed._poll", "aiokafka", "goes on", times=2, in_ci=True),
    Fault("actions feed", f"{_W}.actions_feed:ActionsFeed._poll", "hang", "ends"),
    Fault("Kafka", f"{_W}.told:Told.look", "bug", "ends"),
    # The logs
    Fault("logs", f"{_W}.logs:look", "bug", "ends"),
    Fault("logs", f"{_W}.logs:look", "hang", "ends"),
    # Health
    Fault("health", f"{_W}.health:Telling.due", "bug", "goes on", times=2, in_ci=True),
    Fault("health", f"{_W}.noticing:Noticing.look", "key error", "goes on", times=2),
    # The status
    Fault("status", f"{_W}.status:StatusFile.write", "disk full", "goes on", times=2),
    Fault("status", f"{_W}.status:StatusFile.write", "bug", "ends"),
    Fault("event loop", f"{_W}.status:StatusFile.write", "hang", "ends"),
    Fault("status", f"{_W}.agents:Worker.status", "key error", "ends"),
    # Probes and metrics
    Fault("monitor", "stream_app.monitor.server:_Server.service_actions", "bug", "ends"),
    Fault("monitor", "stream_app.monitor.server:_Server.service_actions", "hang", "goes on"),
    # The watchdog
    Fault("progress", f"{_W}.progress:Watchdog.stalled", "bug", "ends"),
    # The drainer
    Fault("drainer", "stream_app.sinks.sqlite:SQLiteSink.write", "bug", "goes on", times=3),
    Fault("drainer", "stream_app.sinks.sqlite:SQLiteSink.write", "no memory", "goes on", times=2),
    Fault("sink", f"{_STORE}:INSERT OR REPLACE", "database locked", "goes on", times=3, in_ci=True),
    Fault("sink", f"{_STORE}:INSERT OR REPLACE", "database full", "goes on", times=3),
    Fault("spool", f"{_SPOOL}:DELETE FROM queue WHERE id = ?", "database full", "goes on", times=3, in_ci=True),
    Fault("spool", f"{_SPOOL}:SELECT id, point FROM queue", "database locked", "goes on", times=3),
    Fault("drainer", "stream_app.sinks.spool:Spool.read", "the thread's end", "ends"),
    Fault("drainer", "stream_app.sinks.spool:Spool.read", "hang", "goes on"),
    Fault("drainer", "stream_app.sinks.sqlite:SQLiteSink.write", "hang", "goes on"),
    # Kafka's client
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.getmany", "bug", "ends"),
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.getmany", "hang", "ends"),
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.commit", "bug", "ends"),
    Fault("Kafka", f"{_W}.batch_transport:BatchConsumer.commit", "hang", "ends"),
)

_T, _P, _SEND = "stream_app.trainer", "kafka-python", "kafka:KafkaProducer.send"

TRAINER = (
    Fault("trainer's loop", f"{_T}.trainer:Trainer._round", "bug", "ends", role="trainer"),
    Fault("trainer's loop", f"{_T}.trainer:believed", "key error", "ends", role="trainer"),
    Fault("trainer's loop", "kafka:KafkaConsumer.poll", _P, "goes on", times=2, role="trainer"),
    Fault("trainer's loop", "kafka:KafkaConsumer.commit", _P, "goes on", times=2, role="trainer"),
    Fault(
        "trainer: an answer",
        "kafka:KafkaProducer.send",
        _P,
        "goes on",
        where=".signals",
        times=2,
        role="trainer",
        in_ci=True,
    ),
    Fault("a dead letter", "kafka:KafkaProducer.send", _P, "goes on", where=".dead-letters", times=2, role="trainer"),
    Fault("trainer's loop", f"{_T}.answering:look", _P, "goes on", times=2, role="trainer"),
    Fault("trainer's training", f"{_T}.trying:answer", "bug", "goes on", times=1, role="trainer"),
    Fault("trainer's training", f"{_T}.trying:answer", "no memory", "goes on", role="trainer", in_ci=True),
    Fault("trainer: reading the rows", f"{_T}.trying:read_ranges", _P, "goes on", times=2, role="trainer"),
    Fault("trainer's training", f"{_T}.trying:answer", "disk full", "ends", role="trainer"),
    Fault("trainer's checkpoint", f"{_T}.checkpoint:CheckpointFile.keep", "disk full", "ends", role="trainer"),
    Fault("trainer's checkpoint", "open:.checkpoint", "half", "ends", role="trainer"),
    Fault("registry", "flowlib.artifact:_write_synced", "disk full", "ends", role="trainer"),
    Fault("registry", "stream_app.models.registry:Registry.record", "disk full", "ends", role="trainer"),
    Fault("registry", "stream_app.models.registry:Registry.promote", "input/output error", "ends", role="trainer"),
    Fault("registry", "open:.notices.jsonl", "half", "ends", role="trainer", in_ci=True),
    Fault("registry", "open:.answers.jsonl", "half", "ends", role="trainer"),
    Fault("registry", "open:models/air.jsonl", "half", "ends", role="trainer"),
)

_C, _LOCKED = "stream_app.console", "database locked"

CONSOLE = (
    Fault(
        "console's reader",
        f"{_C}.queries:Points.lasts",
        "database locked",
        "goes on",
        times=3,
        role="console",
        in_ci=True,
    ),
    Fault("console's reader", f"{_C}.queries:Points.lasts", "database damaged", "goes on", times=3, role="console"),
    Fault("console's reader", f"{_C}.answers:open_store", "input/output error", "goes on", times=3, role="console"),
    Fault("console's reader", f"{_C}.answers:Store.overview", "bug", "goes on", times=3, role="console"),
)

FAULTS: tuple[Fault, ...] = (*WORKER, *TRAINER, *CONSOLE)
