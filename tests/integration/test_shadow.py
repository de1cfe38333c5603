"""``driftflow trainer`` with a candidate in the shadow, on a real broker: killed in each step, and told what to do."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from schemas.codecs import Envelope, encode_event
from schemas.records import ModelNotice, ServiceChange, record_id
from stream_app.models.audit import AuditLog
from stream_app.models.keys import request_key
from stream_app.models.registry import Registry
from stream_app.models.signing import sign
from tests.brokers import APACHE, EMBEDDED
from tests.forked import Forked, driftflow
from tests.integration.asking import WIDTH, Asking, end, notices, request_until, told
from tests.integration.conftest import MakeStream
from tests.integration.faulty_trainer import killed, lenient
from tests.integration.stream import Stream

SHADOW = 'promotion = "shadow"\nmin_gain_nats = -0.45\nanchor_budget = 0.9'
"""No gain is asked for, and no distance minded: these models are trained for a moment, in winter, and spring comes."""
FIRST = 10_000
"""Events that the request names; those behind them are live."""
UNTIL = "2013-04-04"

KILLS = (
    ("stream_app.trainer.shadow.state", "CandidateFile", "keep", 0, False),
    ("stream_app.trainer.shadow.state", "CandidateFile", "keep", 0, True),
    ("stream_app.trainer.shadow.panes", "OpenPanes", "add", 1, True),
    ("stream_app.models.registry", "Registry", "record", 1, True),
    ("stream_app.trainer.shadow.state", "CandidateFile", "clear", 0, False),
)
"""Before a candidate is known, before it is told, in the shadow, once it is decided, and once it is answered."""


@pytest.fixture
def trainers() -> Iterator[Callable[..., Forked]]:
    """Starts trainers; one that still runs ends with the test."""
    running: list[Forked] = []

    def start(stream: Stream, before: Callable[[], None] = lenient) -> Forked:
        log = stream.folder / "worker.log"  # what Stream.wait shows where it fails
        running.append(driftflow("trainer", "-c", str(stream.toml), log=log, before=before))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def statuses(found: list[ModelNotice]) -> list[str]:
    return [notice.status for notice in found]


@EMBEDDED
def test_a_trainer_that_is_killed_in_each_step_loses_nothing_and_does_nothing_twice(
    make_stream: MakeStream, example: Path, trainers: Callable[..., Forked]
) -> None:
    stream = make_stream(trainer=SHADOW)
    rows = stream.rows(example)
    stream.produce(rows[:FIRST])
    asking, request, before = Asking(stream), request_until(stream, UNTIL), len(notices(stream))
    asking.ask(request, 1)
    stream.produce(rows[FIRST:])
    for place in KILLS:
        assert trainers(stream, before=partial(killed, *place)).wait(120) == -signal.SIGKILL, stream.log()
    last = trainers(stream)
    stream.wait(lambda: Registry(stream.config).answer_to(request.id) is not None, "the answer")
    stream.wait(lambda: not (stream.folder / "state" / "air.shadow").exists(), "its end")
    end(last, stream)
    asking.close()
    found = notices(stream)[before:]
    assert statuses(found) == ["candidate", "promoted"]
    assert told(stream) == found, "each once, as it is kept"
    registry = Registry(stream.config)
    assert registry.in_service() == found[-1].model_id
    assert [entry.request_id for entry in registry.history()].count(request.id) == 1
    assert AuditLog(stream.config).faults([notice.provenance["audit_head"] for notice in found]) == []
    assert "Traceback" not in stream.log()


@APACHE
def test_people_approve_and_reject_by_the_command_and_the_trainer_follows_what_is_in_service(
    make_stream: MakeStream, example: Path, trainers: Callable[..., Forked]
) -> None:
    stream = make_stream(trainer=SHADOW.replace("shadow", "approve"))
    stream.command("keys", "new", "operator")
    rows = stream.rows(example)
    stream.produce(rows[:FIRST])
    asking, request, before = Asking(stream), request_until(stream, UNTIL), len(notices(stream))
    former = Registry(stream.config).in_service()
    asking.ask(request, 1)
    stream.produce(rows[FIRST:])
    trainer = trainers(stream)
    stream.wait(lambda: "waiting" in statuses(notices(stream)[before:]), "a model that waits")
    waiting = notices(stream)[-1]
    assert stream.command("models", "show", waiting.model_id[:6]).startswith(f"model {waiting.model_id}: waiting")
    assert "lets it go on" in stream.command("models", "approve", waiting.model_id[:6], "--by", "ann", "--why", "fine")
    stream.wait(lambda: Registry(stream.config).answer_to(request.id) is not None, "the answer")
    promoted = notices(stream)[-1]
    assert (promoted.status, promoted.provenance["approved_by"]) == ("promoted", "ann")
    stream.wait(lambda: Registry(stream.config).in_service() == promoted.model_id, "the promotion")
    change = ServiceChange(
        id=record_id("test", promoted.model_id),
        stream="air",
        verb="rollback",
        model_id=promoted.model_id,
        returns_to=former,
        by="driftflow",
        pane_end_ms=promoted.created_ms,
        why="it alarms on 5% of the events",
    )
    unsigned = encode_event(Envelope(change, change.id, "/driftflow/air/judge", change.pane_end_ms))
    message = sign(unsigned, request_key(stream.config))
    asking.send(message.value, list(message.headers), WIDTH)
    stream.wait(lambda: Registry(stream.config).in_service() == former, "the roll-back")
    second = request_until(stream, "2013-04-12", model_id=former)
    asking.ask(second, 2)
    stream.wait(lambda: notices(stream)[-1].request_id == second.id, "the next candidate")
    candidate = notices(stream)[-1]
    assert candidate.parent_id == former, "judged against what is in service"
    assert "refuses it" in stream.command("models", "reject", candidate.model_id[:6], "--by", "bob", "--why", "no")
    stream.wait(lambda: Registry(stream.config).answer_to(second.id) is not None, "the second answer")
    end(trainer, stream)
    asking.close()
    refused = notices(stream)[-1]
    assert (refused.status, refused.reason) == ("refused", "rejected by bob: no")
    answers = [notice.request_id for notice in told(stream) if notice.status in ("promoted", "refused", "covered")]
    assert answers == [request.id, second.id], "each once"
    said = stream.command("models", "diff", waiting.model_id, promoted.model_id)
    assert "approved_by:  → ann" in said
    assert "Nothing was changed, taken out, moved or cut." in stream.command("audit", "verify")
    traced = json.loads(stream.command("audit", "trace", promoted.model_id, "--json"))
    assert traced["complete"], traced["missing"]
    assert {"request", "training", "gates", "shadow", "approval", "promotion", "change"} <= {
        step["kind"] for step in traced["steps"]
    }
