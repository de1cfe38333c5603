"""river's detectors on the mean surprise of each pane, for those who want them: the statistic is 1 from a detection on,
for ``hold`` panes, else 0. They make no evidence and promise no run length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flowlib.table import Floats, Ints
from schemas.evidence import CAUSES_MAX, FIGURES, EvidenceColumns
from schemas.pane_layout import UNIT, PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.stages.detection.causes import NUMBERS, Found, Stack
from stream_app.stages.detection.detectors import GroupSums, Part
from stream_app.stages.detection.detectors.adwin import adwin
from stream_app.stages.detection.detectors.kswin import kswin
from stream_app.stages.detection.detectors.page_hinkley import page_hinkley

MAKERS = {"adwin": adwin, "page_hinkley": page_hinkley, "kswin": kswin}
"""Name in the configuration to what makes a detector of the rule's options."""

_KEPT_MAX, _KEPT_AFTER_CUT = 1_024, 512


def make_ready(config: Config) -> None:
    """Import what the rules need of river, where they need it: that takes a second, and a pane should not."""
    for rule in config.rules.values():
        if (name := rule.detectors[0]) in MAKERS:
            MAKERS[name](rule.options)


class PaneStatistic:
    """State of a rule with one of river's detectors."""

    groups = everywhere = False

    def __init__(self, config: Config, rule: RuleConfig, layout: PaneLayout) -> None:
        self._rule, self._layout, self._name = rule, layout, rule.detectors[0]
        self._pane_ms = int(config.windows.pane)
        self._hold = int(rule.options.get("hold", 8))
        # A detector's own state is kept as the values it has seen, at most 1,024: fed again they rebuild it exactly,
        # with nothing unpickled.
        self._seen: dict[int, list[float]] = {}
        self._made: dict[int, Any] = {}
        self._left: dict[int, int] = {}
        self._since: dict[int, int] = {}
        self._events: dict[int, int] = {}
        self._followed: set[int] = set()
        self._slices = 0

    @property
    def followed(self) -> Ints:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        return np.array(sorted(self._followed), dtype=np.int64)

    def update(
        self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, panes: int | None = None
    ) -> Iterator[bool]:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        self._slices = slices
        if panes is None:
            panes = max((len(part.spans) for part in (*parts, *everywhere)), default=1)
        for pane in range(panes):
            self._events = {}
            for part in parts:
                self._take(part, *part.spans[pane])
            yield bool(self._followed) or any(left > 0 for left in self._left.values())

    def release(self) -> None:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""

    def group_sums(self) -> list[GroupSums | None]:
        """See :class:`~stream_app.stages.watch.judging.RuleState`: none."""
        return []

    def _take(self, part: Part, first: int, end: int) -> None:
        rows, slices = part.rows[first:end], part.slices[first:end]
        scored, seen = self._layout.get(rows, "scored"), self._layout.get(rows, "seen")
        total = self._layout.get(rows, "base")[:, -1] / UNIT
        for k in np.flatnonzero(scored > 0).tolist():
            i, start_ms = int(slices[k]), int(part.start_ms[first + k])
            self._events[i] = self._events.get(i, 0) + int(seen[k])
            self._feed(i, float(total[k] / scored[k]))
            if self._left[i] <= 0:
                self._since[i] = start_ms + self._pane_ms
            else:
                self._since.setdefault(i, start_ms)

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
        """1 for each slice ``(slices,)`` for some time from a detection on, else 0."""
        out = np.zeros(self._slices)
        for i, left in self._left.items():
            out[i] = float(left > 0)
        return out

    def settle(self) -> Found:
        """See :class:`~stream_app.stages.watch.judging.RuleState`: it has one thing to say."""
        statistics = self.statistics()
        loud = {*np.flatnonzero(statistics > 0).tolist()}
        numbers = np.array(sorted(loud | self._followed), dtype=np.int64)
        self._followed = loud
        stack = Stack(self._columns(numbers, statistics[numbers]))
        return Found(numbers, lambda: stack)

    def _columns(self, numbers: Ints, statistic: Floats) -> EvidenceColumns:
        shape = len(numbers), CAUSES_MAX
        first = np.arange(CAUSES_MAX) == 0
        return EvidenceColumns(
            statistic=statistic,
            remaining=statistic,
            since_ms=np.array([self._since[i] for i in numbers.tolist()], dtype=np.int64),
            events=np.array([self._events.get(i, 0) for i in numbers.tolist()], dtype=np.int64),
            detector=np.broadcast_to(np.where(first, NUMBERS[self._name], -1), shape),
            channel=np.zeros(shape, dtype=np.int64),
            weight=np.broadcast_to(np.where(first, 1.0, 0.0), shape),
            odds=np.broadcast_to(np.where(first, 1.0, 0.0)[:, None], (*shape, 1)),
            figures=np.full((*shape, len(FIGURES)), np.nan),
        )

    def keep(self, numbers: Ints) -> None:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        place = {old: new for new, old in enumerate(numbers.tolist())}
        self._seen = {place[i]: values for i, values in self._seen.items() if i in place}
        self._left = {place[i]: left for i, left in self._left.items() if i in place}
        self._since = {place[i]: since for i, since in self._since.items() if i in place}
        self._made, self._events = {}, {}
        self._followed = {place[i] for i in self._followed if i in place}
        self._slices = len(numbers)

    def restart(self, numbers: Ints) -> None:
        """See :class:`~stream_app.stages.watch.judging.RuleState`: what river's remember is of no reference."""

    def to_state(self) -> Any:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        return {
            "seen": list(self._seen.items()),
            "left": list(self._left.items()),
            "since": list(self._since.items()),
            "followed": sorted(self._followed),
            "slices": self._slices,
        }

    def restore(self, state: Any) -> None:
        """See :class:`~stream_app.stages.watch.judging.RuleState`."""
        self._seen = {i: list(values) for i, values in state["seen"]}
        self._left, self._since = dict(state["left"]), dict(state["since"])
        self._followed, self._slices, self._made = {*state["followed"]}, state["slices"], {}
