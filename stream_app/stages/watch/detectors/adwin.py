"""ADWIN on the mean log-likelihood of each pane: a step up or down (Bifet & Gavaldà 2007, river's implementation).

The mean is put in units of the model's reference standard deviation, so one setting serves every stream. The statistic
is 1 from a detection on, for ``hold`` panes, else 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from river.drift import ADWIN

from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Duration, RuleConfig
from stream_app.stages.watch.detectors.base import PaneView

_KEPT_MAX = 1024
_KEPT_AFTER_CUT = 512


class AdwinDetector:
    """Options: ``delta`` (confidence, default 0.002), ``hold`` (panes, default 8)."""

    options = frozenset({"delta", "hold"})
    evidence = "step in the mean log-likelihood"

    def __init__(self, layout: PaneLayout, rule: RuleConfig, pane: Duration) -> None:
        self._layout = layout
        self._delta = rule.options.get("delta", 0.002)
        self._hold = int(rule.options.get("hold", 8))
        # ADWIN's own state is kept as the values it has seen, at most 1,024: fed again they rebuild it exactly,
        # with nothing unpickled.
        self._seen: dict[int, list[float]] = {}
        self._adwin: dict[int, Any] = {}
        self._panes_left: dict[int, int] = {}

    def update(self, view: PaneView) -> Floats:
        """See :class:`Detector`."""
        means, _ = self._layout.log_prob_mean_sd(view.rows)
        out = np.zeros(len(view.slices))
        for i, index in enumerate(view.slices.tolist()):
            if view.fresh[i]:
                self._forget(index)
            reference = view.references[i]
            if np.isfinite(means[i]):
                self._feed(index, (float(means[i]) - reference.log_prob_mean) / max(reference.log_prob_sd, 1e-6))
            out[i] = 1.0 if self._panes_left.get(index, 0) > 0 else 0.0
        return out

    def _feed(self, index: int, value: float) -> None:
        seen = self._seen.setdefault(index, [])
        seen.append(value)
        if len(seen) > _KEPT_MAX:
            del seen[:-_KEPT_AFTER_CUT]
            self._adwin[index] = self._rebuild(seen[:-1])
        adwin = self._adwin.get(index)
        if adwin is None:
            adwin = self._adwin[index] = self._rebuild(seen[:-1])
        adwin.update(value)
        self._panes_left[index] = self._hold if adwin.drift_detected else max(self._panes_left.get(index, 0) - 1, 0)

    def _rebuild(self, values: list[float]) -> Any:
        adwin = ADWIN(delta=self._delta, clock=1, grace_period=8, min_window_length=4)
        for value in values:
            adwin.update(value)
        return adwin

    def _forget(self, index: int) -> None:
        for table in (self._seen, self._adwin, self._panes_left):
            table.pop(index, None)

    def to_state(self) -> Any:
        """See :class:`Detector`."""
        return {"seen": list(self._seen.items()), "left": list(self._panes_left.items())}

    def restore(self, state: Any) -> None:
        """See :class:`Detector`."""
        self._seen = {index: list(values) for index, values in state["seen"]}
        self._panes_left = dict(state["left"])
        self._adwin = {}
