"""A model that has fallen silent in service, on a real broker: the former returns, whatever is killed, and once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flowlib import artifact
from schemas.incidents import Incident
from schemas.intake import take_in
from schemas.records import ModelNotice, ServiceChange, record_id
from stream_app.disk import read_lines
from stream_app.kafka.clients import client_settings
from stream_app.kafka.signals import read_signals
from stream_app.kafka.topics import prepare
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.offline.reading import Reading
from stream_app.stages.decisions import DECODER, Activated, Service
from stream_app.trainer.data.rows import gather
from stream_app.trainer.publishing import make_producer, publish
from stream_app.worker.deciding import Decider
from tests.brokers import EMBEDDED
from tests.forked import driftflow
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream, as_lines
from tests.integration.test_same_everywhere import score_locally

GOOD, SWAP_S = 1_300, 30.0
"""Events under the model that returns, and how long that may take."""


def dies_between_decision_and_message() -> None:
    """What is in service is written down, and nobody was told."""
    real = Decider.serve

    def call(decider: Decider, changes: Sequence[ServiceChange]) -> None:
        real(decider, changes)
        if changes:
            os.kill(os.getpid(), signal.SIGKILL)

    Decider.serve = call  # type: ignore[method-assign]


def silent(stream: Stream, example: Path) -> ModelNotice:
    """The newest model, calibrated on rows of which nothing fits: whatever comes is ordinary beside them."""
    registry = Registry(stream.config)
    newest = registry.notices()[-1]
    density, rows = registry.load(newest.model_id), gather(list(Reading(stream.config, example).events()), 0, 2**50)
    table = rows.table.take(np.arange(6_000))
    numeric = table.numeric + 20.0 * np.nanstd(table.numeric, axis=0)
    odd = density.recalibrated(replace(table, numeric=numeric), 1)
    model = artifact.pack(odd.with_reference(table, int(stream.config.windows.pane)), signing_key(stream.config))
    registry.save(model)
    number = newest.sequence + 1
    return ModelNotice(
        model_id=model.model_id,
        stream="air",
        status="promoted",
        parent_id=newest.model_id,
        request_id=record_id("test", number),
        created_ms=newest.created_ms,
        train_rows=6_000,
        gates={},
        reason="",
        sequence=number,
        manifest=model.manifest,
        tensors=model.tensors,
        signature=model.signature,
        key_id=newest.key_id,
    )


def told(stream: Stream) -> list[object]:
    taken = [take_in("signals", "air", message.value, message.headers) for message in read_signals(stream.config)]
    return [of for of in taken if isinstance(of, ServiceChange | Incident)]


def decided(stream: Stream) -> list[Service]:
    path = stream.folder / "state" / "decisions.jsonl"
    return [of for of in (read_lines(path, DECODER, "") if path.exists() else []) if isinstance(of, Service)]


@EMBEDDED
def test_a_silent_model_is_taken_out_of_service_though_the_worker_dies_before_it_can_say_so(
    make_stream: MakeStream, example: Path
) -> None:
    stream = make_stream()
    notice = silent(stream, example)
    former, rows = notice.parent_id, stream.rows(example)
    stream.publish()
    stream.produce(rows[:GOOD])
    words = ("worker", "-c", str(stream.toml))
    dying = driftflow(*words, log=stream.folder / "worker.log", before=dies_between_decision_and_message)
    stream.workers.append(dying)
    stream.wait_until_done()
    producer = make_producer(client_settings(stream.config.kafka))
    publish(producer, prepare(stream.config), notice)
    producer.flush()
    producer.close()
    stream.wait(lambda: stream.status().get("service") == notice.model_id, "the silent model")
    stream.workers.clear()
    stream.produce(rows[GOOD:6_000])
    assert dying.wait(60) == -signal.SIGKILL, stream.log()
    (decision,) = decided(stream)
    assert (decision.verb, decision.model_id, decision.returns_to) == ("rollback", notice.model_id, former)
    assert not [of for of in told(stream) if isinstance(of, ServiceChange)], "it had no time to say so"
    stream.forget_status()
    stream.start_worker()
    began_s = time.monotonic()
    stream.wait(lambda: stream.status().get("service") == former, "the former model")
    stream.produce(rows[6_000:7_000])
    stream.wait(lambda: any(isinstance(of, ServiceChange) for of in told(stream)), "the message")
    assert time.monotonic() - began_s < SWAP_S
    stream.wait_until_done()
    stream.stop()
    found = told(stream)
    (change,) = [of for of in found if isinstance(of, ServiceChange)]
    assert (change.id, change.by, change.figures["found"]) == (decision.id, "driftflow", "silent")
    assert len([of for of in found if isinstance(of, Incident) and of.rules == ["model"] and of.state == "open"]) == 1
    assert decided(stream) == [decision]
    scored = [of for of in read_lines(stream.decisions(), DECODER, "") if isinstance(of, Activated)]
    for partition in range(4):
        by = [of.model_id for of in scored if of.partition == partition]
        assert by == [former, notice.model_id, former], f"partition {partition}"
    cut = stream.folder / "cut.csv"
    cut.write_text("".join(example.read_text().splitlines(keepends=True)[:7_001]))
    assert as_lines(stream.signals()) == score_locally(stream, cut), "a replay with its decisions says the same"
