"""With the same decisions: file or broker, once or twice, killed or not, the same signals, byte for byte."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from schemas.codecs import TYPES
from stream_app.kafka.embedded import EmbeddedBroker
from tests.brokers import APACHE, EMBEDDED
from tests.integration.conftest import MakeStream
from tests.integration.stream import Lines, Stream, as_lines, lines_of


def score_locally(stream: Stream, example: Path, store: bool = False) -> Lines:
    """The same file with the stream's decisions, without a broker."""
    out = stream.folder / "local.jsonl"
    words = ["--decisions", str(stream.decisions()), "--signals", str(out)]
    stream.command("replay", str(example), *words, *(["--store"] if store else []))
    return lines_of(out)


def run_live(stream: Stream, example: Path, last: int = 0) -> None:
    """Half the events under the first model, the rest but the ``last`` under the second: decisions are made as they
    come.
    """
    rows = stream.rows(example)
    registry = stream.folder / "models" / "air.notices.jsonl"
    notices = registry.read_text()
    registry.write_text(notices.splitlines()[0] + "\n")
    stream.publish()
    stream.produce(rows[: len(rows) // 2])
    stream.start_worker()
    stream.wait_until_done()
    registry.write_text(notices)
    stream.publish()
    second = json.loads(notices.splitlines()[1])["model_id"]
    stream.wait(lambda: stream.status().get("service") == second, "the second model")
    stream.produce(rows[len(rows) // 2 : len(rows) - last])


@EMBEDDED
def test_broker_and_file_agree(make_stream: MakeStream, example: Path) -> None:
    """A person accepts the heat, which asks for a model."""
    stream = make_stream()
    stream.command("keys", "new", "operator")
    run_live(stream, example, last=500)
    stream.wait_until_done()
    heat = [
        line["data"] for lines in as_lines(stream.signals()).values() for line in lines if "incident" in line["ce_type"]
    ]
    drift = [one for one in heat if one["kind"] == "drift" and one["state"] in ("open", "update")]
    stream.command("accept", drift[-1]["id"], "--by", "ann")
    stream.wait(lambda: b'"accept"' in stream.decisions().read_bytes(), "the decision")
    stream.produce(stream.rows(example)[-500:])
    stream.wait_until_done()
    stream.stop()
    live, local = as_lines(stream.signals()), score_locally(stream, example)
    assert live == local
    kinds = {line["ce_type"] for lines in live.values() for line in lines}
    wanted = {
        "driftflow.incident.v1",
        "driftflow.activation.v1",
        "driftflow.event-anomaly.v1",
        "driftflow.retrain-request.v1",
    }
    assert kinds == wanted <= set(TYPES)
    swapped = {line["data"]["model_id"] for lines in live.values() for line in lines if "activation" in line["ce_type"]}
    assert len(swapped) == 2


@APACHE
@pytest.mark.timeout(400)
def test_killed_workers_lose_nothing(make_stream: MakeStream, example: Path, seed: int) -> None:
    chance = random.Random(seed)
    stream = make_stream()
    stream.publish()
    rows = stream.rows(example)
    for part in range(3):
        stream.produce(rows[part * len(rows) // 3 : (part + 1) * len(rows) // 3])
        stream.forget_status()
        stream.start_worker()
        goal = stream.sent - chance.randrange(0, len(rows) // 3)
        stream.wait(lambda goal=goal: stream.received() >= goal, "some events")
        time.sleep(chance.random() * 0.4)
        stream.kill()
    stream.forget_status()
    stream.start_worker()
    stream.wait_until_done()
    stream.stop()
    status = stream.status()
    assert status["received"] == status["windowed"] == len(rows)
    stored = stream.points()
    (stream.folder / "driftflow.sqlite").unlink()
    told = stream.told()
    assert len(told) == len(set(told)), f"seed {seed}"
    assert as_lines(stream.signals()) == score_locally(stream, example, store=True), f"seed {seed}"
    assert stored == stream.points(), f"seed {seed}"


@pytest.mark.timeout(240)
def test_twice_is_byte_identical(tmp_path: Path, models: Path, example: Path) -> None:
    """Two fresh brokers, the same topic names, the second run given the first one's decisions."""
    seen = []
    for number in range(2):
        with EmbeddedBroker() as broker:
            stream = Stream(tmp_path / str(number), broker.bootstrap, "twice")
            stream.adopt(models)
            try:
                if number == 0:
                    run_live(stream, example)
                    decisions = stream.decisions()
                else:
                    stream.publish()
                    stream.produce(stream.rows(example))
                    stream.start_worker("--decisions", str(decisions))
                stream.wait_until_done()
                stream.stop()
                seen.append(stream.signals())
            finally:
                stream.kill()
    assert seen[0] == seen[1]
    assert sum(map(len, seen[0].values())) > 50


@APACHE
@pytest.mark.timeout(400)
def test_workers_share_the_work_and_say_the_same(make_stream: MakeStream, example: Path) -> None:
    """One joins, the first is killed, a third takes over: nothing is lost and the signals are those of the file."""
    stream = make_stream()
    stream.publish()
    rows = stream.rows(example)
    third = len(rows) // 3
    first = stream.start_worker()
    stream.produce(rows[:third])
    stream.wait(lambda: stream.received() >= third // 2, "the first worker")
    stream.start_worker()
    stream.wait(lambda: stream.owners() == 2, "two workers to share the partitions")
    stream.produce(rows[third : 2 * third])
    stream.wait(lambda: stream.received() > third, "two workers")
    first.kill()
    first.wait()
    stream.workers.remove(first)
    stream.start_worker()
    # The killed one has left its status behind. A signal that comes before a worker listens to signals just ends it.
    stream.wait(lambda: stream.owners() == 3, "the third worker to take over")
    stream.produce(rows[2 * third :])
    stream.wait_until_done()
    stream.stop()
    assert stream.status()["received"] == stream.status()["windowed"] == len(rows)
    assert as_lines(stream.signals()) == score_locally(stream, example)
