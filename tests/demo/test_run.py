"""The traffic stands at marks of event time, and goes on when all that it has brought about is done."""

from __future__ import annotations

import io
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from rich.console import Console

from stream_app.config import load
from stream_app.demo.children import TrainerLine
from stream_app.demo.progress import Season
from stream_app.demo.run import Demo
from stream_app.errors import DriftflowError
from tests.people import incident, strange

OPTIONS = {"stream": "air", "bootstrap": "127.0.0.1:1", "report": None, "seconds": 10.0, "console_port": 0}
SEASON = Season(start_ms=0, live_ms=100, end_ms=150, step_ms=20)


class Trainer:
    """Replies to each word at once, or not at all."""

    def __init__(self) -> None:
        self.asked, self.silent = 0, False

    def ask(self) -> None:
        self.asked += 1

    def replied(self) -> bool:
        return not self.silent


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    monkeypatch.setattr(Demo, "_prepare_broker", lambda _, config: config)
    return Demo(OPTIONS | {"folder": str(tmp_path)}, ExitStack(), SEASON)


def line(trainer: Trainer) -> TrainerLine:
    return cast(TrainerLine, trainer)


def test_marks_are_multiples_of_the_step_after_the_history() -> None:
    assert [SEASON.next_mark(ms) for ms in (100, 119, 120, 121, 139, 140)] == [120, 120, 140, 140, 140, 160]
    assert Season().next_mark(Season().live_ms) == Season().live_ms + 10 * 86_400_000


def test_nothing_of_the_configuration_is_decided_by_the_clock(demo: Demo, tmp_path: Path) -> None:
    config = load(tmp_path / "driftflow.toml")
    assert config.windows.idle_after > 86_400_000
    assert config.model.engine != "auto"
    assert (config.stream, config.topics.events, config.kafka.group) == ("air", "air.events", "air")
    assert demo.config == config


def test_an_earlier_run_is_not_taken_up(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(DriftflowError, match="holds an earlier run"):
        Demo(OPTIONS | {"folder": str(tmp_path)}, ExitStack())


def test_the_traffic_stands_at_each_mark(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    spans = []

    def produce(*_: Any, hold: Any, **span: Any) -> None:
        spans.append(span)
        for event_ms in (100, 100, 119, 120, 120, 145, 149):
            hold(event_ms)
            said.append(event_ms)

    monkeypatch.setattr("stream_app.demo.run.produce_file", produce)
    monkeypatch.setattr(demo, "_stand", lambda _: said.append(("stands", demo._produced)))
    demo._produce(100, 150, line(Trainer()))
    assert said == [100, 100, 119, ("stands", 3), 120, 120, ("stands", 5), 145, 149]
    assert demo._produced == 7
    assert spans == [{"speedup": pytest.approx(0.05 / 10.0), "start_ms": 100, "end_ms": 150}]


def test_the_history_is_sent_in_one_go(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    def produce(*_: Any, hold: Any, speedup: float | None, **span: Any) -> None:
        assert speedup is None
        for event_ms in range(0, 100, 10):
            hold(event_ms)

    monkeypatch.setattr("stream_app.demo.run.produce_file", produce)
    demo._produce(0, 100, None)
    assert demo._produced == 10


def test_at_a_mark_events_come_before_answers_and_answers_before_service(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, facts, waits = Trainer(), demo._facts, []
    trainer.silent, demo._produced, in_service = True, 5, False
    monkeypatch.setattr(demo, "_newest_model_is_in_service", lambda: in_service)
    thread = threading.Thread(target=demo._stand, args=(trainer,), daemon=True)

    def waits_for(words: str) -> None:
        for _ in range(1_000):
            if words in demo._waiting.what and thread.is_alive():
                waits.append(words)
                return
            thread.join(0.01)
        pytest.fail(f"it waits for {demo._waiting.what!r}, not for {words!r}")

    thread.start()
    waits_for("every event")
    assert trainer.asked == 0, "not before every event has been taken in: the set of requests is not known yet"
    facts.settled = 5
    waits_for("the trainer")
    assert trainer.asked == 1
    trainer.silent = False
    waits_for("in service")
    in_service = True
    thread.join(10)
    assert not thread.is_alive()
    assert demo._waiting.what == ""
    demo._stand(line(trainer))
    assert trainer.asked == 2, "a candidate may have new events to be compared on, whether or not anything was asked"


def test_a_drift_that_has_lasted_is_accepted_once(demo: Demo) -> None:
    facts, sent, day_ms = demo._facts, list[Any](), 86_400_000
    old, young = (incident(name, opened_pane_ms=ms) for name, ms in (("a", 0), ("b", 31 * day_ms)))
    facts.messages, facts.event_time_ms = [old, young], 40 * day_ms

    def send(answer: Any) -> None:
        sent.append((answer.verb, answer.incident_id))
        facts.messages.append(msgspec.structs.replace(old, number=2, state="accepted"))

    demo._desk = cast(Any, SimpleNamespace(send=send))
    demo._accept()
    demo._accept()
    assert sent == [("accept", "a")]


def test_a_model_counts_once_it_is_in_service_everywhere_and_in_the_store(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [SimpleNamespace(model_id=name, status="promoted") for name in ("m0", "m1")]
    notices = [*history, SimpleNamespace(model_id="refused-1", status="refused")]
    registry = SimpleNamespace(in_service=lambda: "m1", notices=lambda: notices)
    monkeypatch.setattr("stream_app.demo.run.Registry", lambda _: registry)
    left = {"m0": [0, 1, 2, 3], "m1": [2]}
    monkeypatch.setattr(type(demo._facts), "out_of_service", lambda _, model_id: left[model_id])
    demo._facts.models = [{"model_id": name, "status": "promoted"} for name in ("m0", "m1")]
    assert not demo._newest_model_is_in_service()
    left["m1"] = []
    assert not demo._newest_model_is_in_service(), "the store does not show the one that was refused"
    demo._facts.models.append({"model_id": "refused-1", "status": "waiting"})
    assert not demo._newest_model_is_in_service(), "it shows what had become of it before"
    demo._facts.models[-1]["status"] = "refused"
    assert demo._newest_model_is_in_service()


def test_the_page_takes_answers(demo: Demo, tmp_path: Path) -> None:
    with demo._stack:
        demo._start_console()
        assert demo.console_url.startswith("http://127.0.0.1:")
        assert (tmp_path / "keys" / "operator.pem").exists()
        assert (tmp_path / "keys" / "operator.pub").exists()


def test_it_ends_with_what_a_person_wants_to_know(demo: Demo) -> None:
    facts, text = demo._facts, io.StringIO()
    facts.messages = [incident("a"), incident("b"), incident("b", number=2, state="resolve", reason="ended")]
    facts.strange, facts.event_time_ms = [strange()], 14 * 86_400_000
    demo.tell(Console(file=text, width=200))
    lines = text.getvalue().splitlines()
    assert [line for line in lines if line.endswith(":")] == [
        "One incident is open:",
        "One incident is over:",
        "3 single strange events, in 1 message:",
    ]
    assert lines[-1] == (
        "People got 4 messages in 14 days, 2.00 a week: 2 opened, 1 ended, 1 of single strange events."
    )


def test_a_step_that_fails_ends_the_run(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DriftflowError("the broker refused an event")

    monkeypatch.setattr(demo, "_start_console", lambda: None)
    monkeypatch.setattr(demo, "_steps", fail)
    with pytest.raises(DriftflowError, match="refused an event"):
        demo.run()
