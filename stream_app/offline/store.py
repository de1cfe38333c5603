"""What a run without a broker leaves in the configured sink, which is bounded: windows of old panes are thinned out.

A worker writes the windows of each slice and span once a pane, as time goes by. Of years that are gone through in
seconds nobody looks at every hour: the newest panes are there one by one, those before in steps that double.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from stream_app.config import Config
from stream_app.models.registry import Registry
from stream_app.sinks import make_sink
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Block, Point, Points
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import model_point

RECENT_PANES = 250
"""Newest panes whose windows are all stored; before them as many are for each doubling of how long the run is."""
RECENT_MS, ROWS_MAX = 15 * 86_400_000, 50_000
"""So much time has all its panes too, the last whole week and the one before for the weekly report, as long as their
windows are no more rows than this."""
ANOMALIES = 5_000
"""Strange events that are stored whenever they were; those beyond are where their pane is."""

_DRAIN_S = 600.0


class Thinned:
    """Lets points through; windows, counters and the strange events beyond some only of panes that are stored.

    Args:
        pane_ms: length of a pane.
    """

    def __init__(self, pane_ms: int) -> None:
        self._pane_ms = pane_ms
        self._waiting: dict[int, list[Point | Block]] = {}
        self._order: list[int] = []
        self._rows, self._recent = 0, -(-RECENT_MS // pane_ms)
        self._gone, self._anomalies = 0, 0

    def take(self, points: Points) -> Points:
        """What is to be stored now."""
        out = Points()
        for part in points.parts:
            end_ms = self._pane_of(part)
            if end_ms is None:
                out += [part]
                continue
            if end_ms not in self._waiting:
                self._waiting[end_ms] = []
                heapq.heappush(self._order, end_ms)
            self._waiting[end_ms].append(part)
            self._rows += _rows(part)
        while len(self._order) > RECENT_PANES and (len(self._order) > self._recent or self._rows > ROWS_MAX):
            end_ms = heapq.heappop(self._order)
            parts = self._waiting.pop(end_ms)
            self._rows -= sum(map(_rows, parts))
            if end_ms // self._pane_ms % self._step == 0:
                out += parts
            self._gone += 1
        return out

    def rest(self) -> Points:
        """The newest panes, once the run is over."""
        out = Points()
        for end_ms in sorted(self._order):
            out += self._waiting.pop(end_ms)
        self._order.clear()
        return out

    def _pane_of(self, part: Point | Block) -> int | None:
        """End of the pane that decides whether a part is stored; None for one that always is."""
        if isinstance(part, WindowBlock):
            return part.first_end_ms
        if not isinstance(part, Point) or part.measurement not in ("counters", "anomalies"):
            return None
        if part.measurement == "anomalies":
            self._anomalies += 1
            if self._anomalies <= ANOMALIES:
                return None
        return -(-part.time_ms // self._pane_ms) * self._pane_ms

    @property
    def _step(self) -> int:
        """Of so many old panes one is stored."""
        return 1 << (self._gone // RECENT_PANES).bit_length()


def _rows(part: Point | Block) -> int:
    return len(part) if isinstance(part, WindowBlock) else 1


class Store:
    """Where the points of a run go.

    Args:
        config: the stream.
        spool: of its sink.
        whole: nothing is thinned out.
    """

    def __init__(self, config: Config, spool: Spool, whole: bool) -> None:
        self._config, self._spool = config, spool
        self._thinned = None if whole else Thinned(int(config.windows.pane))

    def add_models(self, model_ids: set[str]) -> None:
        """What was decided about models, for those who look: nothing of one that the registry has no notice of."""
        notices = [notice for notice in Registry(self._config).notices() if notice.model_id in model_ids]
        self._append(Points(map(model_point, notices)))

    def take(self, points: Points) -> None:
        """Points of the run, in order; raises SinkError."""
        self._append(self._thinned.take(points) if self._thinned else points)

    def finish(self) -> None:
        """The run is over."""
        if self._thinned:
            self._append(self._thinned.rest())

    def _append(self, points: Points) -> None:
        if points.parts:
            self._spool.append(points.parts)


@contextmanager
def store_of(config: Config, err: Console, whole: bool = False) -> Iterator[Store]:
    """The configured sink, ``whole`` without thinning; what it was given has been written when the block ends.

    Raises:
        SinkError: the spool or the sink cannot be opened, or the spool cannot be written.
    """
    spool = Spool(config.path(config.sink.spool), config.sink.spool_max_points)
    try:
        drainer = Drainer(spool, make_sink(config))
        drainer.start()
        try:
            yield Store(config, spool, whole)
            if not drainer.drain(_DRAIN_S):
                why = drainer.state.error or "the sink takes none now"
                waiting = f"{len(spool):,} points wait in {spool.path}, the next run hands them on: {why}"
                err.print(waiting, markup=False, soft_wrap=True)
        finally:
            drainer.stop()
    finally:
        spool.close()
