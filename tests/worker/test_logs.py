"""Offsets are compared with the log: what was made anew is read from its start, what is gone is said in numbers."""

from __future__ import annotations

import asyncio

import pytest

from schemas.incidents import Action, Incident
from schemas.intake import take_in
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.logs import Log
from stream_app.kafka.types import TopicPartition
from stream_app.monitor.metrics import DAMAGED
from stream_app.stages.decisions import Acted, Joined, PassedOver
from stream_app.stages.partitioning import trainer_signals
from stream_app.worker import logs as module
from stream_app.worker.agents import Worker
from stream_app.worker.damages import Damage
from stream_app.worker.files import FileStore
from stream_app.worker.logs import Logs
from stream_app.worker.partitions import Partitions
from tests.worker.making import in_a_loop

FIRST, SECOND = "01a21b56-cd53-7c23-8c55-49de7dbc889d", "ba6e4418-915d-4bb0-98b3-fce355f6900a"


def incidents(logs: Logs, config: Config) -> list[Incident]:
    """What is to be told since the last call; each has its point."""
    outs = logs.take()
    records = [take_in("signals", config.stream, one.value, one.headers) for out in outs for one in out.messages]
    assert {one.partition for out in outs for one in out.messages} <= {trainer_signals(config.topics.partitions)}
    assert [dict(point.tags)["id"] for out in outs for point in out.points] == [one.id for one in records]  # type: ignore[union-attr]
    assert all(isinstance(one, Incident) for one in records)
    return records  # type: ignore[return-value]


@pytest.fixture
def logs(worker: Worker) -> Logs:
    """Those of a worker whose first source partition was taken up to 400."""
    worker.pipeline.score_states[0].next_offset = 400
    return worker._logs


def kept_id(store: FileStore) -> str:
    saved = store.take("source-0")
    return saved.head.topic_id if saved else ""


def said(worker: Worker, tp: TopicPartition) -> str:
    return worker.status().failing.get(f"log {tp.topic}/{tp.partition}", "")


@in_a_loop
async def test_a_topic_that_was_deleted_and_made_again_is_read_from_its_start(
    worker: Worker, logs: Logs, store: FileStore, source: TopicPartition, caplog: pytest.LogCaptureFixture
) -> None:
    state = worker.pipeline.score_states[0]
    assert not logs.check(source, Log(FIRST, 0)), "nothing was known before: it may well be the same"
    assert not logs.check(source, Log(FIRST, 0))
    assert state.next_offset == 400
    assert logs.check(source, Log(SECOND, 0))
    assert (state.next_offset, worker._partitions.next_offset(source)) == (0, 0), "0 counts, whatever was committed"
    assert f"its id was {FIRST}, and is {SECOND}" in said(worker, source)
    assert "400 offsets were taken" in caplog.text
    assert kept_id(store) == "", "as long as the new offset is not kept"
    assert logs.take(), "there is no broker to send it to"
    await worker.checkpoint()
    assert kept_id(store) == SECOND
    reopened = Partitions(worker.pipeline.config, store, worker.pipeline)
    reopened.open(source)
    assert reopened.next_offset(source) == 0, "after a crash too"
    state.next_offset = 7
    assert not logs.check(source, Log(SECOND, 0))


@in_a_loop
async def test_what_a_topic_made_anew_loses_before_the_next_checkpoint_does_not_hide_that_it_is_another(
    worker: Worker, logs: Logs, store: FileStore, source: TopicPartition
) -> None:
    logs.check(source, Log(FIRST, 0))
    assert logs.check(source, Log(SECOND, 0))
    assert not logs.check(source, Log(SECOND, 60), settled=40)
    assert not logs.check(source, Log(SECOND, 60)), "it is known which topic it is"
    assert worker.pipeline.score_states[0].next_offset == 60
    assert logs.take()
    await worker.checkpoint()
    assert kept_id(store) == SECOND


