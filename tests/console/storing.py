"""A store as the pipeline would write it, small and with a story in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from schemas.pane_layout import PaneLayout, fixed_square, fixed_sum
from schemas.records import Alert, Blame, ModelNotice
from stream_app.config import Config, load
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from stream_app.stages.outputs import Point
from stream_app.stages.points import SpanRows

EXAMPLE = Path(__file__).parents[2] / "stream_app/demo/example/driftflow.toml"
PANE_MS = 21_600_000
START_MS = 1_362_096_000_000
DRIFTED = "Dongsi"
HOSTILE = "<img src=x onerror=document.title='hacked'>"


def write_store(path: Path, panes: int = 160) -> Config:
    """Three stations, one of which drifts half-way; two models, one incident, one refused candidate."""
    config = load(EXAMPLE)
    layout = layout_of(config)
    sink = SQLiteSink(path)
    sink.write([*_windows(config, layout, panes), *_others(config, panes)])
    sink.close()
    return config


def write_long_store(path: Path, panes: int) -> None:
    """One slice with many panes and as many windows, the same row in each."""
    ends = [START_MS + (k + 1) * PANE_MS for k in range(panes)]
    _write_same(path, [(DRIFTED, span, end) for span in ("pane", "28d") for end in ends])


def write_wide_store(path: Path, names: list[str]) -> None:
    """Many slices with one pane and one window each; an incident of the rule ``drift`` is open on the last one."""
    _write_same(path, [(name, span, START_MS + PANE_MS) for name in names for span in ("pane", "28d")])
    sink = SQLiteSink(path)
    sink.write(points.alert_points([_alert("beijing-air", names[-1], START_MS, START_MS + PANE_MS)]))
    sink.close()


def _write_same(path: Path, places: list[tuple[str, str, int]]) -> None:
    config = load(EXAMPLE)
    layout = layout_of(config)
    row = _row(layout, np.random.default_rng(7), 24, 24, 0.01)
    spans = (SpanRows(span, "station", end, [name], ["model-one"], row[None]) for name, span, end in places)
    sink = SQLiteSink(path)
    sink.write([point for span in spans for point in points.window_points(config, layout, span)])
    sink.close()


def _windows(config: Config, layout: PaneLayout, panes: int) -> list[Point]:
    made, draws = [], np.random.default_rng(7)
    for name in (DRIFTED, "Tiantan", HOSTILE):
        for k in range(panes):
            end, strange = START_MS + (k + 1) * PANE_MS, 0.3 if name == DRIFTED and k > panes // 2 else 0.01
            model = "model-one" if k < panes * 3 // 4 else "model-two"
            for span, n in (("pane", 6), ("1d", 24), ("7d", 168), ("28d", 672)):
                scored = min(n, 6 * (k + 1 - (0 if model == "model-one" else panes * 3 // 4)))
                row = _row(layout, draws, n, scored, strange)
                rows = SpanRows(span, "station", end, [name], [model], row[None])
                made += points.window_points(config, layout, rows)
                if span == "28d" and k == panes - 1:
                    made += points.pit_points(config, layout, rows, [0.5 / np.arange(1, layout.d + 1)])
    return made


def _row(layout: PaneLayout, draws: np.random.Generator, seen: int, n: int, strange: float) -> np.ndarray:
    """``seen`` does not start anew when a model takes over; what the model says of its ``n`` events does."""
    row = np.zeros(layout.width, dtype=np.int64)
    p = np.where(draws.random(n) < strange, draws.random(n) * 0.01, draws.random(n))
    log_prob = -40 + 3 * draws.standard_normal(n) - 300 * strange * (p < 0.01)
    row[layout.columns["seen"]], row[layout.columns["scored"]] = seen, n
    row[layout.columns["log_prob_sum"]] = fixed_sum(log_prob).sum()
    row[layout.columns["log_prob_square_sum"]] = fixed_square(log_prob).sum()
    row[layout.columns["p_le"]] = [(p <= alpha).sum() for alpha in points.ALPHAS]
    row[layout.columns["pit"]] = draws.integers(0, 2 * n // 20 + 2, layout.shapes["pit"])
    return row


def _alert(stream: str, name: str, opened_ms: int, end_ms: int) -> Alert:
    return Alert(
        id="a-1",
        stream=stream,
        rule="drift",
        slicing="station",
        slice=name,
        state="open",
        opened_pane_ms=opened_ms,
        pane_start_ms=end_ms - PANE_MS,
        pane_end_ms=end_ms,
        statistic=1234.5,
        threshold=1000.0,
        evidence="e-value",
        model_id="model-one",
        blame=[Blame(feature="TEMP", weight=0.6), Blame(feature="DEWP", weight=0.3)],
        summary=f"{name}: has drifted.",
    )


def _others(config: Config, panes: int) -> list[Point]:
    end = START_MS + panes * PANE_MS
    alert = _alert(config.stream, DRIFTED, START_MS + panes // 2 * PANE_MS, end)
    gates = {"calibration": {"passed": True, "says": "1.2 % of held-out events"}}
    bad = {"likelihood": {"passed": False, "says": "-3 nats an event"}}
    notices = [("model-one", "promoted", gates), ("model-two", "promoted", gates), ("refused-1", "refused", bad)]
    made = points.alert_points([alert])
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
    counts = {"received": 10, "windowed": 7, "late": 1, "rejected": 1, "duplicate": 1}
    made += [point for p in range(2) for point in points.counters_points(config, p, [(end, counts, 0)])]
    return made
