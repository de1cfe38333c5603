"""Tables of the bets of slices: longer ones, and evidence side by side, of a pane at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Floats, Ints
from stream_app.stages.detection.detectors import Evidence

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

Steps = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Given:
    """Evidence of some panes for one run of columns.

    Attributes:
        run: of the columns.
        first: its first column.
        looks: whether slices may be found once it is taken in.
        slices: ``(p,)`` of the rows, pane by pane.
        edges: ``(n + 1,)`` where each pane begins among them, and where the last one ends.
        evidence: ``(p, …)`` of each detector of the run.
    """

    run: int
    first: int
    looks: bool
    slices: Ints
    edges: Ints
    evidence: list[Evidence]

    def of_pane(self, k: int) -> tuple[Ints, list[Evidence]]:
        """Slices and evidence of a pane."""
        rows = slice(*self.edges[k : k + 2].tolist())
        return self.slices[rows], [Evidence(of.log_e[rows], of.news[rows]) for of in self.evidence]

    def bare(self) -> tuple[Any, ...]:
        """What ``native/panes`` takes of it."""
        ready, first, found = np.ascontiguousarray, self.first, list[Any]()
        for of in self.evidence:
            bets = of.log_e.shape[2]
            found.append((first, bets, ready(of.log_e), ready(of.news)))
            first += of.news.shape[1] * bets
        return ready(self.slices), self.edges, self.looks, *found


@dataclass(frozen=True, slots=True)
class Table:
    """What a rule remembers of slices, changed in place.

    Attributes:
        steps, calm: ``(slices, w)``.
        seen: ``(slices,)``.
        calm_most: steps up to which a bet says nothing.
        least: steps from which on a slice may be found.
        rest_most: those up to which a bet says nothing where it rests: it loses so little that it stays above the
            others.
    """

    steps: Steps
    calm: Steps
    seen: Bools
    calm_most: int
    least: int
    rest_most: int = 0


def longer(table: Steps, m: int) -> Steps:
    """The first m rows of a table, blank where they are new; with some room behind them, of which nothing is taken
    before it is used.
    """
    room = table.base
    if isinstance(room, np.ndarray) and room.shape[1:] == table.shape[1:] and len(room) >= m:
        return room[:m]
    room = np.zeros((m + m // 4, table.shape[1]), dtype=table.dtype)
    room[: len(table)] = table
    return room[:m]


def joined(evidence: list[Evidence]) -> tuple[Floats, Bools]:
    """Log e-values and news ``(p, w)`` of every bet of some detectors."""
    log_e = [of.log_e.reshape(len(of.log_e), of.news.shape[1] * of.log_e.shape[2]) for of in evidence]
    news = [np.repeat(of.news, of.log_e.shape[2], axis=1) for of in evidence]
    return np.concatenate(log_e, axis=1), np.concatenate(news, axis=1)


def walked(table: Table, given: tuple[Any, ...], numbers: Ints, pane: int, one: bool) -> int:
    """Take evidence in pane by pane, in C++, up to the first pane in which a slice may be found.

    Args:
        given: of the same panes: :meth:`Given.bare`.
        numbers: ``(n,)`` of them.
        pane: the first that is taken in.
        one: no other is.

    Returns:
        The last that was taken in; n where slices are found in none.
    """
    most = table.calm_most, table.rest_most, table.least
    place = np.array([table.steps.shape[1], *most, pane, one], dtype=np.int64)
    return _panes.walk(table.steps, table.calm, table.seen, place, numbers, given)


def is_there() -> bool:
    """Whether the C++ was built."""
    return _panes is not None