def test_what_retention_has_deleted_before_it_was_read_is_said_with_its_number(
    worker: Worker, logs: Logs, source: TopicPartition
) -> None:
    assert not logs.check(source, Log(FIRST, 400))
    assert not said(worker, source)
    assert not logs.check(source, Log(FIRST, 460)), "reading goes on where the log begins by itself"
    assert "the offsets 400 to 460" in said(worker, source)
    assert "at most 60 events" in said(worker, source)
    assert worker.pipeline.score_states[0].next_offset == 460


def test_what_retention_deletes_under_a_worker_that_reads_on_is_said_and_its_state_is_kept_anew(
    worker: Worker, logs: Logs, config: Config, source: TopicPartition
) -> None:
    logs.note_gone(source, 450, 460)  # up to 450 all was handed out, and is under way
    (told,) = incidents(logs, config)
    assert (told.severity, told.detector, told.events) == ("critical", "retention", 10)
    assert "retention has deleted the offsets 450 to 460 before they were read" in told.summary
    budget = worker._partitions._kept[source].budget
    logs.compare({source: (440, 470)}, {}, 0.0)
    assert (budget.forced, worker._partitions.next_offset(source)) == (False, 400), "else what is under way was lost"
    worker.pipeline.score_states[0].next_offset = 450
    logs.compare({source: (460, 470)}, {}, 0.0)
    assert (budget.forced, worker._partitions.next_offset(source)) == (True, 460)
    assert not logs.check(source, Log(FIRST, 460), 460)
    assert incidents(logs, config) == []


def test_a_batch_that_was_passed_over_is_an_incident_once_however_often_it_is_met(
    worker: Worker, logs: Logs, config: Config, source: TopicPartition
) -> None:
    logs.note_damage(Damage(source, 400, 400, "its checksum is wrong"))
    assert incidents(logs, config) == [], "it is fetched again"
    logs.note_damage(Damage(source, 400, 430, "its checksum is wrong"))
    (told,) = incidents(logs, config)
    assert (told.severity, told.detector, told.events, told.rules) == ("critical", "damaged", 30, ["log"])
    assert "e/0: the batch at offset 400 cannot be taken apart, at 6 tries within 8 s (its checksum" in told.summary
    assert "reading goes on at 430" in said(worker, source)
    logs.note_damage(Damage(source, 400, 430, "its checksum is wrong"))
    assert incidents(logs, config) == [], "after a crash"
    logs.note_damage(Damage(source, 430, 431, "its checksum is wrong"))
    assert incidents(logs, config) == [], "that is not twice as much"
    logs.note_damage(Damage(source, 500, 540, "its checksum is wrong"))
    (more,) = incidents(logs, config)
    assert (more.id, more.number, more.events) == (told.id, 2, 71)
    assert worker.meter.counts(DAMAGED) == {("e", "fetched_again"): 1, ("e", "passed_over"): 4}


def test_a_batch_of_a_partition_that_has_left_is_for_its_next_owner(worker: Worker, logs: Logs, config: Config) -> None:
    logs.note_damage(Damage(TopicPartition(config.topics.events, 1), 0, 9, "its checksum is wrong"))
    assert incidents(logs, config) == []


def test_a_new_stream_on_an_old_topic_has_lost_nothing(worker: Worker, source: TopicPartition) -> None:
    assert not worker._logs.check(source, Log(FIRST, 9_000))
    assert not said(worker, source)


def test_markers_of_transactions_that_retention_has_deleted_are_no_events(
    worker: Worker, logs: Logs, source: TopicPartition
) -> None:
    assert not logs.check(source, Log(FIRST, 402), settled=402)
    assert not said(worker, source)


@pytest.mark.parametrize("topic_id", [FIRST, ""])
def test_a_log_that_ends_before_what_was_taken_of_it_is_noticed(
    worker: Worker, logs: Logs, source: TopicPartition, topic_id: str
) -> None:
    """But not where it steps back for a moment: another broker has taken it over."""
    logs.check(source, Log(topic_id, 0))
    for high, now_s in ((400, 0.0), (140, 1.0), (401, 8.0), (None, 8.5), (140, 9.0), (160, 18.0)):
        assert not logs.check_ends({source: high}, now_s)
    assert logs.check_ends({source: 180}, 19.5)
    went_to = 140 if topic_id else 0
    assert worker._partitions.next_offset(source) == went_to, "what was written since is read"
    assert f"400 offsets of it were taken: {'the broker has lost' if topic_id else 'the topic was made'}" in said(
        worker, source
    )


