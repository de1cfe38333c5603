"""What fails while a request is answered, and what is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from flowlib.table import DAY_MS
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.models.registry import Registry
from stream_app.trainer import delivery, trying
from stream_app.trainer.stopping import Stopped
from tests.trainer.asking import ask, asked, batches
from tests.trainer.conftest import Topics, refusing
from tests.trainer.fakes import FakeProducer
from tests.trainer.test_answering import DAYS


def test_an_error_that_nobody_foresaw_refuses_a_request_at_its_second_try(topics: Topics, start: Any) -> None:
    trainings: list[int] = []

    def fail(*_: Any) -> Any:
        trainings.append(1)
        raise MemoryError("no room")

    topics.read = fail
    reason = refusing(start(), ask())
    assert reason.startswith("training was tried 2 times: MemoryError: no room at stream_app/trainer/trying.py:")
    assert len(trainings) == 2
    topics.read = lambda *_: batches()
    behind = ask(1, DAYS * DAY_MS + 1)
    assert start().handle(asked(behind)).status == "promoted"


def test_a_request_that_kills_the_process_is_refused_at_the_third_start(topics: Topics, start: Any) -> None:
    def die(*_: Any) -> Any:
        raise KeyboardInterrupt  # nothing in the trainer catches it: like a kill, it writes nothing down

    topics.read = die
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            start().handle(asked(ask()))
    reason = refusing(start(), ask())
    assert reason == "training was tried 2 times: the process ended before its end each time (for want of memory, say)"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ModelError("a key"), KafkaTimeoutError()])
def test_what_the_request_is_not_to_blame_for_is_no_try(
    topics: Topics, start: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start()
    monkeypatch.setattr(trying, "answer", lambda *_: (_ for _ in ()).throw(error))
    for _ in range(3):
        with pytest.raises((DriftflowError, KafkaTimeoutError)):
            trainer.handle(asked(ask()))
    assert topics.told() == []
    monkeypatch.undo()
    assert trainer._answering._answers.attempts("request-0") == 0


def test_a_broker_that_is_away_while_rows_are_read_is_waited_for(topics: Topics, start: Any, said: list[str]) -> None:
    errors = [KafkaTimeoutError("no answer")]

    def read(*_: Any) -> Any:
        if errors:
            raise errors.pop()
        return batches()

    topics.read = read
    assert start().handle(asked(ask())).status == "promoted"
    assert "reading the rows: KafkaTimeoutError: no answer; tried again in 0.001 s" in said


def test_a_training_that_is_told_to_stop_is_no_try_and_goes_on_later(
    topics: Topics, start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start().handle(asked(ask(0, DAYS * DAY_MS)))
    for file in (tmp_path / "models").glob("s.*"):
        file.unlink()
    topics.producer.sent.clear()
    trainer = start()
    check, looks = trainer._stopping.check, []

    def stop(*progress: Any) -> None:
        if progress:
            looks.append(progress)
        if len(looks) == 2:
            trainer.stop()
        check()

    monkeypatch.setattr(trainer._stopping, "check", stop)
    with pytest.raises(Stopped):
        trainer.handle(asked(ask(0)))
    assert (tmp_path / "state" / "s.checkpoint").exists()
    assert topics.told() == []
    later = start()
    assert later._answering._answers.attempts("request-0") == 0
    assert later.handle(asked(ask(0))).model_id == whole.model_id


def test_an_answer_without_an_acknowledgement_is_looked_for_before_it_is_sent_again(
    topics: Topics, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start(min_rows=10_000)
    losing = FakeProducer(KafkaTimeoutError("no acknowledgement"))
    losing.sent = topics.producer.sent  # what it sends arrives all the same
    trainer._delivery._producer = losing
    refusing(trainer, ask())
    assert len(topics.told()) == 1
    assert losing.closed


@pytest.mark.parametrize("crash", ["record", "publish", "tell", "change"])
def test_a_crash_on_the_way_to_the_topics_changes_nothing(
    topics: Topics, start: Any, config: Config, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    owner = Registry if crash in ("record", "change") else delivery
    done = getattr(owner, crash)
    with monkeypatch.context() as patch:

        def die(*given: Any) -> Any:
            done(*given)
            raise KeyboardInterrupt

        patch.setattr(owner, crash, die)
        with pytest.raises(KeyboardInterrupt):
            start().handle(asked(ask()))
    before = [(sent.topic, sent.value, sent.headers) for sent in topics.producer.sent]
    topics.read = lambda *_: pytest.fail("it is trained already")
    trainer = start()
    trainer._answering.finish_earlier()
    trainer.handle(asked(ask()))
    after = [(sent.topic, sent.value, sent.headers) for sent in topics.producer.sent]
    assert after[: len(before)] == before
    assert [topic for topic, *_ in after] == ["s.models", "s.signals"]
    assert len(Registry(config).history()) == 1
    assert start()._answering._answers.unsent() == []


def test_an_answer_that_was_written_down_is_sent_by_the_next_process(
    topics: Topics, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            start().handle(asked(ask()))
    assert topics.told() == []
    start()._answering.finish_earlier()
    assert [notice.request_id for notice in topics.told()] == ["request-0"]


def test_an_answer_on_the_topic_counts_where_the_registry_was_lost(
    topics: Topics, start: Any, said: list[str], tmp_path: Path
) -> None:
    start(min_rows=10_000).handle(asked(ask(0)))
    for file in (tmp_path / "models").glob("s.*"):
        file.unlink()
    trainer = start(min_rows=10_000)
    assert trainer.handle(asked(ask(0))) is None
    assert said[-1] == "request request- has been answered already"
    trainer.handle(asked(ask(1)))
    assert [notice.sequence for notice in topics.told()] == [1, 1], "numbers are read off the real topics only"
