"""JUDGE in a worker: the one partition of the evidence, panes that wait for a model, and what people say."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas.codecs import encode_partials
from schemas.evidence import EvidenceClosed
from schemas.incidents import Action
from schemas.intake import take_in
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.stages.decisions import Acted, Activated, Service
from stream_app.stages.outputs import Outputs
from stream_app.stages.snapshot import unpack
from stream_app.worker import judging as judging_module
from stream_app.worker.agents import Worker
from stream_app.worker.files import FileStore
from tests.stages.streams import PANE
from tests.worker.making import Stream, in_a_loop, record


@pytest.fixture
def evidence(config: Config) -> TopicPartition:
    """The partition that JUDGE has."""
    return TopicPartition(config.topics.evidence, 0)


@pytest.fixture
def judging(worker: Worker, evidence: TopicPartition, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The worker with the evidence open; the broker has nothing of what JUDGE said, and takes all at once."""
    sent: list[Any] = []

    async def send(topic: str, key: Any, value: Any, *, partition: int, headers: Any) -> asyncio.Future[Any]:
        sent.append((topic, value, headers))
        done = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(topic=topic, partition=partition, offset=len(sent)))
        return done

    monkeypatch.setattr(worker._outbox, "_send", send)
    monkeypatch.setattr(worker._outbox.told, "look", lambda until: None)
    worker.sent = sent  # type: ignore[attr-defined]
    worker.pipeline.open_judge()
    worker.ready.set()
    return worker


def marker(partition: int, end: int) -> EvidenceClosed:
    """All of a partials partition up to then, and nothing in it."""
    panes = {"pane_start_ms": end - PANE, "pane_end_ms": end}
    nothing: dict[str, list[Any]] = {"groups": [], "models": [], "other": [], "top": [], "marks": [], "strangers": []}
    return EvidenceClosed(stream="s", partition=partition, slices={}, events=0, service="", **panes, **nothing)


def closing(tp: TopicPartition, *ends: int) -> Stream:
    """Markers of both partials partitions at these times."""
    messages = encode_partials([marker(partition, end) for end in ends for partition in (0, 1)])
    return Stream.of(tp, [record(tp, offset, m.value, m.headers) for offset, m in enumerate(messages)])


def action(name: str = "a", verb: str = "mark") -> Action:
    """What a person says."""
    return Action(id=name, stream="s", verb=verb, by="ann", at_ms=0, why="release 4.2")


@in_a_loop
async def test_evidence_is_judged_saved_and_acked(
    judging: Worker, store: FileStore, evidence: TopicPartition, config: Config
) -> None:
    stream = closing(evidence, PANE, 2 * PANE)
    await judging.judging.agent(stream)
    assert judging.status().judged_ms == 2 * PANE
    assert not stream.acked
    await judging.checkpoint()
    assert stream.acked == [3]
    kept = store.take("judge-0")
    assert kept is not None
    saved = unpack(kept.base)
    assert (saved["next_offset"], saved["final_ms"]) == (4, 2 * PANE)
    assert judging.status().taken["evidence"] == 4


@in_a_loop
async def test_a_worker_without_the_evidence_judges_nothing(worker: Worker, evidence: TopicPartition) -> None:
    worker.ready.set()
    stream = closing(evidence, PANE)
    await worker.judging.agent(stream)
    assert worker.status().pending == 0
    assert worker.status().judged_ms is None
    assert not await worker.judging.take_action(0, action())


@in_a_loop
async def test_evidence_on_another_partition_is_a_dead_letter_and_done_with(
    judging: Worker, evidence: TopicPartition, caplog: pytest.LogCaptureFixture
) -> None:
    spare = evidence._replace(partition=1)
    for _ in range(2):
        await judging.assigned({spare})
    assert caplog.text.count("Partition 1 of s.evidence stays unused: all evidence is on partition 0") == 1
    stream = Stream.of(spare, [record(spare, offset, b"junk") for offset in (4, 5)])
    await judging.judging.agent(stream)
    await judging.checkpoint()
    letters = [take_in("dead_letters", "s", value, headers) for _, value, headers in judging.sent]  # type: ignore[attr-defined]
    assert [(letter.partition, letter.offset) for letter in letters if isinstance(letter, DeadLetter)] == [
        (1, 4),
        (1, 5),
    ]
    assert stream.acked == [5]
    assert judging.status().refused["evidence"] == 2
    await judging.revoked({spare})
    assert judging.pipeline.judge_state is not None


