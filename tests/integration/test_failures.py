"""Whatever fails or hangs in a worker: it goes on, or the process ends in time with one sentence. Real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.intake import take_in
from schemas.records import Health
from stream_app.kafka.embedded import EmbeddedBroker
from stream_app.kafka.signals import read_signals
from tests.brokers import EMBEDDED
from tests.forked import Forked
from tests.integration.conftest import MakeStream
from tests.integration.faulty import HANG_S, run
from tests.integration.stream import Stream

SLACK_S = 2.0
"""For a machine that is busy."""


@pytest.fixture
def stream(make_stream: MakeStream, example: Path) -> Stream:
    """A stream with a model and some events."""
    made = make_stream()
    made.publish()
    made.produce(made.rows(example)[:600])
    return made


def start(stream: Stream, fault: str) -> Forked:
    """A worker with that fault; its log is in the stream's folder."""
    worker = Forked(run, fault, str(stream.toml), log=stream.folder / "worker.log")
    stream.workers.append(worker)
    return worker


def last_sentence(stream: Stream) -> str:
    """The line that the worker ended with; no traceback stands before it."""
    log = stream.log()
    assert "Traceback" not in log, log
    sentences = [line for line in log.splitlines() if line.startswith("driftflow: ")]
    assert len(sentences) == 1, log
    assert log.splitlines()[-1] == sentences[0]
    return sentences[0]


def score_done(stream: Stream) -> None:
    """Wait until the worker scores."""
    stream.wait(lambda: stream.received() > 0, "the first scores")


ENDS = {
    "score fails": r"score failed: LookupError: injected at .*steps.py",
    "watch fails": r"watch failed: LookupError: injected",
    "judge fails": r"judge failed: LookupError: injected",
    "actions feed fails": r"actions feed failed: LookupError: injected",
    "checkpoint fails": r"checkpoint failed: LookupError: injected",
    "spool fails": r"checkpoint failed: spool.sqlite is full",
    "decider fails": r"checkpoint failed: LookupError: injected",
    "assigning fails": r"Kafka failed: LookupError: injected",
    "models feed fails": r"models feed failed: LookupError: injected",
    "status fails": r"status failed: LookupError: injected",
    "watchdog fails": r"progress failed: LookupError: injected",
    "drainer is dead": r"progress failed: the thread that empties the spool is dead",
    "consumer thread fails": r"Kafka failed: LookupError: injected",
    "a callback fails": r"a callback failed: LookupError: injected",
    "a callback in the consumer thread fails": r"a callback failed: LookupError: injected",
    "a thread fails": r"the thread a helper ended: LookupError: injected",
    "event loop hangs": r"event loop hangs: it has not come round for 3 s \(the main thread is at .*agents.py",
    "checkpoint hangs": r"checkpoint hangs: it has not come round for 3 s",
    "models feed hangs": r"models feed hangs: it has not come round for 3 s",
    "sending hangs": r"checkpoint hangs: it has not come round for 3 s",
    "consumer thread hangs": r"Kafka hangs: it has not come round for 3 s",
}


IN_EACH_RUN = (
    "score fails",
    "assigning fails",
    "drainer is dead",
    "a callback fails",
    "a thread fails",
    "sending hangs",
)
"""The others take minutes: `make bench-hostile` has their kinds too."""


@EMBEDDED
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=() if fault in IN_EACH_RUN else pytest.mark.slow) for fault in ENDS]
)
def test_a_failure_ends_the_process_with_one_sentence(stream: Stream, fault: str) -> None:
    worker = start(stream, fault)
    assert worker.wait(60) == 1, stream.log()
    ended_s = time.time()
    assert re.match(f"driftflow: {ENDS[fault]}", last_sentence(stream))
    if fault != "drainer is dead":  # from the start on
        took_s = ended_s - float(stream.toml.with_name(f"{stream.toml.name}.fault").read_text())
        print(f"ended {took_s:.2f} s after the fault")
        assert took_s < 5.0 + HANG_S * ("hangs" in fault) + SLACK_S
    if fault == "score fails":  # the broker is there, and takes in why
        told = [take_in("signals", "air", signal.value, signal.headers) for signal in read_signals(stream.config)]
        (last,) = [record for record in told if isinstance(record, Health)]
        assert (last.part, last.state) == ("worker", "failing")
        assert re.match(ENDS[fault], last.says)


@EMBEDDED
@pytest.mark.parametrize(
    "fault", ["status cannot be written", pytest.param("models feed loses the broker", marks=pytest.mark.slow)]
)  # tests/hostile/test_faults.py has the other one
def test_what_is_tried_again_ends_nothing(stream: Stream, fault: str) -> None:
    worker = start(stream, fault)
    score_done(stream)
    stream.wait(lambda: not stream.status()["failing"], "all to be well")
    assert "it is tried again, and the rest goes on" in stream.log()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(8 + SLACK_S) == 0, stream.log()


