"""What goes wrong in the middle of a batch is never saved, and a batch waits for what it needs."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas.codecs import encode_partials
from schemas.intake import Refusal, take_in
from schemas.pane_layout import PaneLayout
from schemas.records import DeadLetter, PaneBlock, PaneClosed
from stream_app.errors import DriftflowError
from stream_app.kafka.types import TopicPartition
from stream_app.sinks.spool import Spool
from stream_app.stages.decisions import Activated, Joined
from stream_app.stages.detection.detectors.simulated import World
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.snapshot import unpack
from stream_app.stages.watch.state import WatchState
from stream_app.worker.agents import Worker
from stream_app.worker.files import FileStore
from stream_app.worker.reports import Reports
from tests.stages import streams
from tests.stages.streams import PANE
from tests.worker.making import Stream, in_a_loop, notice, record

MODELS: Any = ("models", "Model notice", "The model in service stays.")
REFUSAL = Refusal("unsigned", "df-signature", "it is not signed")


@pytest.fixture
def scored(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Offsets that SCORE was given; it says nothing."""
    offsets: list[int] = []

    def score(raw: Any) -> Outputs:
        offsets.extend(raw.offsets.tolist())
        return Outputs()

    monkeypatch.setattr(worker.pipeline, "score", score)
    worker.ready.set()
    return offsets


def arrive(worker: Worker, model_id: str) -> None:
    """A model that is here."""
    worker.pipeline.models.densities[model_id] = SimpleNamespace(  # type: ignore[assignment]
        engine=SimpleNamespace(name="fused"), model_id=model_id
    )


