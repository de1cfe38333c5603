"""The rules over a final pane: a verdict for each rule and slice that has something to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.mixture import Cause, Mixture, Said
from stream_app.stages.detection.pane_statistic import PaneStatistic
from stream_app.stages.judge.policy import TOGETHER, Verdict
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.watch.noticing import DAYS, smallest
from stream_app.stages.windows import SlicingWindows

CAUSES_MAX = 3
"""Causes that a verdict names."""

STANDING_MAX = 1_024
"""Rows of a reference that detectors keep what they have worked out of."""

Span = tuple[int, int]
"""Event time ``[start_ms, end_ms)``."""

References = Mapping[str, Sequence[Reference]]
"""Model id to what is normal under it, for each slicing."""


class RuleState(Protocol):
    """What a rule remembers of the slices of one slicing; number 0 is all slices together, the others count from 1."""

    def update(self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, grouped: bool) -> Iterator[bool]:
        """Take panes in, one at each step; False where :meth:`settle` has then nothing to say, unless it is asked. See
        :meth:`Mixture.update`.
        """

    def settle(self, why: Mapping[int, bool]) -> dict[int, Said]:
        """What it says of slices in the pane taken in last, by number; see :meth:`Mixture.settle`."""

    def to_state(self) -> Any:
        """Plain values and arrays for a snapshot."""

    def restore(self, state: Any) -> None:
        """Take a state of :meth:`to_state` back."""


def rule_state(config: Config, rule: RuleConfig, layout: PaneLayout) -> RuleState:
    """A rule before the first pane."""
    if rule.detectors[0] in DETECTOR_OPTIONS:
        return PaneStatistic(rule, layout)
    return Mixture(config, rule, layout)


MODELS_MAX = 8
"""Models whose rows are remembered; of one that comes again they are looked up again."""


class Known:
    """Which row of each model's reference belongs to each slice of a slicing; looked up once."""

    def __init__(self, slicing: int) -> None:
        self._slicing = slicing
        self._rows: dict[str, Ints] = {}
        self._notices: dict[str, dict[str, Floats]] = {}
        self._standings: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = {}

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
            self._standings = {key: value for key, value in self._standings.items() if key[1] != oldest}

    def notices(
        self, config: Config, panes: SlicingPanes, numbers: Ints, windows: SlicingWindows, references: References
    ) -> dict[str, Floats]:
        """The smallest shift that the slice of each cell ``(m,)`` shows in some time, under its model; sd."""
        out = {f"smallest_shift_{name}": np.full(len(numbers), np.inf) for name in DAYS}
        for model_id in set(panes.models):
            reference = references[model_id][self._slicing]
            known = self.rows(model_id, reference, list(windows.index))
            of_all = self._notices.get(model_id)
            if of_all is None or len(of_all["day"]) < len(known):
                of_all = self._notices[model_id] = smallest(config, reference, known)
            here = np.array([model == model_id for model in panes.models], dtype=bool)
            for name in DAYS:
                out[f"smallest_shift_{name}"][here] = of_all[name][numbers[here]]
        return out

    def parts(
        self, layout: PaneLayout, panes: SlicingPanes, numbers: Ints, windows: SlicingWindows, references: References
    ) -> tuple[list[Part], list[Part]]:
        """The panes model by model, and all known slices in each pane model by model, those without events with blank
        rows.
        """
        names, n, s = list(windows.index), len(panes.starts_ms), len(windows.index)
        starts = np.array(panes.starts_ms, dtype=np.int64)
        pane = np.repeat(np.arange(n), np.diff(panes.edges))

        def part(role: str, model_id: str, at: Ints, slices: Ints, rows: Ints, edges: Sequence[int]) -> Part:
            reference = references[model_id][self._slicing]
            known = self.rows(model_id, reference, names)[slices]
            standing = self._standing(role, model_id, known)
            return Part(layout, starts[at], reference, known, slices, rows, edges, standing)

        parts = [part("own", own.model_id, pane[own.at], numbers[own.at], own.rows, own.edges) for own in panes.parts]
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
            everywhere.append(part("all", model_id, k, slices, rows, edges))
        return parts, everywhere

    def _standing(self, role: str, model_id: str, known: Ints) -> dict[str, Any]:
        """What detectors have worked out of a reference for these rows of it, where they are those of the last time."""
        if len(known) > STANDING_MAX:
            return {}
        before, standing = self._standings.get((role, model_id), (b"", {}))
        if before != known.tobytes():
            standing = {}
            self._standings[role, model_id] = known.tobytes(), standing
        return standing


def verdicts(
    name: str,
    rule: RuleConfig,
    state: RuleState,
    slicing: str,
    pane_ms: Span,
    windows: SlicingWindows,
    pending: Mapping[str, bool],
) -> list[Verdict]:
    """What a rule says of the slices that it has something to say of, or that an incident is ``pending`` of; and why,
    but not of those where nobody asks (False there): of them only that they are over, or that there is something new.
    """
    number = {slice_: 0 if slice_ == TOGETHER else windows.index[slice_] + 1 for slice_ in pending}
    said = state.settle({number[slice_]: why for slice_, why in pending.items()})
    # Where events call a slice so, nobody could tell its alerts from those of all slices.
    said.pop(windows.index.get(TOGETHER, -2) + 1, None)
    if not said:
        return []
    names, models = [TOGETHER, *windows.index], windows.model
    service = max(sorted(set(models)), key=models.count)
    found = []
    for i in sorted(said, key=names.__getitem__):
        of, causes = said[i], said[i].causes
        found.append(
            Verdict(
                rule=name,
                kind=DETECTOR_KINDS[rule.detectors[0]],
                detector=causes[0].detector if causes else rule.detectors[0],
                slicing=slicing,
                slice=names[i],
                pane_start_ms=pane_ms[0],
                pane_end_ms=pane_ms[1],
                model_id=models[i - 1] if i else service,
                statistic=of.remaining if of.remaining < rule.resolve else of.statistic,
                remaining=of.remaining,
                renewed=of.renewed,
                evidence="statistic" if isinstance(state, PaneStatistic) else "evidence of change (e-detector)",
                says=causes[0].detail if causes else "",
                blame=_blame(causes),
            )
        )
    return found


def _blame(causes: list[Cause]) -> tuple[tuple[str, float, str], ...]:
    """Features of the first causes, each once, with their share of the evidence."""
    total = sum(cause.weight for cause in causes[:CAUSES_MAX]) or 1.0
    blame: dict[str, tuple[str, float, str]] = {}
    for cause in causes[:CAUSES_MAX]:
        for feature in cause.features:
            blame.setdefault(feature, (feature, min(max(cause.weight / total, 0.0), 1.0), cause.detail))
    return tuple(blame.values())
