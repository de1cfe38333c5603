"""Series that begin and end at times of their own: which of them a first model can know, and which have no past at all.

>>> import numpy as np
>>> lives = lives_of(np.arange(6), np.array([0, 0, 1, 1, 1, 2]), 3)
>>> lives.begun, lives.series, round(lives.share, 2), round(lives.later, 2)
(2, 3, 0.83, 0.67)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.table import Ints
from stream_app.setup.times import NONE

SHARES = (0.3, 0.5, 0.7)
"""Of the time that events span, the first part trains where nobody says up to when: the first share that suffices."""
KNOWN = 0.5
"""Share of the rows whose series have begun from which on a share of the time suffices."""
_RETURNS = 0.05
"""Below this share of later rows whose value was there before, no value comes back."""


@dataclass(frozen=True, slots=True)
class Lives:
    """What has begun before a time.

    Attributes:
        begun, series: how many series have, of how many.
        share: of all rows, those of series that have begun.
        later: of the rows from then on, those of such series; 1 where there are none.
    """

    begun: int
    series: int
    share: float
    later: float


def lives_of(times: Ints, codes: Ints, until_ms: int) -> Lives:
    """What has begun before ``until_ms``; ``times`` and ``codes``: ``(n,)`` of the rows, a number for each series."""
    good = (times != NONE) & (codes >= 0)
    t, c = times[good], codes[good]
    begun = np.unique(c[t < until_ms])
    known, after = np.isin(c, begun), t >= until_ms
    later = float(known[after].mean()) if after.any() else 1.0
    return Lives(len(begun), len(np.unique(c)), float(known.mean()) if len(c) else 1.0, later)


def ends_of(times: Ints) -> list[int]:
    """Where each of :data:`SHARES` of the time ends, in ms."""
    good = times[times != NONE]
    first, last = int(good.min()), int(good.max())
    return [first + round(share * (last - first)) for share in SHARES]


def only_passes(times: Ints, codes: Ints) -> bool:
    """Whether the values of a field come one after the other, and none comes back: watched each by itself, none would
    have a past to be compared with. ``times`` and ``codes``: ``(n,)`` of the rows.
    """
    good = (times != NONE) & (codes >= 0)
    return bool(good.any()) and all(lives_of(times, codes, end).later <= _RETURNS for end in ends_of(times))