@in_a_loop
async def test_a_batch_that_fails_ends_the_worker_and_nothing_after_it_is_saved(
    worker: Worker, store: FileStore, source: TopicPartition, scored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise OSError("the producer is closed")

    stream = Stream(source, 0, 1)
    await worker.score(Stream(source, 7))
    out = Outputs(messages=[Outgoing("signals", 0, None, b"", ())])
    monkeypatch.setattr(worker.pipeline, "score", lambda raw: out)
    monkeypatch.setattr(worker.app, "maybe_start_producer", refuse)
    with pytest.raises(OSError, match="the producer is closed"):
        await worker.score(stream)
    assert worker.app.crash_reason is not None, "a supervisor starts it again"
    for _ in range(2):  # Faust starts an agent that raised again, on what is left of the stream
        with pytest.raises(DriftflowError, match="not whole any more"):
            await worker.score(stream)
    with pytest.raises(DriftflowError, match="not whole any more"):
        await worker.checkpoint()
    await worker.revoked({source})
    assert store.take("source-0") is None
    assert not stream.acked


@in_a_loop
async def test_a_batch_is_acked_by_the_checkpoint_after_it(
    worker: Worker, store: FileStore, source: TopicPartition, scored: list[int]
) -> None:
    stream = Stream(source, 3, 4)
    await worker.score(stream)
    assert scored == [3, 4]
    assert worker.status().pending == 1
    assert not stream.acked
    await worker.checkpoint()
    assert stream.acked == [3, 4]
    assert store.take("source-0") is not None
    assert worker.status().pending == 0


@in_a_loop
async def test_nothing_is_scored_before_there_is_a_model(
    worker: Worker, source: TopicPartition, scored: list[int]
) -> None:
    worker.ready.clear()
    agent = asyncio.ensure_future(worker.score(Stream(source, 3)))
    await asyncio.sleep(0.1)
    assert not scored
    worker.ready.set()
    await agent
    assert scored == [3]


@in_a_loop
async def test_a_batch_waits_for_a_model_that_another_worker_put_in_service(
    worker: Worker, source: TopicPartition, scored: list[int]
) -> None:
    worker.pipeline.score_states[0].activate(0, "elsewhere")
    agent = asyncio.ensure_future(worker.score(Stream(source, 3)))
    await asyncio.sleep(0.2)
    assert not scored
    arrive(worker, "elsewhere")
    reference = World(d=len(streams.NUMERIC) - 2, k=len(streams.CATEGORIES), slices=1, panes=24).fitted[1]
    worker.pipeline.models.references["elsewhere"] = [reference, reference]
    await agent
    assert scored == [3]


@pytest.mark.parametrize("stage", ["score", "watch"])
@in_a_loop
async def test_a_partition_that_was_given_away_is_left_alone(
    worker: Worker, source: TopicPartition, partials: TopicPartition, scored: list[int], stage: str
) -> None:
    """Between the hook of a revoke and the end of its commit the composites of the partition still look current."""
    if stage == "score":
        await worker.score(Stream(source._replace(partition=1), 0))
    else:
        await worker.watch(Stream(partials._replace(partition=1), 0))
    assert not scored
    assert worker.status().pending == 0


@in_a_loop
async def test_an_event_that_was_sought_back_is_left_alone(
    worker: Worker, source: TopicPartition, scored: list[int]
) -> None:
    stream = Stream(source, 0)
    async for event in stream.events():
        event.value.token.live = False
    await worker.score(stream)
    assert not scored


@pytest.fixture
def sent(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the worker sends: ``(topic, value, headers)``; the broker takes it at once."""
    messages: list[Any] = []

    async def send(topic: str, key: Any, value: Any, *, partition: int, headers: Any) -> asyncio.Future[Any]:
        messages.append((topic, value, headers))
        done = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(topic=topic, partition=partition, offset=len(messages)))
        return done

    monkeypatch.setattr(worker._outbox, "_send", send)
    return messages


@pytest.mark.parametrize("headers", [[], [("kind", None)], [("kind", b"block"), ("traceparent", None)]])
@in_a_loop
async def test_a_partial_that_is_none_of_ours_is_put_aside_and_done_with(
    worker: Worker, partials: TopicPartition, sent: list[Any], caplog: pytest.LogCaptureFixture, headers: Any
) -> None:
    worker.ready.set()
    stream = Stream.of(partials, [record(partials, 5, b"junk", headers)])
    with caplog.at_level(logging.ERROR):
        await worker.watch(stream)
    await worker.checkpoint()
    ((topic, value, letter_headers),) = sent
    letter = take_in("dead_letters", "s", value, letter_headers)
    assert isinstance(letter, DeadLetter)
    assert (topic, letter.topic, letter.offset) == (worker.pipeline.config.topics.dead_letters, partials.topic, 5)
    assert (worker.status().taken["partials"], worker.status().refused["partials"]) == (0, 1)
    assert f"{partials.topic}/0@5 is not a partial of ours and is skipped" in caplog.text
    assert worker.pipeline.watch_states[0].next_offset == 6
    assert stream.acked == [5]


def final_pane(tp: TopicPartition, model_id: str) -> list[Any]:
    """Records that complete the pane [0, 1 s) of both source partitions, and one block after it."""
    layout = PaneLayout(len(streams.NUMERIC), len(streams.CATEGORIES))
    columns = layout.encode(layout.blank(1))
    panes = {"stream": "s", "partition": 0, "pane_start_ms": 0, "pane_end_ms": 1_000}
    block = PaneBlock(**panes, model_id=model_id, slicing="all", index=0, slices=["all"], columns=columns)
    markers = [PaneClosed(**panes | {"partition": p}, offset_end=9) for p in (0, 1)]
    later = msgspec.structs.replace(block, pane_start_ms=1_000, pane_end_ms=2_000)
    encoded = encode_partials([block, *markers, later])
    return [record(tp, offset, m.value, m.headers) for offset, m in enumerate(encoded)]


@in_a_loop
async def test_watch_takes_nothing_past_a_pane_whose_model_is_not_here_and_acks_nothing(
    worker: Worker, store: FileStore, partials: TopicPartition, spool: Spool, sent: list[Any]
) -> None:
    worker.ready.set()
    store.record(Activated(1, 0, "elsewhere", "fused"))  # by another worker, just now
    stream = Stream.of(partials, final_pane(partials, "elsewhere"))
    agent = asyncio.ensure_future(worker.watch(stream))
    await asyncio.sleep(0.2)
    await worker.checkpoint()  # a crash after it: the records come again, and nothing is done twice
    state = worker.pipeline.watch_states[0]
    assert (state.next_offset, stream.acked, len(spool)) == (3, [], 0)
    kept = FileStore(worker.pipeline.config).take("watch-0")
    assert kept is not None
    saved = WatchState.from_state(worker.pipeline.config, unpack(kept.base))
    assert (saved.next_offset, saved.needed_models()) == (3, {"elsewhere"})
    worker._store.take("watch-0")
    arrive(worker, "elsewhere")
    reference = World(d=len(streams.NUMERIC) - 2, k=len(streams.CATEGORIES), slices=1, panes=24).fitted[1]
    worker.pipeline.models.references["elsewhere"] = [reference, reference]
    await agent
    await worker.checkpoint()
    assert (state.next_offset, state.final_ms, stream.acked) == (4, 1_000, [3])
    assert len(spool) > 0


def marker(partition: int, pane_end_ms: int) -> PaneClosed:
    """All panes of a source partition that end up to then are complete."""
    return PaneClosed(
        stream="s", partition=partition, pane_start_ms=pane_end_ms - PANE, pane_end_ms=pane_end_ms, offset_end=9
    )


@in_a_loop
async def test_watch_waits_for_a_source_partition_that_another_worker_scores_and_for_no_other(
    worker: Worker, store: FileStore, partials: TopicPartition, sent: list[Any]
) -> None:
    worker.ready.set()
    state, panes = worker.pipeline.watch_states[0], [(0, 1), (1, 1), (0, 2), (1, 2), (5, 2), (7, 2)]
    messages = encode_partials([marker(p, end * PANE) for p, end in panes])
    records = [record(partials, offset, m.value, m.headers) for offset, m in enumerate(messages)]
    await worker.watch(Stream.of(partials, records[:2]))
    store.record(Activated(5, 0, "m", "fused"))
    await worker.watch(Stream.of(partials, records[2:]))
    joined = Joined(partials_partition=0, partition=5, from_ms=2 * PANE)
    assert store.decisions() == [Activated(5, 0, "m", "fused"), joined]
    assert (state.closed_ms, state.final_ms) == ({0: 2 * PANE, 1: 2 * PANE, 5: 2 * PANE}, 2 * PANE)
    assert (state.taken, state.refused, state.next_offset) == (5, 1, 6), "nobody scores source partition 7"
    letter = take_in("dead_letters", "s", *sent[-1][1:])
    assert isinstance(letter, DeadLetter)
    assert letter.detail == "no decision names source partition 7"


@in_a_loop
async def test_a_source_partition_is_waited_for_as_soon_as_it_is_here_or_another_worker_says_so(
    worker: Worker, store: FileStore, source: TopicPartition, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    room: list[set[int]] = []

    async def make_room(known: Any, config: Any, sources: set[int]) -> None:
        room.append(sources)

    monkeypatch.setattr("stream_app.worker.agents.make_room", make_room)
    worker.pipeline.watch_states[0].final_ms = 3 * PANE
    await worker.assigned({source._replace(partition=3)})
    assert room == [{3}]
    store.record(Activated(2, 0, "m", "fused"))
    await worker._on_timer()
    joins = [decision for decision in store.decisions() if isinstance(decision, Joined)]
    assert [(join.partition, join.from_ms) for join in joins] == [(3, 3 * PANE), (2, 3 * PANE)]
    ((topic, *_),) = sent
    assert topic == worker.pipeline.config.topics.signals, "people are told, before a head says that it was decided"


@in_a_loop
async def test_a_partials_partition_that_came_later_is_said_once_and_takes_nothing(
    worker: Worker, partials: TopicPartition, sent: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    worker.ready.set()
    later = partials._replace(partition=2)
    for _ in range(2):
        await worker.assigned({later})
    ((message,),) = [encode_partials([marker(0, PANE)])]
    stream = Stream.of(later, [record(later, 0, message.value, message.headers)])
    await worker.watch(stream)
    await worker.checkpoint()
    assert stream.acked == [0]
    assert caplog.text.count("stays unused: slices are spread over the 2 that the stream began with") == 1
    assert [topic for topic, *_ in sent] == [worker.pipeline.config.topics.dead_letters]
    assert "slices are spread over 2 partials partitions" in caplog.text


@in_a_loop
async def test_a_worker_goes_on_where_another_one_has_saved(
    worker: Worker, store: FileStore, source: TopicPartition, scored: list[int]
) -> None:
    worker.pipeline.score_states[0].counters["received"] = 7
    await worker.score(Stream(source, 3))
    await worker.revoked({source})
    assert not worker.pipeline.score_states
    assert worker.status().counters[0]["received"] == 7, "what it has counted still counts"
    store.record(Activated(0, 1_000, "m", "fused"))
    arrive(worker, "m")
    await worker.assigned({source})
    state = worker.pipeline.score_states[0]
    assert state.counters["received"] == 7
    assert state.activations == [(1_000, "m")], "another worker may have decided meanwhile"


@in_a_loop
async def test_what_is_kept_of_a_partition_that_is_given_away_is_whole(
    worker: Worker, store: FileStore, source: TopicPartition, scored: list[int]
) -> None:
    """Though nothing is new since the last checkpoint: the input between base and head may be gone by then."""
    await worker.score(Stream(source, 3))
    await worker.checkpoint()
    worker.pipeline.score_states[0].next_offset = 4
    await worker.score(Stream(source, 4))
    await worker.checkpoint()
    await worker.revoked({source})
    saved = store.take("source-0")
    assert saved is not None
    assert (saved.head.next_offset, saved.head.mark.done) == (4, 4)


@in_a_loop
async def test_a_promoted_model_is_put_in_service_and_noted(worker: Worker, store: FileStore, spool: Any) -> None:
    model: Any = SimpleNamespace(model_id="m", engine=SimpleNamespace(name="fused"))
    worker.pipeline.models.add = lambda density: arrive(worker, density.model_id)  # type: ignore[method-assign]
    await worker.modelling.take_model(notice("c", "refused"), None)
    assert worker.status().service == ""
    await worker.modelling.take_model(notice("m"), model)
    assert worker.status().service == "m"
    assert not store.decisions(), "nothing is put in service before every known model is here"
    worker.ready.set()
    await worker.modelling.take_model(notice("m"), model)
    assert store.decisions() == [Activated(0, 0, "m", "fused")]
    await worker.checkpoint()
    assert [dict(point.tags)["model_id"] for _, point in spool.read(9)] == ["c", "m", "m"]


@in_a_loop
async def test_an_older_model_is_available_and_does_not_take_over(
    worker: Worker, store: FileStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.pipeline.models, "add", lambda density: arrive(worker, density.model_id))
    worker.ready.set()
    for name, number in (("new", 2), ("old", 1)):
        model: Any = SimpleNamespace(model_id=name, engine=SimpleNamespace(name="fused"))
        await worker.modelling.take_model(msgspec.structs.replace(notice(name), sequence=number), model)
    assert worker.status().service == "new"
    assert store.decisions() == [Activated(0, 0, "new", "fused")]
    assert worker.pipeline.models.missing(["old", "new"]) == set()


@in_a_loop
async def test_a_partition_takes_the_newest_model_once_the_one_it_was_scored_by_has_come(
    worker: Worker, store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.pipeline.models, "add", lambda density: arrive(worker, density.model_id))
    worker.pipeline.score_states[0].activate(0, "old")
    worker.ready.set()
    for name, number, decided in (("new", 2, []), ("old", 1, [Activated(0, 0, "new", "fused")])):
        model: Any = SimpleNamespace(model_id=name, engine=SimpleNamespace(name="fused"))
        await worker.modelling.take_model(msgspec.structs.replace(notice(name), sequence=number), model)
        assert store.decisions() == decided


@in_a_loop
async def test_an_answer_that_an_earlier_model_gives_is_no_row_among_the_models(worker: Worker, spool: Spool) -> None:
    await worker.modelling.take_model(notice("m", "covered"), None)
    await worker.checkpoint()
    assert not spool.read(9)


@in_a_loop
async def test_a_notice_that_is_refused_is_reported_once_the_broker_has_its_dead_letter(
    worker: Worker, store: FileStore, sent: list[Any]
) -> None:
    config = worker.pipeline.config
    reports, models = Reports(config, *MODELS), TopicPartition(config.topics.models, 0)
    letter = reports.letter(record(models, 3), REFUSAL)
    assert letter is not None
    await worker.modelling.put_aside(letter, reports)
    assert Reports(config, *MODELS).letter(record(models, 3), REFUSAL) is not None, "a crash now: it is said again"
    await worker.checkpoint()
    assert Reports(config, *MODELS).letter(record(models, 3), REFUSAL) is None
    assert [(topic, value) for topic, value, _ in sent] == [(config.topics.dead_letters, letter.value)]
