"""The points of final panes and of the windows that end with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from flowlib.table import Floats, Ints
from stream_app.config import Config
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.outputs import Point
from stream_app.stages.points import PaneWindows, window_points
from stream_app.stages.windows import span_name


def windows(
    config: Config, panes: SlicingPanes, spans: Iterable[int], rows: Ints, notices: Mapping[str, Floats]
) -> list[list[Point]]:
    """Points of each pane itself and of every rolling window that ends with it, pane by pane.

    Args:
        config: the stream.
        panes: n final panes, m cells.
        spans: those of the windows, ms.
        rows: ``(s + 1, m, 16)`` of :meth:`SlicingWindows.enter`.
        notices: the smallest shift that each cell's slice shows in some time; part of the longest span's points.
    """
    pane_ms, edges = int(config.windows.pane), panes.edges
    ends = [start + pane_ms for k, start in enumerate(panes.starts_ms) for _ in range(edges[k], edges[k + 1])]
    names = ["pane", *(span_name(span) for span in spans)]
    points = window_points(config, PaneWindows(panes.slicing, ends, panes.names, panes.models, names, rows, notices))
    of_spans = range(0, len(points), max(len(ends), 1))
    return [[point for first in of_spans for point in points[first + a : first + b]] for a, b in pairwise(edges)]
