"""A store as the pipeline would write it, small and with a story in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from flowlib.pit import PIT_BINS
from schemas.pane_layout import ALPHAS, fixed_square, fixed_sum
from schemas.records import Health, ModelNotice
from stream_app.config import Config, load
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from stream_app.stages.outputs import Point
from stream_app.stages.points import PaneWindows
from stream_app.stages.summary import COLUMNS, WIDTH
from stream_app.worker.health import health_point
from tests.console.telling import DRIFTED, HOSTILE, PANE_MS, START_MS, made_incident, told

EXAMPLE = Path(__file__).parents[2] / "stream_app/demo/example/driftflow.toml"


def write_store(path: Path, panes: int = 160) -> Config:
    """Three stations, one of which drifts half-way; two models, five incidents, one refused candidate."""
    config = load(EXAMPLE)
    sink = SQLiteSink(path)
    sink.write(all_points(config, panes))
    sink.close()
    return config


def all_points(config: Config, panes: int) -> list[Point]:
    """What :func:`write_store` writes."""
    return [*_windows(config, panes), *_histograms(config, panes), *_others(config, panes)]


def write_long_store(path: Path, panes: int) -> None:
    """One slice with many panes and as many windows, the same row in each."""
    ends = [START_MS + (k + 1) * PANE_MS for k in range(panes)]
    _write_same(path, [(DRIFTED, span, end) for span in ("pane", "28d") for end in ends])


def write_wide_store(path: Path, names: list[str]) -> None:
    """Many slices with one pane and one window each; an incident is open on the last one."""
    _write_same(path, [(name, span, START_MS + PANE_MS) for name in names for span in ("pane", "28d")])
    sink = SQLiteSink(path)
    sink.write([points.incident_point(made_incident("beijing-air", names[-1], START_MS, START_MS + PANE_MS))])
    sink.close()


def _write_same(path: Path, places: list[tuple[str, str, int]]) -> None:
    config = load(EXAMPLE)
    row = _row(np.random.default_rng(7), 24, 24, 0.01)
    spans = (PaneWindows("station", [end], [n], ["model-one"], [span], row[None, None]) for n, span, end in places)
    sink = SQLiteSink(path)
    sink.write([point for span in spans for point in points.window_points(config.stream, span)])
    sink.close()


def _windows(config: Config, panes: int) -> list[Point]:
    made, draws = [], np.random.default_rng(7)
    for name in (DRIFTED, "Tiantan", HOSTILE):
        for k in range(panes):
            end, strange = START_MS + (k + 1) * PANE_MS, 0.3 if name == DRIFTED and k > panes // 2 else 0.01
            model = "model-one" if k < panes * 3 // 4 else "model-two"
            for span, n in (("pane", 6), ("1d", 24), ("7d", 168), ("28d", 672)):
                scored = min(n, 6 * (k + 1 - (0 if model == "model-one" else panes * 3 // 4)))
                row = _row(draws, n, scored, strange)
                notices = _notices(name) if span == "28d" else {}
                rows = PaneWindows("station", [end], [name], [model], [span], row[None, None], notices)
                made += points.window_points(config.stream, rows)
    return made


def _notices(name: str) -> dict[str, np.ndarray]:
    """The smallest shifts, none of which is found in a day at one of the stations."""
    day = np.inf if name == HOSTILE else 1.4
    return {"smallest_shift_day": np.array([day]), "smallest_shift_week": np.array([0.55])}


def _histograms(config: Config, panes: int) -> list[Point]:
    """Two source partitions, a point a day; the first features lean most, and more on the second partition."""
    made, d = [], len(config.event.numeric)
    for k in range(3, panes, 4):
        model = "model-one" if k < panes * 3 // 4 else "model-two"
        for partition in range(2):
            counts = np.full((d, PIT_BINS), 50)
            counts[:, -1] += 400 * partition // np.arange(1, d + 1)
            made += points.pit_points(config, partition, START_MS + (k + 1) * PANE_MS, model, counts)
    return made


def _row(draws: np.random.Generator, seen: int, n: int, strange: float) -> np.ndarray:
    """``seen`` does not start anew when a model takes over; what the model says of its ``n`` events does."""
    row = np.zeros(WIDTH, dtype=np.int64)
    p = np.where(draws.random(n) < strange, draws.random(n) * 0.01, draws.random(n))
    log_prob = -40 + 3 * draws.standard_normal(n) - 300 * strange * (p < 0.01)
    row[COLUMNS["seen"]], row[COLUMNS["scored"]] = seen, n
    row[COLUMNS["log_prob_sum"]] = fixed_sum(log_prob).sum()
    row[COLUMNS["log_prob_square_sum"]] = fixed_square(log_prob).sum()
    row[COLUMNS["p_le"]] = [(p <= alpha).sum() for alpha in ALPHAS]
    return row


def _others(config: Config, panes: int) -> list[Point]:
    end = START_MS + panes * PANE_MS
    gates = {"calibration": {"passed": True, "says": "1.2 % of held-out events"}}
    bad = {"likelihood": {"passed": False, "says": "-3 nats an event"}}
    notices = [("model-one", "promoted", gates), ("model-two", "promoted", gates), ("refused-1", "refused", bad)]
    made = told(config.stream, panes)
    for k, (model_id, status, figures) in enumerate(notices):
        notice = ModelNotice(
            model_id=model_id,
            stream=config.stream,
            status=status,
            parent_id="",
            request_id="r",
            created_ms=START_MS + k * PANE_MS,
            train_rows=1000,
            gates=figures,
            reason=json.dumps(figures),
        )
        made.append(points.model_point(notice))
    made.append(points.activation_point(config, 0, 0, "model-one"))
    made.append(points.activation_point(config, 0, START_MS + panes * 3 // 4 * PANE_MS, "model-two"))
    health = Health(
        stream=config.stream, source="worker w-1", part="drainer", state="failing", says=HOSTILE, since_ms=end
    )
    made.append(health_point(health))
    counts = {"received": 10, "windowed": 7, "late": 0, "rejected": 1, "duplicate": 1, "held": 1}
    made += [point for p in range(2) for point in points.counters_points(config, p, [(end, counts, 0)])]
    return made
