"""What the trainer does with a request: answer it once, and write things down in the order that a crash allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib.table import DAY_MS
from schemas.codecs import decode_event
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.history import Entry
from stream_app.models.registry import Registry
from stream_app.monitor.metrics import REQUESTS
from stream_app.trainer.trainer import Trainer
from tests.trainer.asking import LATER, WRITER, ask, asked, batches, seen
from tests.trainer.conftest import Topics, refusing


def test_a_promoted_model_is_saved_published_told_and_only_then_promoted(
    config: Config, topics: Topics, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("save", "record", "change"):
        done = getattr(Registry, name)
        monkeypatch.setattr(Registry, name, lambda *a, name=name, done=done: (steps.append(name), done(*a))[1])
    send = topics.producer.send
    monkeypatch.setattr(topics.producer, "send", lambda topic, **rest: (steps.append(topic), send(topic, **rest))[1])
    notice = start().handle(asked(ask()))
    assert (notice.status, notice.sequence) == ("promoted", 1), notice.reason
    assert steps == ["save", "record", "s.models", "s.signals", "change"]
    whole, brief = (decode_event(sent.value, sent.headers) for sent in topics.producer.sent)
    assert isinstance(whole, ModelNotice)
    assert whole.tensors
    assert brief == notice
    assert notice.tensors == b""
    current = Registry(config).current()
    assert current is not None
    assert current.model_id == notice.model_id


def test_a_request_that_arrives_twenty_times_is_trained_and_answered_once(topics: Topics, start: Any) -> None:
    trainings: list[int] = []
    topics.read = lambda *_: (trainings.append(1), batches())[1]
    trainer = start()
    answers = {trainer.handle(asked(ask())).model_id for _ in range(10)}
    trainer = start()
    answers |= {trainer.handle(asked(ask())).model_id for _ in range(10)}
    assert (len(answers), len(trainings), len(topics.told())) == (1, 1, 1)


def test_a_refused_request_is_told_once_too(config: Config, topics: Topics, start: Any, said: list[str]) -> None:
    trainer = start(min_rows=10_000)
    reasons = {refusing(trainer, ask()) for _ in range(20)}
    assert len(reasons) == 1
    assert "too few rows" in reasons.pop()
    assert len(topics.told()) == 1
    assert Registry(config).history() == []
    assert sum("too few rows" in line for line in said) == 1


def test_what_an_earlier_model_covers_is_told_on_the_signals_topic_alone(
    config: Config, topics: Topics, start: Any, said: list[str]
) -> None:
    trainer = start()
    first = trainer.handle(asked(ask(0)))
    covered = trainer.handle(asked(ask(1), "/driftflow/s/operator"))
    assert (covered.status, covered.parent_id, covered.sequence) == ("covered", first.model_id, 2)
    assert covered.reason == f"covered by {first.model_id} (request request-0)"
    assert [notice.model_id for notice in topics.told()] == [first.model_id, covered.model_id]
    assert [sent.topic for sent in topics.producer.sent].count("s.models") == 1
    assert said[-1] == f"request request- needs no new model: {covered.reason}"
    assert len(Registry(config).history()) == 1
    assert trainer.meter.counts(REQUESTS) == {("promoted",): 1, ("covered",): 1}
    assert trainer.meter.histograms()["driftflow_step_seconds"]["training",].counts.count(1) == 1


def test_only_what_was_promoted_counts_against_the_budget(config: Config, topics: Topics, start: Any) -> None:
    trainer, newest_ms = start(), 100 * DAY_MS
    topics.seen = seen(newest_ms)
    registry = Registry(config)
    for number in range(2):
        registry.change(Entry(f"m{number}", f"r{number}", newest_ms - number))
    spent = "the budget of 2 models a day is spent (trainer.budget_per_day)"
    assert refusing(trainer, ask(1, newest_ms + DAY_MS - 1, model_id="m1")) == spent
    assert topics.told()[-1].created_ms == newest_ms, "dated by what was seen, whatever the request says"


def test_a_request_from_the_future_spends_nothing(config: Config, topics: Topics, start: Any) -> None:
    trainer, newest_ms = start(), 60 * DAY_MS
    topics.seen = seen(newest_ms)
    for number in range(24):
        assert "it is dated" in refusing(trainer, ask(number, 2**47 + number))
    assert {notice.created_ms for notice in topics.told()} == {newest_ms}
    promoted = trainer.handle(asked(ask(99, newest_ms + 1_000)))
    assert promoted.status == "promoted", "nor does it move its writer's sequence"
    assert Registry(config).history()[-1].promoted_ms == newest_ms


def test_a_stale_request_is_refused(topics: Topics, start: Any) -> None:
    trainer = start(min_rows=10_000)
    refusing(trainer, ask(1, 50 * DAY_MS))
    for number, day in [(2, 50), (3, 49)]:
        reason = refusing(start(), ask(number, day * DAY_MS))
        assert (
            reason == f"it is stale: dated 1970-02-{day - 30} 00:00, and {WRITER} has asked at 1970-02-20 00:00 already"
        )
    other = trainer.handle(asked(ask(4, 49 * DAY_MS), "/driftflow/s/operator"))
    assert "too few rows" in other.reason, "each writer has a sequence of its own"


def test_what_is_wrong_is_said_before_a_row_is_read(topics: Topics, start: Any) -> None:
    topics.read = lambda *_: pytest.fail("nothing is to be read")
    trainer = start()
    assert "it names no more" not in refusing(trainer, ask(1, train=[]))
    topics.seen = seen(end=7)
    assert refusing(trainer, ask(2)) == "range e/0 from 0 to 1,440: the log ends at offset 7"
    topics.seen = seen(newest_ms=None)
    assert "no event can be read" in refusing(trainer, ask(3))


def test_what_retention_has_deleted_in_part_is_in_the_reason(topics: Topics, start: Any) -> None:
    topics.seen = seen(first=100)
    notice = start().handle(asked(ask()))
    assert notice.status == "promoted"
    assert notice.reason.endswith(
        "; 100 of the 1,440 offsets asked for were deleted by retention before they were read"
    )


# Bootstraps ----------------------------------------------------------------------------------------------------------


def test_a_bootstrap_is_the_way_out_where_the_model_in_service_fits_no_more(
    config: Config, topics: Topics, start: Any, said: list[str]
) -> None:
    """Its columns were others: a request from the stream says so, and what was asked for by hand starts anew."""
    first = start().handle(asked(ask()))
    assert first.status == "promoted", first.reason
    renamed = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, numeric=["x", "z"]))
    trainer = Trainer(renamed, {}, said.append)
    with pytest.raises(ModelError, match="is not accepted"):
        trainer.handle(asked(ask(1, LATER)))
    soon = ask(1, reason="bootstrap")
    assert soon.requested_pane_ms < LATER, "the model that fits no more would cover it"
    notice = trainer.bootstrap(soon)
    assert notice is not None
    assert (notice.status, notice.parent_id) == ("promoted", ""), notice.reason
    assert any("is not compared with" in line for line in said)


def test_a_bootstrap_that_was_refused_can_be_asked_again(topics: Topics, start: Any) -> None:
    made = ask(reason="bootstrap")
    assert start(min_rows=10_000).bootstrap(made).status == "refused"
    promoted = start().bootstrap(made)
    assert promoted.status == "promoted"
    assert start().bootstrap(made) == promoted, "once there is a model it is the answer"
    assert len(topics.told()) == 2


def test_a_bootstrap_whose_model_was_lost_is_asked_anew(topics: Topics, start: Any, tmp_path: Path) -> None:
    """Its answer is on the topics, and the command that is to make a model again is the same one."""
    made = ask(reason="bootstrap")
    assert start().bootstrap(made).sequence == 1
    for file in (tmp_path / "models").glob("*"):
        file.unlink()
    again = start().bootstrap(made)
    assert again is not None
    assert again.status == "promoted", again.reason
    assert again.request_id != made.id
    assert start().bootstrap(made) == again
    assert [notice.request_id for notice in topics.told()] == [made.id, again.request_id]
