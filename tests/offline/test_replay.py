"""A local run: the offsets a broker would give, and results that do not depend on how rows are cut into batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.incidents import Incident
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.offline import replay
from stream_app.offline.replay import LocalRun, batches
from stream_app.stages.decisions import Activated, Joined
from stream_app.stages.outputs import Point
from stream_app.stages.partitioning import partition_for
from tests.stages.streams import STATIONS, bodies, config


def keyed(seed: int = 5, n: int = 600) -> list[tuple[bytes | None, bytes | None]]:
    """Events of three stations over thirty panes; from the middle on they are others."""
    return [(STATIONS[i % 3].encode(), body) for i, body in enumerate(bodies(seed, n, 30_000))]


def run_of(cfg: Config, model: Density, rows: Any, decisions: Any = ()) -> tuple[LocalRun, list[Any]]:
    run = LocalRun(cfg, decisions)
    run.pipeline.models.add(model)
    run.start(model.model_id)
    return run, [point for raw in batches(cfg, rows) for point in run.feed(raw)]


def test_a_topic_of_fewer_partitions_than_configured_is_judged(model: Density) -> None:
    """A topic that a producer's first message has made has one; nothing was ever judged of it."""
    one = [(b"all", body) for _, body in keyed()]
    four, narrow = (config(topics={"events": "e", "partitions": n}) for n in (4, 1))
    runs = [LocalRun(four, sources=1), LocalRun(narrow)]
    for run in runs:
        run.pipeline.models.add(model)
        run.start(model.model_id)
        for raw in batches(narrow, one):
            run.feed(raw)
        run.pass_over([0])
    told, of_one = ([of.value for sent in run.sent.values() for of in sent] for run in runs)
    assert told == of_one
    kinds = {type(decode_event(of.value, of.headers)) for of in runs[0].sent["signals", 1]}
    assert Incident in kinds, "JUDGE's signals stand behind those of the source partition"


def stored(points: list[Point]) -> dict[Any, Any]:
    """What a sink holds in the end: of the same measurement, tags and time the last write wins."""
    return {(point.measurement, point.tags, point.time_ms): point.fields for point in points}


@pytest.mark.parametrize("size", [1, 7, 4_000])
def test_every_row_has_the_partition_and_offset_that_the_broker_would_give(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(replay, "BATCH_ROWS", size)
    cfg, rows = config(), keyed(n=50)
    values: dict[int, list[Any]] = {0: [], 1: []}
    for raw in batches(cfg, rows):
        assert len(raw) <= size
        assert raw.offsets.tolist() == list(range(len(values[raw.partition]), len(values[raw.partition]) + len(raw)))
        values[raw.partition] += raw.values
    for number, (key, value) in enumerate(rows):
        assert value in values[partition_for(key, 2, number)]
    assert sum(map(len, values.values())) == 50


@pytest.mark.parametrize("size", [3, 50])
def test_batches_of_any_size_give_the_same_messages_and_points(
    model: Density, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    cfg = config(topics={"events": "e", "partitions": 1})
    whole, points = run_of(cfg, model, keyed())
    monkeypatch.setattr(replay, "BATCH_ROWS", size)
    cut, cut_points = run_of(cfg, model, keyed())
    assert cut.sent == whole.sent
    assert stored(cut_points) == stored(points)
    kinds = {type(decode_event(m.value, m.headers)) for m in whole.sent["signals", 1]}
    assert Incident in kinds
    assert ModelNotice not in kinds, "nobody trains here"


def test_on_two_partitions_the_signals_do_not_depend_on_which_is_read_first(
    model: Density, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = run_of(config(), model, keyed())
    monkeypatch.setattr(replay, "BATCH_ROWS", 11)
    cut, _ = run_of(config(), model, keyed())
    assert cut.sent.keys() == whole.sent.keys()
    for (role, partition), messages in whole.sent.items():
        other = cut.sent[role, partition]
        many_writers = role in ("partials", "evidence")
        order = (lambda m: (m.value, m.headers)) if many_writers else (lambda m: 0)
        assert sorted(other, key=order) == sorted(messages, key=order)


def test_a_run_that_is_given_the_decisions_of_another_repeats_it(model: Density) -> None:
    cfg = config()
    first, _ = run_of(cfg, model, keyed())
    decisions = [Activated(p, 0, model.model_id, model.engine.name) for p in range(2)]
    assert first.pipeline.decisions == decisions
    again = LocalRun(cfg, decisions)
    again.pipeline.models.add(model)
    again.start("a model that no decision names")
    for raw in batches(cfg, keyed()):
        again.feed(raw)
    assert again.sent == first.sent


def test_an_empty_file_has_no_batches() -> None:
    assert list(batches(config(), [])) == []
    (raw,) = batches(config(), [(b"north", None)])
    assert (raw.values, raw.offsets.dtype) == ([None], np.int64)


def test_a_run_whose_topic_grew_cannot_be_repeated_from_a_file() -> None:
    with pytest.raises(DriftflowError, match="a file does not say which event went to which partition"):
        LocalRun(config(), [Activated(0, 0, "m"), Joined(0, 2, 1_000)])
