"""``driftflow trainer`` as a process on a real broker: the first model, then requests as they come, good and bad."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib.artifact import Ed25519PrivateKey
from schemas.records import OffsetRange, RetrainRequest
from stream_app.models.registry import Registry
from tests.brokers import APACHE, EMBEDDED
from tests.integration.asking import Asking, Unreadable, end, notices, request_until, told, wait_for
from tests.integration.conftest import MakeStream, Start
from tests.integration.faulty_trainer import dying, hanging, slow
from tests.integration.stream import Stream

DAY_MS = 86_400_000


@pytest.fixture
def stream(tmp_path: Path, broker: tuple[str, str], unique: Any, example: Path) -> Stream:
    """Six weeks of events, and no model yet."""
    stream = Stream(tmp_path / "air", broker[1], unique("trainer"))
    stream.produce(stream.rows(example)[:12_000])
    return stream


@APACHE
def test_requests_are_answered_as_they_come_and_once(stream: Stream, start: Start) -> None:
    trainer = start(stream, "--bootstrap-until", "2013-04-01")
    stream.wait(lambda: bool(notices(stream) and Registry(stream.config).history()), "the first model")
    asking, first = Asking(stream), request_until(stream, "2013-04-05")
    for _ in range(20):
        asking.ask(first, 2)
    wait_for(stream, "an answer", 2)
    end(trainer, stream)
    trainer = start(stream)
    second = request_until(stream, "2013-04-10")
    asking.ask(second, 0)
    asking.ask(first, 2)
    wait_for(stream, "an answer after a restart", 3)
    end(trainer, stream)
    asking.close()
    answers = notices(stream)
    assert [answer.request_id for answer in answers[1:]] == [first.id, second.id]
    assert answers[0].status == "promoted"
    assert [answer.sequence for answer in answers] == [1, 2, 3]
    assert told(stream) == answers
    assert stream.log().count(f"request {first.id[:8]} (") == 1, "trained once"


def faulty(good: RetrainRequest) -> dict[str, RetrainRequest]:
    """Requests that a worker has signed and that cannot be right, by what the refusal says."""
    train = good.train
    topic = train[0].topic

    def on(**part: Any) -> list[OffsetRange]:
        return [msgspec.structs.replace(train[0], **part), *train[1:]]

    empty = [msgspec.structs.replace(part, end=part.start) for part in train]
    fields: dict[str, dict[str, Any]] = {
        rf"range {topic}/0 from 0 to \d+: only": {"train": on(topic="__consumer_offsets")},
        f"range {topic}/99 from 0 to .* no such partition, the topic has 4": {"train": on(partition=99)},
        f"range {topic}/0 from 0 to 9,999,999: the log ends at offset": {"train": on(end=9_999_999)},
        f"range {topic}/0 from 8 to 7: it starts after its end": {"train": on(start=8, end=7)},
        f"range {topic}/0 .* its times start": {"train": on(start_ms=10**13)},
        "every range that it names is empty": {"train": empty},
        "it names partition 1 more than once": {"train": on(partition=1)},
        "calibrate_from_ms .* lies outside": {
            "calibrate_from_ms": 0,
            "train": [msgspec.structs.replace(part, start_ms=DAY_MS) for part in train],
        },
        "it is dated 9999-12-31 .* and the newest event": {"requested_pane_ms": 253_402_300_799_999},
    }
    fields["only"] = fields.pop(rf"range {topic}/0 from 0 to \d+: only")
    return {
        said: msgspec.structs.replace(good, id=f"faulty-{number}", **changed)
        for number, (said, changed) in enumerate(fields.items())
    }


@APACHE
def test_what_cannot_be_right_is_refused_at_once_and_the_good_request_behind_it_is_answered(
    make_stream: MakeStream, example: Path, start: Start
) -> None:
    stream = make_stream()
    stream.produce(stream.rows(example)[:12_000])
    before = len(notices(stream))
    trainer = start(stream)
    stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
    asking, good = Asking(stream), request_until(stream, "2013-04-10")
    bad = faulty(good)
    stranger = Ed25519PrivateKey.generate()
    asking.send_null_header(stream)
    asking.send(b"junk", [(Unreadable("x"), b"1")])
    asking.send(None, [("ce_type", b"driftflow.retrain-request.v1")])
    asking.send(b"\x00" * 100, [("ce_type", b"driftflow.retrain-request.v1"), ("ce_type", b"")])
    for _ in range(24):
        asking.ask(msgspec.structs.replace(good, requested_pane_ms=good.requested_pane_ms + DAY_MS), 0, stranger)
    began_s = time.monotonic()
    for request in bad.values():
        asking.ask(request, 0)
    wait_for(stream, "the refusals", before + len(bad))
    took_s = time.monotonic() - began_s
    asking.ask(good, 0)
    wait_for(stream, "the answer", before + len(bad) + 1)
    end(trainer, stream)
    asking.close()
    answers = told(stream)
    by_request = {answer.request_id: answer for answer in answers}
    assert max(Counter(answer.request_id for answer in answers).values()) == 1
    for said, request in bad.items():
        assert by_request[request.id].status == "refused"
        assert re.search(said, by_request[request.id].reason), by_request[request.id].reason
    assert took_s < 3.0 * len(bad), "a second each, on a machine that does other things too"
    assert "nats an event" in by_request[good.id].reason, "trained and judged"
    reasons = Counter(letter["reason"] for letter in stream.dead_letters())
    assert reasons == {"not_ours": 3, "tombstone": 1, "untrusted_key": 24}


@EMBEDDED
def test_a_request_that_kills_the_trainer_is_refused_at_the_third_start(
    make_stream: MakeStream, example: Path, start: Start
) -> None:
    stream = make_stream()
    stream.produce(stream.rows(example)[:12_000])
    asking = Asking(stream)
    deadly, good = request_until(stream, "2013-04-10"), request_until(stream, "2013-04-11")
    before = len(notices(stream))
    first = start(stream, before=dying)
    stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
    asking.ask(deadly, 1)
    asking.ask(good, 2)
    assert first.wait(60) == -signal.SIGKILL
    assert start(stream, before=dying).wait(60) == -signal.SIGKILL
    trainer = start(stream)
    wait_for(stream, "both answers", before + 2)
    end(trainer, stream)
    asking.close()
    refused, answered = told(stream)
    assert (refused.request_id, refused.status) == (deadly.id, "refused")
    assert refused.reason.startswith("training was tried 2 times: the process ended before its end each time")
    assert answered.request_id == good.id
    assert "training was tried" not in answered.reason


@EMBEDDED
def test_a_second_trainer_on_the_same_registry_ends_with_a_sentence(make_stream: MakeStream, start: Start) -> None:
    stream = make_stream()
    trainer = start(stream)
    stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
    second = start(stream)
    assert second.wait(60) == 1
    assert f"models/air.lock is held by another trainer (process {trainer.pid} on " in stream.log()
    assert "Traceback" not in stream.log()
    end(trainer, stream)


@EMBEDDED
def test_a_training_that_is_told_to_stop_is_taken_up_again(
    make_stream: MakeStream, example: Path, start: Start
) -> None:
    stream = make_stream()
    stream.produce(stream.rows(example)[:12_000])
    asking, request, before = Asking(stream), request_until(stream, "2013-04-10"), len(notices(stream))
    trainer = start(stream, before=slow)
    stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
    for _ in range(3):  # more often than a request may fail
        asking.ask(request, 1)
        stream.wait(lambda: "in training" in stream.log(), "the training")
        end(trainer, stream)
        assert len(notices(stream)) == before
        (stream.folder / "worker.log").write_bytes(b"")
        trainer = start(stream, before=slow)
    wait_for(stream, "the answer", before + 1)
    end(trainer, stream)
    asking.close()
    (answer,) = told(stream)
    assert "nats an event" in answer.reason
    assert "Traceback" not in stream.log()


@EMBEDDED
def test_a_first_training_that_is_told_to_stop_ends_in_order(stream: Stream, start: Start) -> None:
    trainer = start(stream, "--bootstrap-until", "2013-04-01", before=slow)
    stream.wait(lambda: "in training" in stream.log(), "the training")
    end(trainer, stream)
    assert notices(stream) == []
    trainer = start(stream, "--bootstrap-until", "2013-04-01")
    wait_for(stream, "the first model", 1)
    end(trainer, stream)
    assert "Traceback" not in stream.log()


@EMBEDDED
def test_what_does_not_end_is_ended_in_time_and_is_no_try(make_stream: MakeStream, example: Path, start: Start) -> None:
    stream = make_stream()
    stream.produce(stream.rows(example)[:12_000])
    asking, request, before = Asking(stream), request_until(stream, "2013-04-10"), len(notices(stream))
    asking_done = False
    for signals in (1, 2, 2):
        (stream.folder / "worker.log").write_bytes(b"")
        trainer = start(stream, before=hanging)
        if not asking_done:
            stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
            asking.ask(request, 1)
            asking_done = True
        stream.wait(lambda: "in training" in stream.log(), "the training")
        for _ in range(signals):
            trainer.send_signal(signal.SIGTERM)
            time.sleep(0.2)  # two signals at once are one
        trainer.wait(9.5 if signals == 1 else 3)
        assert "the request in hand" in stream.log()
    trainer = start(stream)
    wait_for(stream, "the answer", before + 1)
    end(trainer, stream)
    asking.close()
    assert "nats an event" in told(stream)[0].reason


# What a log can look like, on Apache Kafka ----------------------------------------------------------------------------
