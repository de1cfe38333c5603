"""A store with windows of one model: what it has called strange on each slice and day."""

from __future__ import annotations

import numpy as np

from flowlib.table import DAY_MS
from stream_app.config import Config
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.outputs import Point

DAYS = 12
PANES = 4


def store_windows(config: Config, model_id: str, slicing: str, rates: dict[str, float], events: int = 400) -> None:
    """Write windows of each slice, whose events are strange at a rate of its own; as the sink writes them."""
    rng = np.random.default_rng(5)
    points = []
    for name, rate in rates.items():
        for pane in range(DAYS * PANES):
            strange = int(rng.binomial(events, rate))
            fields = (
                ("seen", events + 1),
                ("scored", events),
                ("unscorable", 1),
                ("model_id", model_id),
                ("log_prob_mean", -3.0 - 10 * rate + 0.01 * float(rng.standard_normal())),
                ("p_le_01", strange),
            )
            tags = (("slice", name), ("slicing", slicing), ("span", "pane"), ("stream", config.stream))
            points.append(Point("windows", tags, (pane + 1) * DAY_MS // PANES, fields))
    sink = SQLiteSink(config.path(config.sink.path))
    sink.write(points)
    sink.close()
