"""river's detectors on the mean surprise of each pane, for those who want them: the statistic is 1 from a detection on,
for ``hold`` panes, else 0. They make no evidence and promise no run length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flowlib.table import Floats
from schemas.pane_layout import UNIT, PaneLayout
from stream_app.config import RuleConfig
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.detectors.adwin import adwin
from stream_app.stages.detection.detectors.kswin import kswin
from stream_app.stages.detection.detectors.page_hinkley import page_hinkley
from stream_app.stages.detection.mixture import Cause, Said

MAKERS = {"adwin": adwin, "page_hinkley": page_hinkley, "kswin": kswin}
"""Name in the configuration to what makes a detector of the rule's options."""

_KEPT_MAX, _KEPT_AFTER_CUT = 1_024, 512


class PaneStatistic:
    """State of a rule with one of river's detectors."""

    def __init__(self, rule: RuleConfig, layout: PaneLayout) -> None:
        self._rule, self._layout, self._name = rule, layout, rule.detectors[0]
        self._hold = int(rule.options.get("hold", 8))
        # A detector's own state is kept as the values it has seen, at most 1,024: fed again they rebuild it exactly,
        # with nothing unpickled.
        self._seen: dict[int, list[float]] = {}
        self._made: dict[int, Any] = {}
        self._left: dict[int, int] = {}
        self._slices = 0

    def update(self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, grouped: bool) -> Iterator[bool]:
        """See :class:`~stream_app.stages.watch.judging.RuleState`: whatever it is asked may have an answer."""
        self._slices = slices
        for pane in range(max((len(part.spans) for part in (*parts, *everywhere)), default=1)):
            for part in parts:
                self._take(part, *part.spans[pane])
            yield True

    def _take(self, part: Part, first: int, end: int) -> None:
        rows, slices = part.rows[first:end], part.slices[first:end]
        scored = self._layout.get(rows, "scored")
        total = self._layout.get(rows, "base")[:, -1] / UNIT
        for i in np.flatnonzero(scored > 0).tolist():
            self._feed(int(slices[i]) + 1, float(total[i] / scored[i]))

    def _feed(self, i: int, value: float) -> None:
        seen = self._seen.setdefault(i, [])
        seen.append(value)
        if len(seen) > _KEPT_MAX:
            del seen[:-_KEPT_AFTER_CUT]
            self._made[i] = self._rebuild(seen[:-1])
        if i not in self._made:
            self._made[i] = self._rebuild(seen[:-1])
        self._made[i].update(value)
        self._left[i] = self._hold if self._made[i].drift_detected else max(self._left.get(i, 0) - 1, 0)

    def _rebuild(self, values: list[float]) -> Any:
        made = MAKERS[self._name](self._rule.options)
        for value in values:
            made.update(value)
        return made

    def statistics(self) -> Floats:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        out = np.zeros(self._slices + 1)
        for i, left in self._left.items():
            out[i] = float(left > 0)
        return out

    def settle(self, why: Mapping[int, bool]) -> dict[int, Said]:
        """See :class:`~stream_app.stages.watch.judging.RuleState`: it has one thing to say."""
        statistics = self.statistics()
        loud = {*np.flatnonzero(statistics >= self._rule.open).tolist()}
        said = {}
        for i in loud | why.keys():
            statistic, asks = float(statistics[i]), why.get(i, True)
            over = statistic < self._rule.resolve
            if asks or over:
                said[i] = Said(statistic, statistic, False, self.causes(i) if asks and not over else [])
        return said

    def causes(self, i: int) -> list[Cause]:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        return [Cause(self._name, (), 1.0, f"{self._name}: the mean surprise of the panes has moved")]

    def to_state(self) -> Any:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        return {"seen": list(self._seen.items()), "left": list(self._left.items()), "slices": self._slices}

    def restore(self, state: Any) -> None:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        self._seen = {i: list(values) for i, values in state["seen"]}
        self._left, self._slices, self._made = dict(state["left"]), state["slices"], {}
