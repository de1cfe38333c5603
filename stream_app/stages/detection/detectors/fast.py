"""Deviations and the evidence of moments in C++ (``native/panes``), to the bits of the form in NumPy; what follows from
a reference alone is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np

from flowlib.reference.reference import LAMBDAS, VARIES, Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import UNIT, PaneLayout

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

_T = TypeVar("_T")
ZONE = 0.1
"""Changes of a mean below so many standard deviations of one event are nobody's business."""

_BETS, _UNITS = np.array(LAMBDAS), np.array([float(UNIT)])


def is_there() -> bool:
    """Whether it was built."""
    return _panes is not None


def once(reference: Reference, name: str, make: Callable[[Reference], _T]) -> _T:
    """What ``make`` gives of a reference; kept with it under a name."""
    kept = reference.worked_out
    if name not in kept:
        kept[name] = make(reference)
    made: _T = kept[name]
    return made


def slack(reference: Reference) -> Floats:
    """``(s + 1, c)`` by how much sums may be off without any bet gaining, per event."""
    return once(reference, "slack", lambda of: ZONE + 2.0 * of.standard_error)


def deviations(reference: Reference, layout: PaneLayout, rows: Ints, known: Ints) -> tuple[Floats, Floats]:
    """See :attr:`Part.deviations`."""
    ready = np.ascontiguousarray
    shape = len(rows), reference.inflation.shape[1]
    n, deviation = np.empty(shape), np.empty(shape)
    normal = once(reference, "normal", _normal)
    _panes.deviate(ready(rows), ready(known), _places(layout), normal, _UNITS, n, deviation)
    return n, deviation


def moments(
    reference: Reference, known: Ints, n: Floats, deviation: Floats, place: tuple[int, int], used: tuple[int, ...]
) -> tuple[Floats, Bools]:
    """See :meth:`Part.moments`; ``place``: the first channel, and how many."""
    shape = len(n), place[1]
    log_e, news = np.empty((*shape, 2 * len(used))), np.empty(shape, dtype=bool)
    figures = once(reference, f"moments {used}", lambda of: _figures(of, used))
    _panes.moments(n, deviation, np.ascontiguousarray(known), np.array([*place, n.shape[1]]), *figures, log_e, news)
    return log_e, news


def _figures(reference: Reference, used: tuple[int, ...]) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Some bets, their cumulants upward and downward, slack and inflation."""
    up, down = (np.ascontiguousarray(reference.cumulants[:, side][:, list(used)]) for side in (0, 1))
    return _BETS[list(used)], up, down, slack(reference), np.ascontiguousarray(reference.inflation)


def _normal(reference: Reference) -> tuple[Any, ...]:
    """What ``native/panes`` takes of it, in its order."""
    normal = reference.normal()
    figures = normal.mean, normal.sd, normal.product, normal.square_sd, normal.product_sd
    return tuple(np.ascontiguousarray(one) for one in (normal.pairs, reference.kind == VARIES, *figures))


@cache
def _places(layout: PaneLayout) -> Ints:
    """Where the columns begin that ``native/panes`` makes deviations of, in its order."""
    return np.array([layout.columns[name].start for name in ("missing", "scored", "base", "square", "product")])
