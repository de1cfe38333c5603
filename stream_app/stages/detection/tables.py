"""Tables of the bets of slices: longer ones, and evidence side by side, of a pane at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Floats, Ints
from stream_app.stages.detection.detectors import Evidence, Part

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

Steps = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Given:
    """Evidence of one part for one run of columns.

    Attributes:
        run: of the columns.
        part: the panes.
        evidence: of each detector of the run.
    """

    run: int
    part: Part
    evidence: list[Evidence]

    def of_rows(self, a: int, b: int) -> list[Evidence]:
        """Of some rows."""
        if b - a == len(self.part.rows):
            return self.evidence
        return [Evidence(of.log_e[a:b], of.news[a:b]) for of in self.evidence]


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


def mixed(steps: Steps, calm: Steps, at: Ints, evidence: list[Evidence], first: int, number: tuple[int, int]) -> bool:
    """Take evidence of slices ``(p,)`` in, in C++; False where that was not built.

    Args:
        steps, calm: ``(slices, w)``, changed in place.
        at: the slices.
        evidence: of detectors whose bets lie one behind the other.
        first: column of the first bet.
        number: of the pane, and the steps up to which a bet says nothing.
    """
    if _panes is None:
        return False
    at, ready = np.ascontiguousarray(at), np.ascontiguousarray
    for of in evidence:
        bets = of.log_e.shape[2]
        place = np.array([steps.shape[1], first, bets, *number], dtype=np.int64)
        _panes.mix(steps, calm, at, place, ready(of.log_e), ready(of.news))
        first += of.news.shape[1] * bets
    return True
