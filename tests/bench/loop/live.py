"""A stream on Apache Kafka, its worker and its trainer as processes of their own, those who ask it, and what is known
of all that happened in the end.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from schemas.incidents import Incident
from schemas.intake import take_in
from schemas.records import ModelNotice, RetrainRequest
from stream_app.audit.records import Records, gather
from stream_app.audit.tracing import traced
from stream_app.config import load
from stream_app.disk import read_lines
from stream_app.kafka.signals import read_signals
from stream_app.models.keys import trusted_keys
from stream_app.models.registry import FINAL, Registry
from stream_app.models.signing import signature_fault
from stream_app.stages.decisions import DECODER, Activated
from tests.bench.loop.run import LeftOut
from tests.brokers import ApacheKafka
from tests.forked import Forked, driftflow
from tests.integration.stream import Stream, write_example
from tests.integration.test_models import retrain_request

R = TypeVar("R")
Edits = tuple[tuple[str, str], ...]
"""What stands in the configuration of the tests' stream, and what stands there in its place."""
NOBODY_ELSE_ASKS: Edits = (('cooldown = "14d"', 'cooldown = "14d"\nenabled = false'),)
"""JUDGE makes no requests of its own."""
PATIENCE_S = 240.0
_SHOWN = 3


@contextmanager
def node() -> Iterator[tuple[Path, str]]:
    """An empty folder, and the address of a broker of its own; raises LeftOut without ``KAFKA_HOME``."""
    home = Path(os.environ.get("KAFKA_HOME", ""))
    if not (home / "bin").is_dir():
        raise LeftOut("KAFKA_HOME names no Apache Kafka")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="driftflow-loop-")))
        broker = ApacheKafka(home, folder).start()
        stack.callback(broker.stop)
        yield folder, broker.bootstrap


@contextmanager
def stream_on(folder: Path, bootstrap: str, trainer: str, edits: Edits = (), toml: str = "") -> Iterator[Stream]:
    """A stream of a folder, whose workers end with it.

    Args:
        trainer: settings of the trainer.
        edits: other settings.
        toml: another configuration, with ``{name}`` and ``{bootstrap}`` to be filled in.
    """
    stream = Stream(folder / "stream", bootstrap, f"loop-{uuid.uuid4().hex[:6]}", trainer=trainer)
    text = toml.format(name=stream.name, bootstrap=bootstrap) if toml else stream.toml.read_text()
    for before, after in edits:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    stream.toml.write_text(text)
    stream.config = load(stream.toml)
    try:
        yield stream
    finally:
        stream.kill()


@contextmanager
def running(until: str, trainer: str, edits: Edits = ()) -> Iterator[tuple[Stream, list[Any]]]:
    """A stream of the example on a broker of its own, and its rows before a date, in order of time."""
    with node() as (folder, bootstrap), stream_on(folder, bootstrap, trainer, edits) as stream:
        yield stream, stream.rows(write_example(folder / "air.csv", until))


def rows_before(rows: list[Any], date: str) -> int:
    """How many rows of the example lie before a date."""
    return sum(json.loads(value)["timestamp"] < date for _, value in rows)


@contextmanager
def trainer_of(stream: Stream, *words: str, before: Callable[[], object] | None = None) -> Iterator[Forked]:
    """The trainer as a process of its own; it is killed at the end where it has not ended.

    Args:
        words: of its command.
        before: puts a fault into the process.
    """
    process = driftflow("trainer", "-c", str(stream.toml), *words, log=stream.folder / "trainer.log", before=before)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log_of(stream: Stream) -> str:
    """The trainers' output."""
    path = stream.folder / "trainer.log"
    return path.read_text(errors="replace")[-6_000:] if path.exists() else ""


