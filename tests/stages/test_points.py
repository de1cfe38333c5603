"""No two points of a run share measurement, tags and time: a store keeps one of each key, and the other is lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from flowlib.density import Density
from schemas.incidents import Action, Incident, StrangeEvents
from schemas.records import Activation, EventAnomaly, ModelNotice, RetrainRequest, record_id
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.decisions import Acted
from stream_app.stages.outputs import Outgoing, Outputs, Point
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.points import anomaly_points, model_point
from stream_app.stages.score.state import ScoreState
from tests.stages.streams import bodies, config, cut, event, judge_all, pipeline, raw, score_all
from tests.stages.test_pipeline import records


def stored(folder: Path, points: list[Point]) -> Counter[str]:
    """Points of each measurement that the embedded store holds after they were written."""
    sink = SQLiteSink(folder / "store.sqlite")
    sink.write(points)
    rows = sink._db.execute("SELECT measurement, count(*) FROM points GROUP BY measurement").fetchall()
    sink.close()
    return Counter(dict(rows))


def story(model: Density, seed: int) -> tuple[list[Point], list[Outgoing]]:
    """What two source partitions of a stream that drifts come to, which a person accepts: all points and signals. It
    has no gaps, or it would be a fault of the data as well, and no model would be asked for.
    """
    cfg = config(topics={"partitions": 4}, retrain={"min_slices": 1}, event_rule={"alpha": 0.01, "publish": True})
    made, points, messages = pipeline(cfg, [model], sources=2), list[Point](), list[Outgoing]()
    before = judge_all(made, [m for p in range(2) for m in _scored(made, seed, p).messages])
    first = next(
        record for record in records(before.messages) if isinstance(record, Incident) and record.kind == "drift"
    )
    action = Action(id="a", stream=cfg.stream, verb="accept", by="Li", at_ms=0, incident_id=first.id)
    made = pipeline(cfg, [model], 2, [*made.decisions, Acted(35_000, 0, action)])
    for p in range(2):
        out = _scored(made, seed, p)
        points += out.points
        messages += out.messages
    out = judge_all(made, messages)
    messages += out.messages
    return [*points, *out.points], [message for message in messages if message.role == "signals"]


def _scored(made: Pipeline, seed: int, partition: int) -> Outputs:
    return score_all(made, partition, bodies(seed + partition, 3_000, 40_000, gaps=False), [400])


def test_a_store_holds_every_signal_and_every_point_of_a_run(model: Density, tmp_path: Path, seed: int) -> None:
    points, signals = story(model, seed)
    held = stored(tmp_path, points)
    assert held == Counter(point.measurement for point in points), f"seed {seed}"
    told = Counter(type(record) for record in records(signals))
    assert held["anomalies"] == told[EventAnomaly] > 100, f"seed {seed}"
    assert held["incidents"] == told[Incident] > 1, f"seed {seed}"
    assert held["strange_events"] == told[StrangeEvents], f"seed {seed}"
    assert held["retrains"] == told[RetrainRequest] >= 1, f"seed {seed}"
    assert held["activations"] == told[Activation] == 2, f"seed {seed}"
    assert min(held["counters"], held["windows"]) > 50, f"seed {seed}"


def at_once(seed: int, n: int) -> list[bytes | None]:
    """Strange events, many of a slice in the same millisecond, out of order."""
    chance = random.Random(seed)
    return [
        event(chance.choice((100, 101, 700, 1_100)), i, x=40.0, y=-40.0, station=chance.choice("ab")) for i in range(n)
    ]


def test_strange_events_of_one_millisecond_keep_a_point_each(model: Density, tmp_path: Path, seed: int) -> None:
    made = pipeline(config(event_rule={"alpha": 0.01, "publish": True}), [model], sources=2)
    outs = [score_all(made, p, at_once(seed + p, 200), [64]) for p in range(2)]
    points = [point for out in outs for point in out.points]
    told = [record for out in outs for record in records(out.messages) if isinstance(record, EventAnomaly)]
    assert len(told) == 400, f"seed {seed}"
    assert stored(tmp_path, points)["anomalies"] == 400, f"seed {seed}"
    assert len({dict(p.tags)["n"] for p in points if p.measurement == "anomalies"}) < 60, "few values of the tag"


@pytest.mark.parametrize("sizes", [[1], [7, 1, 30], [200]])
def test_the_points_of_strange_events_do_not_depend_on_batches_or_restarts(model: Density, sizes: list[int]) -> None:
    values = at_once(5, 120)
    whole = [p for p in score_all(pipeline(config(), [model]), 0, values, [999]).points if p.measurement == "anomalies"]
    found, snapshot = list[Point](), b""
    for a, b in cut(len(values), sizes):
        made = pipeline(config(), [model])
        if snapshot:
            made.open_score(0, snapshot)
        found += made.score(raw(0, values[a:b], a)).points
        snapshot = made.snapshot_score(0)
    assert [p for p in found if p.measurement == "anomalies"] == whole


def test_what_is_kept_of_strange_events_goes_with_their_panes(model: Density) -> None:
    made = pipeline(config(), [model])
    score_all(made, 0, [event(100 * i, i, x=40.0, y=-40.0) for i in range(100)], [10])
    state = made.score_states[0]
    assert sorted(state.anomalies) == sorted(state.panes)
    assert ScoreState.from_state(state.to_state()).anomalies == state.anomalies


def anomaly(partition: int, offset: int) -> EventAnomaly:
    return EventAnomaly(
        id=record_id(partition, offset), stream="s", topic="e", partition=partition, offset=offset, event_time_ms=7,
        slice="north", model_id="m", log_prob=-9.0, p_value=0.001, pooled=False, threshold=0.01, blame=[],
    )  # fmt: skip


def test_what_many_writers_say_of_the_same_pane_is_all_kept(tmp_path: Path) -> None:
    """Fifty source partitions see one slice, fifty models are judged."""
    notices = [
        ModelNotice(
            model_id=f"refused-{i}", stream="s", status="refused", parent_id="", request_id=f"r{i}", created_ms=5_000,
            train_rows=0, gates={}, reason="",
        )
        for i in range(50)
    ]  # fmt: skip
    points = anomaly_points([anomaly(p, p) for p in range(50)], [0] * 50)
    points += [model_point(notice) for notice in notices]
    assert stored(tmp_path, points) == Counter(anomalies=50, models=50)
