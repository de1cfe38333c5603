"""One exception tree. Every message says what was wrong, where, and what to do.

::

    DriftflowError
    ├── ConfigError            the configuration has faults
    ├── PreflightError         the broker cannot be used as configured
    ├── Unreachable            none of the brokers takes a connection
    ├── BrokerError            the embedded broker is not installed or does not start
    ├── SnapshotError          a snapshot cannot be read, or belongs to another configuration
    ├── TakenOver              another worker has taken a partition over, and this one may write nothing of it any more
    ├── ModelError             a model or a key is missing or not accepted
    ├── AuditError             what the record says is not as it was written
    ├── OverBudget             a private training would cost more than is left
    ├── RangesGone             the broker answers, and hands out no more of the offsets that were asked for
    ├── TooManyDropped         more rows of a file came to nothing than may
    ├── Stopped                the trainer was told to stop in the midst of something
    ├── Interrupted            somebody has pressed Ctrl-C in the midst of something
    ├── SinkError              a sink cannot be opened, or cannot write now
    │   ├── Busy               a receiver of notices asks for patience
    │   └── Rejected           a sink will never take this batch
    │       └── Unwritable     a point has no form that a sink could take
    ├── NotReadableError       the embedded store cannot be read now
    ├── FieldsMissing          none of a stream's first events has a field that the configuration names
    ├── Misfit                 a value that its field cannot have
    ├── BadSchema              an Avro schema that bodies are not read by
    ├── Malformed              bytes that are not of their Avro schema
    ├── NoPlan                 an Avro schema that bodies are not read by side by side
    ├── ChecksumError          a batch of records has arrived damaged
    ├── RegistryError          the schema registry does not answer, or not as one does
    ├── UnknownSchema          the schema registry does not know a schema
    ├── MostRejected           most rows of a source are no events by the configuration
    ├── Unwell                 the doctor has found faults
    └── Undecodable            a body is not an event

Errors of flowlib, of a broker's client and of the operating system become one of these where they enter a command.
"""

from __future__ import annotations


class DriftflowError(Exception):
    """Base of every operating error; the command line prints it without a traceback, and ends with its status."""

    status = 1


class ConfigError(DriftflowError):
    """A configuration with faults: all of them, one line each."""

    def __init__(self, path: str, faults: list[str]) -> None:
        self.faults = faults
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{path}: {len(faults)} fault{'s' if len(faults) != 1 else ''} in the configuration\n{lines}")


class PreflightError(DriftflowError):
    """The broker cannot be used as configured; the message has one line for each check that fails."""


class Unreachable(DriftflowError):
    """None of the brokers takes a connection."""


class SnapshotError(DriftflowError):
    """A snapshot cannot be read, or belongs to another configuration."""


class TakenOver(DriftflowError):
    """Another worker has taken a partition over: this one was believed dead, and may write nothing of it any more."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"another worker has taken {name} over, because this one was silent for longer than "
            "kafka.session_timeout: it is left to that one"
        )


class TooManyDropped(DriftflowError):
    """More rows of a file came to nothing than may; all that could be done with the others has been done."""

    status = 3


class Interrupted(DriftflowError):
    """Somebody has pressed Ctrl-C: how far it came, what is written, and how to go on."""

    status = 130  # 128 + SIGINT, as shells have it


class ModelError(DriftflowError):
    """A model or a key is missing or not accepted: altered, unsigned, of another stream, or failing parity."""


class AuditError(DriftflowError):
    """What the record says is not as it was written: one line for each fault."""


class SinkError(DriftflowError):
    """A sink cannot be opened, or cannot write now. What waits for it stays in the spool and is tried again."""
