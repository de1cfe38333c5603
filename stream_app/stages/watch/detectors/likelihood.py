"""e-detector over the p-values of a slice: has their law moved away from uniform?

Each p-value feeds bets ``1 + ε(p − ½)``, fair when p is uniform. Within a block of panes the bets are averaged
geometrically: by Hölder's inequality the result has expectation at most 1 *whatever the dependence inside the block*,
which is what autocorrelated streams need. Blocks enter a Shiryaev-Roberts e-detector, ``R ← (R + 1)·L``, mixed over
the grid of ε. If nothing changes and blocks are conditionally valid, the mean number of blocks to an alarm at level A
is at least A (Shin, Ramdas & Rinaldo, "E-detectors", arXiv 2203.03532, Theorem 2.4 there).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowlib.table import Floats
from schemas.pane_layout import BETS, PaneLayout
from stream_app.config import Duration, RuleConfig
from stream_app.stages.watch.detectors.base import PaneView, SliceArrays

_LOG_CEILING = 200.0
"""Statistics are capped at e²⁰⁰: beyond that nobody reads the difference, and floats stay finite."""


class LikelihoodDetector:
    """Options: ``block_hours``, time over which dependence is allowed for (default 24); ``tail``, which side to bet on:
    −1 events less likely than they should be, +1 more likely (stuck sensors, say), 0 both (default).
    """

    options = frozenset({"block_hours", "tail"})
    evidence = "e-value"

    def __init__(self, layout: PaneLayout, rule: RuleConfig, pane: Duration) -> None:
        self._layout = layout
        self._block_ms = max(int(rule.options.get("block_hours", 24.0) * 3_600_000), int(pane))
        tail = rule.options.get("tail", 0.0)
        # Small p, the strange side, pays the negative ε.
        self._bets = np.array([tail == 0 or np.sign(bet) == np.sign(tail) for bet in BETS])
        # log(R + 1) rather than log R: a slice never seen before then starts at zero, R = 0.
        self._state = SliceArrays(log_r1=len(BETS), sums=len(BETS), count=1, block=1)

    def update(self, view: PaneView) -> Floats:
        """See :class:`Detector`. The statistic is the mixture e-value R."""
        state, index = self._state, view.slices
        state.grow(int(index.max(initial=-1)) + 1)
        for name in ("log_r1", "sums", "count"):
            state[name][index[view.fresh]] = 0.0
        now = view.start_ms // self._block_ms
        self._finish_block(index[(state["count"][index, 0] > 0) & (state["block"][index, 0] != now)])
        state["block"][index] = now
        state["sums"][index] += self._layout.log_bets(view.rows)
        state["count"][index, 0] += self._layout.get(view.rows, "scored")
        # Contiguous rows are summed one like the other, so that a slice's value does not depend on its neighbours.
        mixed = np.ascontiguousarray(state["log_r1"][index][:, self._bets])
        return np.asarray(np.expm1(mixed).mean(axis=1), dtype=np.float64)

    def _finish_block(self, index: Any) -> None:
        state = self._state
        gain = state["sums"][index] / np.maximum(state["count"][index], 1.0)
        state["log_r1"][index] = np.minimum(np.logaddexp(state["log_r1"][index] + gain, 0.0), _LOG_CEILING)
        state["sums"][index] = 0.0
        state["count"][index] = 0.0

    def to_state(self) -> Any:
        """See :class:`Detector`."""
        return self._state.to_state()

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._state.restore(state)
