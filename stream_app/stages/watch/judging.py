"""What the rules remember of slices, and where these stand in the models' references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.config.promise import floor
from stream_app.config.registries import DETECTOR_OPTIONS
from stream_app.stages.detection.causes import Found
from stream_app.stages.detection.detectors import GroupSums, Part
from stream_app.stages.detection.mixture import Mixture
from stream_app.stages.detection.pane_statistic import PaneStatistic
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.watch.noticing import DAYS, smallest
from stream_app.stages.windows import SlicingWindows

References = Mapping[str, Sequence[Reference]]
"""Model id to what is normal under it, for each slicing."""


class RuleState(Protocol):
    """What a rule remembers of the slices of one slicing, by number."""

    groups: bool
    """Whether it has a word for the sums over many slices."""
    everywhere: bool
    """Whether it looks at slices without events too."""

    @property
    def followed(self) -> Ints:
        """Numbers of the slices that it has found, and that are not over."""

    def update(
        self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, panes: int | None = None
    ) -> Iterator[bool]:
        """Take panes in, one at each step; False where :meth:`settle` has then nothing to say. See
        :meth:`Mixture.update`.
        """

    def release(self) -> None:
        """Nothing more is asked of the panes that were taken in."""

    def group_sums(self) -> list[GroupSums | None]:
        """Sums over the ordinary slices of each model's part; see :meth:`Mixture.group_sums`."""

    def settle(self) -> Found:
        """What it says of slices in the pane taken in last; see :meth:`Mixture.settle`."""

    def keep(self, numbers: Ints) -> None:
        """Only slices of these numbers stay, ascending: they are numbered anew from 0 on."""

    def restart(self, numbers: Ints) -> None:
        """The evidence of slices begins anew: another model says what is normal of them."""

    def to_state(self) -> Any:
        """Plain values and arrays for a snapshot."""

    def restore(self, state: Any) -> None:
        """Take a state of :meth:`to_state` back."""


def rule_state(config: Config, name: str, layout: PaneLayout) -> RuleState:
    """A rule before the first pane."""
    rule = config.rules[name]
    if rule.detectors[0] in DETECTOR_OPTIONS:
        return PaneStatistic(config, rule, layout)
    return Mixture(config, rule, layout, floor(config, name))


MODELS_MAX = 8
"""Models whose rows are remembered; of one that comes again they are looked up again."""


class Known:
    """Which row of each model's reference belongs to each slice of a slicing; looked up once."""

    def __init__(self, slicing: int) -> None:
        self._slicing = slicing
        self._rows: dict[str, Ints] = {}
        self._notices: dict[str, dict[str, Floats]] = {}

    def forget(self) -> None:
        """Look all slices up again: they have other numbers."""
        self._rows, self._notices = {}, {}

    def rows(self, model_id: str, reference: Reference, names: Sequence[str]) -> Ints:
        """``(m,)`` for all m slices by number."""
        have = self._rows.get(model_id, np.zeros(0, dtype=np.int64))
        if len(have) < len(names):
            self._make_room(model_id)
            have = self._rows[model_id] = np.concatenate([have, reference.index(names[len(have) :])])
        return have

    def _make_room(self, model_id: str) -> None:
        """Forget the model that was met first where there would be too many: a stream has a new one every month."""
        while model_id not in self._rows and len(self._rows) >= MODELS_MAX:
            oldest = next(iter(self._rows))
            del self._rows[oldest]
            self._notices.pop(oldest, None)

    def notices(
        self, config: Config, panes: SlicingPanes, numbers: Ints, windows: SlicingWindows, references: References
    ) -> dict[str, Floats]:
        """The smallest shift that the slice of each cell ``(m,)`` shows in some time, under its model; sd."""
        out = {f"smallest_shift_{name}": np.full(len(numbers), np.inf) for name in DAYS}
        for model_id in set(panes.models):
            reference = references[model_id][self._slicing]
            known = self.rows(model_id, reference, list(windows.index))
            of_all = self._notices.get(model_id) or {name: np.zeros(0) for name in DAYS}
            if new := len(known) - len(of_all["day"]):
                more = smallest(config, reference, known[-new:])
                of_all = {name: np.concatenate([of_all[name], more[name]]) for name in DAYS}
                self._notices[model_id] = of_all
            here = np.array([model == model_id for model in panes.models], dtype=bool)
            for name in DAYS:
                out[f"smallest_shift_{name}"][here] = of_all[name][numbers[here]]
        return out

    def parts(
        self,
        layout: PaneLayout,
        panes: SlicingPanes,
        numbers: Ints,
        windows: SlicingWindows,
        references: References,
        silent: bool,
    ) -> tuple[list[Part], list[Part]]:
        """The panes model by model, and all known slices in each pane model by model, those without events with blank
        rows; none of these where nobody looks at the ``silent`` ones.
        """
        names, n, s = list(windows.index), len(panes.starts_ms), len(windows.index)
        starts = np.array(panes.starts_ms, dtype=np.int64)
        pane = np.repeat(np.arange(n), np.diff(panes.edges))

        def part(model_id: str, at: Ints, slices: Ints, rows: Ints, edges: Sequence[int]) -> Part:
            reference = references[model_id][self._slicing]
            known = self.rows(model_id, reference, names)[slices]
            return Part(layout, starts[at], reference, known, slices, rows, edges)

        parts = [part(own.model_id, pane[own.at], numbers[own.at], own.rows, own.edges) for own in panes.parts]
        if not silent:
            return parts, []
        everything = panes.rows
        if len(everything) != n * s or (numbers.reshape(n, s) != np.arange(s)).any():
            everything = layout.blank(n * s)
            everything[pane * s + numbers] = panes.rows
        everywhere, models = [], sorted(set(windows.model))
        for model_id in models:
            slices = np.array([i for i, of in enumerate(windows.model) if of == model_id], dtype=np.int64)
            edges = list(range(0, n * len(slices) + 1, len(slices)))
            k, slices = np.repeat(np.arange(n), len(slices)), np.tile(slices, n)
            rows = everything if len(models) == 1 else everything[k * s + slices]
            everywhere.append(part(model_id, k, slices, rows, edges))
        return parts, everywhere