@in_a_loop
async def test_evidence_that_names_a_model_of_which_no_decision_tells_is_refused(
    judging: Worker, store: FileStore, evidence: TopicPartition, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sender would have written it down before: JUDGE would wait for it for ever."""
    store.record(Activated(0, 0, "elsewhere", "fused"))  # by another worker, just now
    closed = [msgspec.structs.replace(marker(0, PANE), service=name) for name in ("forged", "elsewhere")]
    messages = encode_partials(closed)
    stream = Stream.of(evidence, [record(evidence, n, m.value, m.headers) for n, m in enumerate(messages)])
    await judging.judging.agent(stream)
    await judging.checkpoint()
    state = judging.pipeline.judge_state
    assert state is not None
    assert (state.taken, state.refused, state.needed_models()) == (1, 1, {"elsewhere"})
    assert stream.acked == [1]
    assert "s.evidence/0@0 is no evidence of ours: no decision names model 'forged'" in caplog.text


@in_a_loop
async def test_a_pane_that_has_waited_for_a_model_is_judged_when_it_is_here(
    judging: Worker, evidence: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: set[str] = {"elsewhere"}
    state = judging.pipeline.judge_state
    assert state is not None
    monkeypatch.setattr(judging.pipeline, "missing_for_judge", lambda: missing)
    monkeypatch.setattr(state.__class__, "models", lambda self, end: set(missing))
    stages = asyncio.ensure_future(judging.judging.agent(closing(evidence, PANE)))
    await asyncio.sleep(0.1)
    assert state.next_offset == 0, "of much evidence that waits not all is taken into memory"
    missing.clear()
    await stages
    missing.add("elsewhere")
    state.pending[2 * PANE] = {(p, -1): marker(p, 2 * PANE) for p in (0, 1)}
    state.closed_ms = {0: 2 * PANE, 1: 2 * PANE}
    await judging._on_timer()
    assert state.final_ms == PANE
    missing.clear()
    await judging._on_timer()
    assert state.final_ms == 2 * PANE


# What people say ------------------------------------------------------------------------------------------------------


@in_a_loop
async def test_an_action_is_written_down_once_and_taken_in_at_once(
    judging: Worker, store: FileStore, evidence: TopicPartition
) -> None:
    await judging.judging.agent(closing(evidence, PANE))
    assert await judging.judging.take_action(7, action())
    assert await judging.judging.take_action(7, action()), "read again"
    assert await judging.judging.take_action(9, action()), "sent again"
    assert store.decisions() == [Acted(PANE, 7, action())]
    state = judging.pipeline.judge_state
    assert state is not None
    assert (state.acted_offset, state.acts) == (7, [])
    assert judging.status().pending == 1, "the next checkpoint saves it"


@in_a_loop
async def test_a_model_that_was_never_promoted_is_put_in_service_by_nobody(
    judging: Worker, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is decided, so that a replay has it, and so that a model of that name has no effect later."""
    monkeypatch.setattr(judging_module, "NOTICE_S", 0.0)
    monkeypatch.setattr(judging._decider, "activate_all", lambda: None)
    judging._decider.promoted("known", 1, 0)
    for offset, (verb, model) in enumerate([("pin", "none"), ("rollback", "none"), ("pin", "known")]):
        named = msgspec.structs.replace(action(f"{offset}", verb), model=model)
        assert await judging.judging.take_action(offset, named)
    *acts, service = store.decisions()
    assert [bool(act.refused) for act in acts if isinstance(act, Acted)] == [True, True, False]
    assert "ann asks to put model none in service, and no such model was promoted for stream s" in acts[0].refused
    assert isinstance(service, Service)
    assert (service.verb, service.model_id) == ("pin", "known")
    judging._decider.promoted("none", 2, 0)
    assert await judging.judging.take_action(0, msgspec.structs.replace(action("0", "pin"), model="none"))
    assert judging._decider.service == "known"
    assert judging._decider.acted() == {"0": acts[0].refused, "1": acts[1].refused, "2": ""}


@in_a_loop
async def test_the_notice_of_a_model_that_a_person_names_may_come_a_moment_later(
    judging: Worker, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging._decider, "activate_all", lambda: None)
    named = msgspec.structs.replace(action("p", "pin"), model="new")
    waiting = asyncio.ensure_future(judging.judging.take_action(0, named))
    await asyncio.sleep(0)
    assert not store.decisions()
    judging._decider.promoted("new", 1, 0)
    assert await waiting
    assert [act.refused for act in store.decisions() if isinstance(act, Acted)] == [""]


@in_a_loop
async def test_an_action_of_a_topic_that_was_made_anew_counts_with_a_number_of_its_own(
    judging: Worker, store: FileStore
) -> None:
    for offset, name in ((7, "a"), (0, "b"), (1, "a"), (2, "c")):
        await judging.judging.take_action(offset, action(name))
    acts = [decision for decision in store.decisions() if isinstance(decision, Acted)]
    assert [(act.offset, act.action.id) for act in acts] == [(7, "a"), (8, "b"), (9, "c")]


@in_a_loop
async def test_an_action_waits_until_what_a_killed_worker_may_have_judged_is_behind(
    judging: Worker, store: FileStore, evidence: TopicPartition
) -> None:
    """It would be told otherwise than it was told."""
    judging._decider.gained(evidence)
    waiting = asyncio.ensure_future(judging.judging.take_action(0, action()))
    for settled in (0, 3):
        judging._decider.end_catching_up({evidence: (settled, 4)})
        await asyncio.sleep(0.1)
        assert not store.decisions()
    await judging.judging.agent(closing(evidence, PANE, 2 * PANE))
    judging._decider.end_catching_up({evidence: (4, 6)})
    assert await waiting
    assert store.decisions() == [Acted(2 * PANE, 0, action())]


@in_a_loop
async def test_an_action_waits_for_the_models_of_panes_that_may_have_been_judged(
    judging: Worker, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"elsewhere"}
    monkeypatch.setattr(judging.pipeline, "missing_for_judge", lambda: missing)
    waiting = asyncio.ensure_future(judging.judging.take_action(0, action()))
    await asyncio.sleep(0.1)
    assert not store.decisions()
    missing.clear()
    assert await waiting
    assert len(store.decisions()) == 1


@in_a_loop
async def test_an_action_that_waits_is_left_alone_where_the_evidence_goes_to_another_worker(
    judging: Worker, store: FileStore, evidence: TopicPartition
) -> None:
    judging._decider.gained(evidence)
    waiting = asyncio.ensure_future(judging.judging.take_action(0, action()))
    await asyncio.sleep(0)
    await judging.revoked({evidence})
    assert not await waiting
    assert not store.decisions()


@in_a_loop
async def test_what_was_decided_before_a_crash_takes_effect_after_it_at_its_time(
    judging: Worker, store: FileStore, evidence: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    await judging.judging.agent(closing(evidence, PANE))
    await judging.judging.take_action(7, action())
    judging.pipeline.close_judge()  # no checkpoint: a crash
    await judging.assigned({evidence})
    state = judging.pipeline.judge_state
    assert state is not None
    assert (state.acted_offset, state.acts) == (-1, [])  # the head does not know of it: it is followed where that ends
    judging._decider.lost(evidence)
    await judging.judging.agent(closing(evidence, PANE))
    assert (state.acted_offset, state.acts) == (7, [])
    await judging.judging.take_action(7, action())
    assert len(store.decisions()) == 1


@in_a_loop
async def test_a_replay_takes_in_what_its_decisions_say(
    config: Config, judging: Worker, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging.pipeline.make_decisions = False
    monkeypatch.setattr(judging.pipeline, "apply", lambda decision: pytest.fail("it makes none of its own"))
    assert await judging.judging.take_action(0, action())
    assert not store.decisions()


@in_a_loop
async def test_what_follows_from_an_action_is_sent(judging: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Outputs()
    applied: list[Any] = []
    monkeypatch.setattr(judging.pipeline, "apply", lambda decision: applied.append(decision) or out)
    put: list[Any] = []

    async def note(*given: Any) -> None:
        put.append(given)

    monkeypatch.setattr(judging._outbox, "put", note)
    await judging.judging.take_action(3, action())
    assert put == [(out, judging.judging._evidence)]
    assert [decision.offset for decision in applied] == [3]
