"""What the trainer does with a request: answer it once, and write things down in the order that a crash allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka.errors import KafkaTimeoutError

from flowlib.table import DAY_MS
from schemas.codecs import decode_event
from schemas.records import DeadLetter, ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.models.keys import request_key
from stream_app.models.registry import Entry, Registry
from stream_app.trainer import answering, delivery, stopping, trying
from stream_app.trainer.delivery import Delivery
from stream_app.trainer.stopping import Stopped
from stream_app.trainer.trainer import Trainer
from tests.trainer.asking import WRITER, ask, asked, batches, message, record, seen, stream_in
from tests.trainer.fakes import FakeProducer
from tests.trainer.test_answering import DAYS

LATER = DAYS * DAY_MS + 28 * DAY_MS + 1
"""A pane after the cooldown of a model that was made for :func:`ask`."""


class Topics:
    """The broker, as far as the trainer sees it: what it sends stays, and is there when it looks again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.producer, self.seen = FakeProducer(), seen()
        self.read: Callable[..., Any] = lambda *_: batches()
        monkeypatch.setattr(delivery, "make_producer", lambda _: self.producer)
        monkeypatch.setattr(Delivery, "_read", self._read)
        monkeypatch.setattr(trying, "read_ranges", lambda *given: self.read(*given))
        monkeypatch.setattr(answering, "look", lambda *_: self.seen)
        monkeypatch.setattr(stopping, "FIRST_PAUSE_S", 0.001)

    def _read(self, kind: str, topic: str, _: int, take: Callable[[ModelNotice], None]) -> None:
        del kind
        for sent in self.producer.sent:
            if sent.topic == topic:
                take(decode_event(sent.value, sent.headers))  # type: ignore[arg-type]

    def told(self) -> list[ModelNotice]:
        """Answers on the signals topic, in order."""
        return [self._record(sent) for sent in self.producer.sent if sent.topic == "s.signals"]

    def letters(self) -> list[DeadLetter]:
        return [self._record(sent) for sent in self.producer.sent if sent.topic == "s.dead-letters"]

    def _record(self, sent: Any) -> Any:
        return decode_event(sent.value, sent.headers)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    topics = Topics(monkeypatch)
    # Delivery._read is a method: the fake takes the place of its function
    monkeypatch.setattr(Delivery, "_read", lambda _, *given: topics._read(*given))
    return topics


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return stream_in(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def start(config: Config, topics: Topics, said: list[str]) -> Callable[..., Trainer]:
    """A new process on the same files."""

    def start(**trainer: Any) -> Trainer:
        changed = msgspec.structs.replace(config.trainer, **trainer)
        return Trainer(msgspec.structs.replace(config, trainer=changed), {}, said.append)

    return start


def refusing(trainer: Trainer, made: RetrainRequest) -> str:
    """Why a request is refused."""
    notice = trainer.handle(asked(made))
    assert notice is not None
    assert notice.status == "refused", notice
    return notice.reason


# One request ---------------------------------------------------------------------------------------------------------


def test_a_promoted_model_is_saved_published_told_and_only_then_promoted(
    config: Config, topics: Topics, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("save", "record", "promote"):
        done = getattr(Registry, name)
        monkeypatch.setattr(Registry, name, lambda *a, name=name, done=done: (steps.append(name), done(*a))[1])
    send = topics.producer.send
    monkeypatch.setattr(topics.producer, "send", lambda topic, **rest: (steps.append(topic), send(topic, **rest))[1])
    notice = start().handle(asked(ask()))
    assert (notice.status, notice.sequence) == ("promoted", 1), notice.reason
    assert steps == ["save", "record", "s.models", "s.signals", "promote"]
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
    covered = trainer.handle(asked(ask(1), "/driftflow/s/watch/1"))
    assert (covered.status, covered.parent_id, covered.sequence) == ("covered", first.model_id, 2)
    assert covered.reason == f"covered by {first.model_id} (request request-0)"
    assert [notice.model_id for notice in topics.told()] == [first.model_id, covered.model_id]
    assert [sent.topic for sent in topics.producer.sent].count("s.models") == 1
    assert said[-1] == f"request request- needs no new model: {covered.reason}"
    assert len(Registry(config).history()) == 1


def test_only_what_was_promoted_counts_against_the_budget(config: Config, topics: Topics, start: Any) -> None:
    trainer, newest_ms = start(), 100 * DAY_MS
    topics.seen = seen(newest_ms)
    registry = Registry(config)
    for number in range(2):
        registry.promote(Entry(f"m{number}", f"r{number}", newest_ms - number))
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
    other = trainer.handle(asked(ask(4, 49 * DAY_MS), "/driftflow/s/watch/1"))
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


# Things that fail ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("crash", ["record", "publish", "tell", "promote"])
def test_a_crash_on_the_way_to_the_topics_changes_nothing(
    topics: Topics, start: Any, config: Config, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    owner = Registry if crash in ("record", "promote") else delivery
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


# The loop ------------------------------------------------------------------------------------------------------------


class Group:
    """A consumer of a group: hands out rounds of records, keeps what is committed, and stops the trainer at the end."""

    def __init__(self, *rounds: list[Any]) -> None:
        self.rounds, self.commits = list(rounds), list[dict[int, int]]()
        self.trainer: Trainer | None = None

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        assert self.trainer is not None
        if not self.rounds:
            self.trainer.stop()
            return {}
        fetched: dict[Any, list[Any]] = {}
        for one in self.rounds.pop(0):
            fetched.setdefault((one.topic, one.partition), []).append(one)
        return fetched

    def commit(self, offsets: dict[Any, Any], timeout_ms: int) -> None:
        self.commits.append({tp.partition: place.offset for tp, place in offsets.items()})

    def close(self, timeout_ms: int) -> None:
        pass


def run(trainer: Trainer, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    group.trainer = trainer
    monkeypatch.setattr("stream_app.trainer.trainer.KafkaConsumer", lambda *_, **__: group)
    trainer.run()


def test_whatever_arrives_the_good_request_behind_it_is_answered(
    config: Config, topics: Topics, start: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = request_key(config)
    bad = [
        record(b"junk", [("ce_type", None)], offset=0),
        record(None, [("ce_type", b"driftflow.retrain-request.v1")], offset=1),
        message(ask(7), None, offset=2),
        message(ask(7), key, partition=5, offset=0),
    ]
    group = Group([*bad, message(ask(7), key, offset=3)])
    trainer = start(min_rows=10_000)
    run(trainer, group, monkeypatch)
    assert [notice.request_id for notice in topics.told()] == ["request-7"], "the forged ones do not silence it"
    reasons = ["not_ours", "tombstone", "unsigned", "not_accepted"]
    assert sorted(letter.reason for letter in topics.letters()) == sorted(reasons)
    assert trainer.refused == dict.fromkeys(reasons, 1)
    assert {(letter.topic, letter.partition, letter.offset) for letter in topics.letters()} == {
        ("s.signals", 4, 0),
        ("s.signals", 4, 1),
        ("s.signals", 4, 2),
        ("s.signals", 5, 0),
    }
    unsigned = next(line for line in said if "(unsigned)" in line)
    assert unsigned == "s.signals/4@2 is no request and goes to the dead letters (unsigned): it is not signed"


def test_each_request_is_committed_by_itself_in_the_order_of_its_partition(
    config: Config, topics: Topics, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = request_key(config)
    day = [ask(number, number * DAY_MS) for number in range(10)]
    fetched = [
        message(day[5], key, offset=0),
        message(day[6], key, offset=1),
        record(b"", [("ce_type", b"driftflow.other.v1")], partition=0, offset=3),
        message(day[4], key, "/driftflow/s/watch/1", partition=5, offset=8),
        message(day[9], key, "/driftflow/s/watch/1", partition=5, offset=9),
    ]
    group = Group(fetched)
    run(start(min_rows=10_000), group, monkeypatch)
    assert [notice.request_id for notice in topics.told()] == [f"request-{n}" for n in (4, 5, 6, 9)]
    assert group.commits == [{0: 4}, {5: 9}, {4: 1}, {4: 2}, {5: 10}]


def test_what_ends_the_process_commits_nothing_of_its_request(
    config: Config, topics: Topics, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, trainer = request_key(config), start()
    monkeypatch.setattr(trying, "answer", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    group = Group([message(ask(1), key, offset=3)])
    with pytest.raises(DriftflowError, match=r"training cannot go on: .*No space left on device; look at the disk"):
        run(trainer, group, monkeypatch)
    assert group.commits == []


def test_a_commit_that_comes_too_late_for_the_group_is_no_end(
    config: Config, topics: Topics, start: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kafka.errors import CommitFailedError

    group = Group([message(ask(1), request_key(config))], [message(ask(1), request_key(config))])
    monkeypatch.setattr(group, "commit", lambda *_, **__: (_ for _ in ()).throw(CommitFailedError()))
    run(start(min_rows=10_000), group, monkeypatch)
    assert len(topics.told()) == 1, "read again, answered already"
    assert any("they are read again" in line for line in said)


def test_a_poll_that_fails_is_tried_again(
    config: Config, topics: Topics, start: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = Group([message(ask(1), request_key(config))])
    poll, errors = group.poll, [KafkaTimeoutError("no coordinator")]

    def failing(timeout_ms: int) -> Any:
        if errors:
            raise errors.pop()
        return poll(timeout_ms)

    monkeypatch.setattr(group, "poll", failing)
    run(start(min_rows=10_000), group, monkeypatch)
    assert len(topics.told()) == 1
    assert "fetching: KafkaTimeoutError: no coordinator; tried again in 0.001 s" in said


def test_numbers_rise_above_those_on_the_topics(topics: Topics, start: Any) -> None:
    trainer = start(min_rows=10_000)
    trainer._delivery.highest = 41
    assert trainer.handle(asked(ask(1))).sequence == 42


# Keys that are trusted later -----------------------------------------------------------------------------------------


class Rounds:
    """A consumer that hands out one poll after the other, and then nothing."""

    def __init__(self, *polls: list[Any]) -> None:
        self._polls, self.committed = list(polls), 0

    def poll(self, timeout_ms: int) -> dict[str, list[Any]]:
        return {"all": self._polls.pop(0)} if self._polls else {}

    def commit(self, offsets: dict[Any, Any], timeout_ms: int) -> None:
        self.committed += 1


def test_a_request_of_a_key_that_is_trusted_later_is_answered_then_and_once(
    config: Config, topics: Topics, start: Any, tmp_path: Path
) -> None:
    key = request_key(msgspec.structs.replace(config, root=str(tmp_path / "worker")))
    trainer, consumer = start(), Rounds([message(ask(), key)], [], [message(ask(), key, offset=1)])
    trainer._round(consumer)
    assert [letter.reason for letter in topics.letters()] == ["untrusted_key"]
    assert consumer.committed
    trainer._round(consumer)
    assert topics.told() == []
    (tmp_path / "keys").mkdir(exist_ok=True)
    (tmp_path / "keys" / "worker.pub").write_bytes((tmp_path / "worker" / "keys" / "worker.pub").read_bytes())
    for _ in range(3):
        trainer._round(consumer)
    assert [(notice.request_id, notice.status) for notice in topics.told()] == [(ask().id, "promoted")]
    assert len(topics.letters()) == 1