def wait(stream: Stream, done: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait; where it does not come the error has the trainers' output too."""
    try:
        stream.wait(done, what, timeout_s, every_s=0.3)
    except AssertionError as error:
        raise RuntimeError(f"{error}\ntrainer:\n{log_of(stream)}") from None


def asked_until(stream: Stream, until: str) -> RetrainRequest:
    """A request of everything before a date, in place of the model in service."""
    return retrain_request(stream, Registry(stream.config).in_service(), until)


# What was said --------------------------------------------------------------------------------------------------------


def notices(stream: Stream) -> list[ModelNotice]:
    """What has been decided so far; nothing before the trainer has made its key."""
    if not (stream.folder / "keys" / "signing.pub").exists():
        return []
    return Registry(stream.config).notices()


def finals(stream: Stream) -> Counter[str]:
    """How many answers each request has in the registry."""
    return Counter(notice.request_id for notice in notices(stream) if notice.status in FINAL)


def told(stream: Stream) -> list[ModelNotice]:
    """Notices on the signals topic that the trainer has signed, as often as they stand there."""
    trusted, found = trusted_keys(stream.config), []
    for message in read_signals(stream.config):
        notice = take_in("signals", stream.config.stream, message.value, message.headers)
        if isinstance(notice, ModelNotice) and not signature_fault(message.value or b"", message.headers, trusted):
            found.append(notice)
    return found


def said(stream: Stream, kind: type[R]) -> list[R]:
    """Records of a kind on the signals topic, in order."""
    taken = (take_in("signals", stream.config.stream, of.value, of.headers) for of in read_signals(stream.config))
    return [record for record in taken if isinstance(record, kind)]


def incidents(stream: Stream) -> dict[str, list[Incident]]:
    """The messages of each incident, in order."""
    found: dict[str, list[Incident]] = {}
    for incident in said(stream, Incident):
        found.setdefault(incident.id, []).append(incident)
    return found


def activated(stream: Stream) -> list[Activated]:
    """From when on which source partition is scored by which model, as the worker has written it down."""
    path = stream.folder / "state" / "decisions.jsonl"
    return [of for of in read_lines(path, DECODER, "") if isinstance(of, Activated)] if path.exists() else []


def scores_everywhere(stream: Stream, model_id: str) -> bool:
    """Whether the newest decision of each source partition is that this model scores it."""
    newest = {of.partition: of.model_id for of in activated(stream)}
    return set(newest.values()) == {model_id} and len(newest) == stream.config.topics.partitions


# What is known of it --------------------------------------------------------------------------------------------------


def traces(stream: Stream) -> dict[str, Any]:
    """Whether the story of everything that has an id is whole: requests, models, incidents, changes, answers of people
    and messages of strange events; and of three of them that ``driftflow audit trace`` says so.
    """
    records = gather(stream.config)
    missing, count = {}, Counter[str]()
    for kind, name in _known(records):
        found = traced(records, kind, name)
        count[kind] += 1
        if found.missing or found.unasked:
            missing[f"{kind} {name}"] = found.missing + found.unasked
    newest = dict(_known(records))
    asked = [json.loads(stream.command("audit", "trace", name, "--json")) for name in [*newest.values()][:_SHOWN]]
    whole = not missing and all(one["complete"] for one in asked)
    steps = Counter(step["kind"] for one in asked for step in one["steps"])
    return {"complete": whole, "traced": dict(count), "missing": missing, "by_command": dict(steps)}


def _known(records: Records) -> Iterator[tuple[str, str]]:
    requests = {notice.request_id for notice in records.notices} | records.requests.keys()
    yield from (("request", name) for name in sorted(requests))
    entered = {notice.model_id for notice in records.notices if notice.status in ("promoted", "candidate", "waiting")}
    yield from (("model", name) for name in sorted(entered))
    yield from (("incident", name) for name in sorted(records.incidents))
    yield from (("change", name) for name in sorted(records.changes))
    yield from (("action", name) for name in sorted(records.actions))
    yield from (("strange events", name) for name in sorted(records.strange))


def failed_gates(notice: ModelNotice) -> list[str]:
    """Gates that a candidate has not passed."""
    return sorted(name for name, gate in notice.gates.items() if not gate["passed"])
