"""A bad model in service: how soon the former is back, by itself and by one command.

Worker and trainer as processes of their own on Apache Kafka. The trainer makes a first and a second model; a third one,
signed by its key, is the second with a calibration under which nothing is strange: it never alarms, and no gate has
seen it. ``rollback_s`` is the longer of both:

- ``by_itself_s``: from when the third is in service, and events come, to when the second is;
- ``by_command_s``: from the start of ``driftflow models rollback`` to when the first is in service.

``one_truth``: worker and registry name the same model afterwards.
"""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from schemas.records import ServiceChange
from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import prepare
from stream_app.models.registry import Registry
from stream_app.trainer.publishing import make_producer, publish
from tests.bench.loop.live import notices, running, trainer_of
from tests.integration.stream import Stream
from tests.integration.test_models import retrain_request
from tests.integration.test_rollback import silent, told
from tests.integration.test_trainer import Asking

END, FIRST_UNTIL, SECOND_UNTIL = "2013-04-16", "2013-03-25", "2013-04-01"
MUST_S, PATIENCE_S = 30.0, 180.0
_SETTINGS = 'promotion = "auto"\nanchor_budget = 0.99\nanchor_nats = 100.0\nmin_gain_nats = -0.45'


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    with running(END, _SETTINGS) as (stream, example):
        stream.command("keys", "new", "operator")
        rows = stream.rows(example)
        stream.produce(rows[:12_000])
        with trainer_of(stream, "--bootstrap-until", FIRST_UNTIL):
            stream.wait(lambda: bool(notices(stream) and Registry(stream.config).history()), "a model", PATIENCE_S)
            first = Registry(stream.config).in_service()
            _ask(stream, first)
            stream.wait(lambda: len(Registry(stream.config).history()) == 2, "the second model", PATIENCE_S)
            second = Registry(stream.config).in_service()
        stream.start_worker()  # the trainer is away: no other notice takes the number of the bad one
        _serves(stream, second)
        bad = silent(stream, example)
        producer = make_producer(client_settings(stream.config.kafka))
        publish(producer, prepare(stream.config), bad)
        producer.flush()
        producer.close()
        _serves(stream, bad.model_id)
        began_s = time.monotonic()
        stream.produce(rows[12_000:])
        _serves(stream, second)
        alone_s = time.monotonic() - began_s
        began_s = time.monotonic()
        stream.command("models", "rollback", "--by", "ann", "--why", "measured")
        _serves(stream, first)
        command_s = time.monotonic() - began_s
        with trainer_of(stream):
            stream.wait(lambda: Registry(stream.config).in_service() == first, "the registry", PATIENCE_S)
        truth = stream.status().get("service") == Registry(stream.config).in_service()
        stream.stop()
        changes = [of for of in told(stream) if isinstance(of, ServiceChange)]
    return {
        "rollback_s": round(max(alone_s, command_s), 1),
        "rollback": {
            "by_itself_s": round(alone_s, 1),
            "by_command_s": round(command_s, 1),
            "one_truth": truth,
            "changes": [{"by": of.by, "why": of.why} for of in changes],
        },
    }


def _ask(stream: Stream, first: str) -> None:
    asking = Asking(stream)
    asking.ask(retrain_request(stream, first, SECOND_UNTIL), 1)
    asking.close()


def _serves(stream: Stream, model_id: str) -> None:
    stream.wait(lambda: stream.status().get("service") == model_id, f"model {model_id}", PATIENCE_S)


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    rows = [(name, value, "") for name, value in found["rollback"].items() if name != "changes"]
    return [("what", "is", "must be"), ("rollback_s", found["rollback_s"], f"≤ {MUST_S:g}"), *rows]
