"""The points of final panes and of the windows that end with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from flowlib.table import Floats, Ints
from stream_app.config import Config
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.outputs import Points
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import PaneWindows
from stream_app.stages.windows import span_name


def windows(
    config: Config, panes: SlicingPanes, spans: Iterable[int], rows: Ints, notices: Mapping[str, Floats]
) -> list[Points]:
    """Points of each pane itself and of every rolling window that ends with it, pane by pane.

    Args:
        config: the stream.
        panes: n final panes, m cells.
        spans: those of the windows, ms.
        rows: ``(s + 1, m, 16)`` of :meth:`SlicingWindows.enter`.
        notices: the smallest shift that each cell's slice shows in some time; part of the longest span's points.
    """
    names = ["pane", *(span_name(span) for span in spans)]
    made = []
    for k, (a, b) in enumerate(pairwise(panes.edges)):
        ends = [panes.starts_ms[k] + int(config.windows.pane)] * (b - a)
        own = {name: values[a:b] for name, values in notices.items()}
        of_pane = PaneWindows(panes.slicing, ends, panes.names[a:b], panes.models[a:b], names, rows[:, a:b], own)
        made.append(Points(WindowBlock.of(config.stream, of_pane)))
    return made
