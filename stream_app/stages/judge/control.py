"""The control over slices: which of many e-detectors are rejected, at an error that does not grow with their number.

An *e-detector* of a stream (Shin, Ramdas & Rinaldo, arXiv 2203.03532) is an adapted process M with E[M_τ] ≤ E[τ] for
every stopping time τ, as long as the stream does not change: a Shiryaev–Roberts sum, or a weighted mean of them. It is
no e-value: its expectation grows by 1 with every pane, so that e-BH on it would control nothing. Whatever raises an
alarm after a finite time on average has a false discovery rate of 1 in the worst case; what can be had is a bound of
the *error over patience*, for all stopping times τ at once

    E[FDP_τ] ≤ α · E[τ],   FDP_τ = false rejections at τ / max(rejections at τ, 1).

e-d-BH gives it (Dandapanthula & Ramdas, arXiv 2501.04130), however the streams depend on each other: of K e-detectors
with shares w that add up to 1 at most, reject those with w·M ≥ 1 / (α k), for the largest k for which there are k of
them. For with R rejections, FDP_τ = Σ 1{i rejected} / max(R, 1) ≤ Σ α w_i M_i(τ) over the streams i that have not
changed, and the expectation of that is α E[τ] at most. Where nothing changes at all FDP is 1 as soon as one is
rejected, so that the first rejection comes after 1/α panes or more on average.

A stream that was rejected counts on with the value that it had then: a stopped e-detector is one.

**How often.** What is rejected leaves the sum Σ w·M, and begins anew when its incident is over; the sum grows by 1 a
pane on average at most. Each set that is rejected takes 1/α or more out of it, so that such sets come at α a pane at
most. Where those that share a cause make one incident, they have to be k on their own (:func:`openings`): then each
*incident* takes 1/α, and false incidents come at α a pane at most, however causes are told apart and streams depend.

With equal shares one stream alone is rejected at M ≥ K/α, as Bonferroni has it (which bounds the *number* of false
rejections by α a pane), and many that change together from 1/α on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowlib.table import Floats

Bools = npt.NDArray[np.bool_]


def rejected(weighted: Floats, alpha: float, already: int = 0) -> Bools:
    """e-d-BH: which of m e-detectors are rejected.

    Args:
        weighted: ``(m,)`` each one's statistic times its share of the promise; the shares of all, those that are
            rejected already included, add up to 1 at most. Those that are not given count as not rejected.
        alpha: the error over patience, a pane.
        already: how many others count as rejected, whatever their statistics.

    Returns:
        ``(m,)`` those with ``weighted >= 1 / (alpha · k)``, for the largest k for which ``k - already`` of them have
        that much; none where there is no such k.
    """
    largest_first = np.sort(weighted)[::-1]
    k = already + np.arange(1, len(weighted) + 1)
    enough = np.flatnonzero(largest_first * (alpha * k) >= 1.0)
    if not len(enough):
        return np.zeros(len(weighted), dtype=np.bool_)
    return np.asarray(weighted >= largest_first[enough[-1]], dtype=np.bool_)


def openings(weighted: Floats, causes: Sequence[str], alpha: float) -> Bools:
    """Which of m e-detectors that are in no incident open one: e-d-BH among those that share a cause.

    Args:
        weighted: ``(m,)`` see :func:`rejected`.
        causes: ``m`` names; each of them makes one incident, so that ``alpha`` a pane are false, at most.
        alpha: false incidents a pane.

    Returns:
        ``(m,)``
    """
    named, found = np.array(causes, dtype=object), np.zeros(len(weighted), dtype=np.bool_)
    for cause in set(causes):
        found[named == cause] = rejected(weighted[named == cause], alpha)
    return found