def stopped(stream: Stream, worker: Forked, within_s: float = 8.0) -> float:
    """Send SIGTERM; seconds until the end, which come within the time that is set."""
    began_s = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(within_s + SLACK_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it has not ended: {stream.log()}")
    took_s = time.monotonic() - began_s
    print(f"ended {took_s:.2f} s after the signal")
    return took_s


def test_sigterm_ends_a_worker_in_order(make_stream: MakeStream, example: Path) -> None:
    stream = make_stream()
    stream.publish()
    stream.produce(stream.rows(example)[:600])
    worker = start(stream, "none")
    stream.wait(lambda: stream.received() == 600, "all scores")
    stopped(stream, worker)
    assert worker.returncode == 0, stream.log()
    assert "Traceback" not in stream.log()
    assert stream.uncommitted(stream.config.topics.events) == 0, "the last checkpoint was committed"


@EMBEDDED
def test_a_start_that_hangs_does_not_hold_up_the_end(stream: Stream) -> None:
    worker = start(stream, "start hangs")
    stream.wait(lambda: "Starting..." in stream.log(), "the start")
    stopped(stream, worker)
    assert worker.returncode == 1
    assert last_sentence(stream).startswith("driftflow: the last checkpoint and Kafka's client did not end within 8 s")


@EMBEDDED
def test_a_sink_that_hangs_holds_nothing_up_and_its_points_stay(stream: Stream) -> None:
    worker = start(stream, "sink hangs")
    score_done(stream)
    stream.wait(lambda: stream.status()["spooled"] > 0, "points to wait")
    stopped(stream, worker)
    assert worker.returncode == 0, stream.log()
    assert re.search(r"\d+ points wait in .*spool.sqlite for the next start", stream.log())


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A broker that the test may freeze: it then takes connections and never answers."""
    broker = EmbeddedBroker().start()
    yield broker
    assert broker.pid
    os.kill(broker.pid, signal.SIGCONT)
    broker.stop()


@pytest.fixture
def frozen_later(own_broker: EmbeddedBroker, tmp_path: Path, models: Path, example: Path) -> Iterator[Stream]:
    """A stream with a model and some events on that broker."""
    stream = Stream(tmp_path / "air", own_broker.bootstrap, "air")
    stream.adopt(models)
    stream.publish()
    stream.produce(stream.rows(example)[:600])
    yield stream
    stream.kill()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_broker_that_is_away_does_not_hold_up_the_end(
    own_broker: EmbeddedBroker, frozen_later: Stream, number: signal.Signals
) -> None:
    stream, worker = frozen_later, start(frozen_later, "none")
    score_done(stream)
    assert own_broker.pid
    os.kill(own_broker.pid, number)
    time.sleep(1.0)
    stopped(stream, worker)
    assert worker.returncode in (0, 1), stream.log()
    if worker.returncode:
        assert "did not end within 8 s of the signal to stop" in last_sentence(stream)


def test_a_broker_that_never_answers_ends_commands_with_a_sentence(
    own_broker: EmbeddedBroker, frozen_later: Stream
) -> None:
    assert own_broker.pid
    os.kill(own_broker.pid, signal.SIGSTOP)
    call, toml = [sys.executable, "-m", "stream_app.cli"], ["-c", str(frozen_later.toml)]
    commands = ["worker", "worker --skip-preflight", "signals --no-follow", "models publish"]
    running = [  # all at once: they do nothing but wait
        subprocess.Popen([*call, *words.split(), *toml], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for words in commands
    ]
    frozen_later.workers.extend(running)  # type: ignore[arg-type]
    for words, process in zip(commands, running, strict=True):
        _, said = process.communicate(timeout=90.0)
        assert process.returncode == 1, f"{words}: {said}"
        assert "Traceback" not in said, words
        assert own_broker.bootstrap in said[said.index("driftflow: ") :], words


@EMBEDDED
@pytest.mark.parametrize(
    ("fault", "what"),
    [("a task is deaf", "the event loop"), ("sending hangs", "the last checkpoint and Kafka's client")],
)
def test_what_does_not_stop_is_named(stream: Stream, fault: str, what: str) -> None:
    worker = start(stream, fault)
    stream.wait(lambda: bool(stream.status().get("service")), "a model")
    if fault == "a task is deaf":  # it begins once the worker is ready
        stream.wait(lambda: fault in stream.log(), "it")
    else:
        stream.wait(lambda: stream.received() > 0, "an event of which something has to be sent")
    time.sleep(1.0)
    stopped(stream, worker)
    assert worker.returncode == 1
    assert last_sentence(stream).startswith(f"driftflow: {what} did not end within 8 s of the signal to stop")
