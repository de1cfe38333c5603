"""The trainer's loop over the signals topic, whatever arrives there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka.errors import KafkaTimeoutError

from flowlib.table import DAY_MS
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.models.keys import request_key
from stream_app.trainer import trying
from stream_app.trainer.trainer import Trainer
from tests.trainer.asking import ask, asked, message, record
from tests.trainer.conftest import Topics


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
        message(day[4], key, "/driftflow/s/operator", partition=5, offset=8),
        message(day[9], key, "/driftflow/s/operator", partition=5, offset=9),
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