@in_a_loop
async def test_what_retention_has_deleted_of_rows_that_are_read_again_is_said(
    worker: Worker, logs: Logs, source: TopicPartition
) -> None:
    """What came of them was sent, but open panes have lost them."""
    worker._partitions.move(source, 400, 430)
    worker._partitions._kept[source].replays = True
    assert not logs.check(source, Log(FIRST, 460))
    assert "at most 60 events, which no window counts, and 30 of them, which had been read, no open" in said(
        worker, source
    )
    assert (worker.pipeline.score_states[0].next_offset, worker._partitions.taken_until(source)) == (460, 460)


@in_a_loop
async def test_a_broker_that_does_not_answer_is_said_and_asked_again(
    worker: Worker, logs: Logs, source: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> dict[TopicPartition, Log]:
        raise DriftflowError("the broker is away")

    monkeypatch.setattr(module, "look", away)
    assert await logs.look([source]) == {}
    assert worker.status().failing["offsets"] == "the broker is away"
    monkeypatch.setattr(module, "look", lambda *_: {})
    await logs.look([source])
    assert worker.status().failing["offsets"] == f"no topic {source.topic} on the broker any more"
    monkeypatch.setattr(module, "look", lambda *_: {source: Log(FIRST, 0)})
    await logs.look([source])
    assert "offsets" not in worker.status().failing


@in_a_loop
async def test_what_was_seen_before_an_assignment_counts_no_more(
    worker: Worker, logs: Logs, source: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the former topic would be taken for another new one."""
    logs.check(source, Log(FIRST, 0))
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "look", lambda *_: {source: Log(FIRST, 0)})
    looking = asyncio.ensure_future(logs.follow(lambda: {source: (400, 400)}))
    while not logs._found:
        await asyncio.sleep(0.01)
    looking.cancel()
    monkeypatch.setattr(module, "look", lambda *_: {source: Log(SECOND, 0)})
    found = await logs.look_first([source])
    assert logs.check(source, found[source])
    assert not logs.compare({source: (0, 5)}, {source: 5}, 0.0)
    logs._found = found
    assert not logs.compare({source: (0, 5)}, {source: 5}, 0.0), "its id is known, though not saved yet"


@in_a_loop
async def test_what_is_lost_is_an_incident_that_a_crash_neither_hides_nor_opens_twice(
    worker: Worker, logs: Logs, config: Config, store: FileStore, source: TopicPartition
) -> None:
    worker.pipeline.score_states[0].timing.clock_ms = 5 * int(config.windows.pane) + 1
    logs.check(source, Log(FIRST, 460))
    (first,) = incidents(logs, config)
    assert (first.state, first.severity, first.rules, first.detector) == ("open", "critical", ["log"], "retention")
    assert (first.events, first.opened_pane_ms) == (60, 5 * config.windows.pane)
    assert "the offsets 400 to 460" in first.summary
    before_the_head = Logs(config, worker._partitions, worker.parts, lambda tp: None, worker.meter)
    worker._partitions.move(source, 380, 380)  # as it was before the head was kept
    worker._partitions.note_losses(source, ())
    before_the_head.check(source, Log(FIRST, 460))
    (again,) = incidents(before_the_head, config)
    assert again.id == first.id
    await worker.checkpoint()
    reopened = Partitions(config, store, worker.pipeline)
    reopened.open(source)
    after_it = Logs(config, reopened, worker.parts, lambda tp: None, worker.meter)
    after_it.check(source, Log(FIRST, 460))
    assert incidents(after_it, config) == []
    assert [loss.id for loss in reopened.losses(source)] == [first.id]


def test_what_goes_on_being_lost_is_one_incident_and_told_seldom(
    worker: Worker, logs: Logs, config: Config, source: TopicPartition
) -> None:
    for start in range(410, 1_410, 10):
        logs.check(source, Log(FIRST, start))
    told = incidents(logs, config)
    assert [one.state for one in told] == ["open", *["update"] * (len(told) - 1)]
    assert [one.number for one in told] == [*range(1, len(told) + 1)]
    assert [one.events for one in told] == [10, 20, 40, 80, 160, 320, 640]
    assert len({one.id for one in told}) == 1
    assert "(640 offsets in all" in told[-1].summary


@pytest.mark.parametrize(("verb", "state"), [("ack", "accepted"), ("accept", "accepted"), ("feedback", "")])
def test_it_is_over_when_a_person_has_seen_it(
    worker: Worker, logs: Logs, config: Config, source: TopicPartition, verb: str, state: str
) -> None:
    logs.check(source, Log(FIRST, 460))
    (first,) = incidents(logs, config)
    action = Action(id="a", stream=config.stream, verb=verb, by="Ada", at_ms=0, incident_id=first.id)
    worker.pipeline.decisions.append(Acted(0, 0, action))
    for _ in range(2):
        logs.compare({source: (460, 460)}, {source: 460}, 0.0)
    assert [(one.id, one.state, one.acked_by) for one in incidents(logs, config)] == (
        [(first.id, state, "Ada")] if state else []
    )


def test_it_is_over_when_the_longest_window_has_gone_by(
    worker: Worker, logs: Logs, config: Config, source: TopicPartition
) -> None:
    timing = worker.pipeline.score_states[0].timing
    timing.clock_ms = opened_ms = 10 * int(config.windows.pane)
    worker._partitions.note_topic_id(source, FIRST)
    logs.check(source, Log(SECOND, 0))
    (first,) = incidents(logs, config)
    assert (first.detector, first.severity, first.events) == ("made_anew", "warning", 0)
    for later_ms, over in ((-1, []), (0, ["resolve"])):
        timing.clock_ms = opened_ms + int(config.windows.spans[-1]) + later_ms
        logs.compare({source: (0, 0)}, {source: 0}, 0.0)
        assert [one.state for one in incidents(logs, config)] == over


@in_a_loop
async def test_a_topic_that_is_gone_is_looked_for_though_none_of_its_partitions_is_here_any_more(
    worker: Worker, logs: Logs, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {TopicPartition(config.topics.partials, 0): Log(FIRST, 0), TopicPartition(config.topics.evidence, 0): None}
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "look", lambda *_: there)
    looking = asyncio.ensure_future(logs.follow(dict))
    while "offsets" not in worker.parts.failing:
        await asyncio.sleep(0.01)
    looking.cancel()
    assert worker.parts.failing["offsets"] == f"no topic {config.topics.events} on the broker any more"


@in_a_loop
async def test_partitions_that_were_added_are_told_once_by_who_has_the_first_partials_partition(
    worker: Worker, logs: Logs, config: Config, store: FileStore, partials: TopicPartition
) -> None:
    assert incidents(logs, config) == []
    worker.pipeline.decisions += [
        Joined(0, 2, 9_000),
        Joined(1, 2, 9_000),
        PassedOver(0, 1, 0, 9_000),
        Joined(0, 3, 9_000),
    ]
    (first,) = incidents(logs, config)
    assert (first.state, first.severity, first.detector) == ("open", "info", "grown")
    assert first.summary.startswith(
        "e: it has new partitions (2, 3): they are scored, and in the windows from 1970-01-01"
    )
    assert incidents(logs, config) == []
    reopened = Partitions(config, store, worker.pipeline)
    reopened.open(partials)
    before_the_head = Logs(
        config, reopened, worker.parts, lambda tp: None, worker.meter, lambda: worker.pipeline.decisions
    )
    assert [one.id for one in incidents(before_the_head, config)] == [first.id]
    worker._outbox.save_later(partials)
    await worker.checkpoint()
    reopened.open(partials)
    after_it = Logs(config, reopened, worker.parts, lambda tp: None, worker.meter, lambda: worker.pipeline.decisions)
    assert incidents(after_it, config) == []
    assert [loss.id for loss in reopened.losses(partials)] == [first.id]
