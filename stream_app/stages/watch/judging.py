"""The rules over a final pane: a verdict for each rule and slice that has something to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS
from stream_app.stages.judge.policy import TOGETHER, Verdict
from stream_app.stages.watch.detectors import Part
from stream_app.stages.watch.evidence import Cause, Mixture
from stream_app.stages.watch.merging import SlicingPane
from stream_app.stages.watch.noticing import DAYS, smallest
from stream_app.stages.watch.pane_statistic import PaneStatistic
from stream_app.stages.watch.windows import SlicingWindows

CAUSES_MAX = 3
"""Causes that a verdict names."""

References = Mapping[str, Sequence[Reference]]
"""Model id to what is normal under it, for each slicing."""


class RuleState(Protocol):
    """What a rule remembers of the slices of one slicing; number 0 is all slices together, the others count from 1."""

    def update(self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, grouped: bool) -> None:
        """Take a pane in; see :meth:`Mixture.update`."""

    def statistics(self) -> Floats:
        """``(slices + 1,)``."""

    def settle(self) -> dict[int, tuple[float, float]]:
        """Those at or above ``open``, or not over since: number to statistic and what remains of it."""

    def renewed(self, i: int) -> bool:
        """Whether something else has come to speak for an open alert since this was last asked."""

    def causes(self, i: int) -> list[Cause]:
        """What speaks for a change, the one to name first."""

    def to_state(self) -> Any:
        """Plain values and arrays for a snapshot."""

    def restore(self, state: Any) -> None:
        """Take a state of :meth:`to_state` back."""


def rule_state(config: Config, rule: RuleConfig, layout: PaneLayout) -> RuleState:
    """A rule before the first pane."""
    if rule.detectors[0] in DETECTOR_OPTIONS:
        return PaneStatistic(rule, layout)
    return Mixture(config, rule, layout)


class Known:
    """Which row of each model's reference belongs to each slice of a slicing; looked up once."""

    def __init__(self, slicing: int) -> None:
        self._slicing = slicing
        self._rows: dict[str, Ints] = {}
        self._notices: dict[str, dict[str, Floats]] = {}

    def rows(self, model_id: str, reference: Reference, names: Sequence[str]) -> Ints:
        """``(m,)`` for all m slices by number."""
        have = self._rows.get(model_id, np.zeros(0, dtype=np.int64))
        if len(have) < len(names):
            have = self._rows[model_id] = np.concatenate([have, reference.index(names[len(have) :])])
        return have

    def notices(
        self, config: Config, pane: SlicingPane, index: Ints, windows: SlicingWindows, references: References
    ) -> dict[str, Floats]:
        """The smallest shift that each slice ``(m,)`` of a pane shows in some time, under its model; sd."""
        out = {f"smallest_shift_{name}": np.full(len(index), np.inf) for name in DAYS}
        for model_id in set(pane.models):
            reference = references[model_id][self._slicing]
            known = self.rows(model_id, reference, list(windows.index))
            of_all = self._notices.get(model_id)
            if of_all is None or len(of_all["day"]) < len(known):
                of_all = self._notices[model_id] = smallest(config, reference, known)
            here = np.array([model == model_id for model in pane.models], dtype=bool)
            for name in DAYS:
                out[f"smallest_shift_{name}"][here] = of_all[name][index[here]]
        return out

    def parts(
        self, layout: PaneLayout, pane: SlicingPane, index: Ints, windows: SlicingWindows, references: References
    ) -> tuple[list[Part], list[Part]]:
        """The pane model by model, and all known slices model by model, those without events with blank rows."""
        names = list(windows.index)

        def part(model_id: str, slices: Ints, rows: Ints) -> Part:
            reference = references[model_id][self._slicing]
            return Part(layout, pane.start_ms, reference, self.rows(model_id, reference, names)[slices], slices, rows)

        parts = [part(own.model_id, index[own.at], own.rows) for own in pane.parts]
        everything = layout.blank(len(names))
        everything[index] = pane.rows
        models = np.array(windows.model, dtype=object)
        everywhere = [
            part(model_id, slices := np.flatnonzero(models == model_id), everything[slices])
            for model_id in sorted(set(windows.model))
        ]
        return parts, everywhere


def verdicts(
    name: str,
    rule: RuleConfig,
    state: RuleState,
    pane: SlicingPane,
    windows: SlicingWindows,
    pending: Mapping[str, bool],
) -> list[Verdict]:
    """What a rule says of the slices that it has something to say of, or that an incident is ``pending`` of; and why,
    but not of those where nobody asks (False there).
    """
    statistics = state.statistics()
    number = {slice_: 0 if slice_ == TOGETHER else windows.index[slice_] + 1 for slice_ in pending}
    renewed = {i for i in number.values() if state.renewed(i)}
    mute = {number[slice_] for slice_, why in pending.items() if not why} - renewed
    loud = {i: state.causes(i) for i in np.flatnonzero(statistics >= rule.open).tolist() if i not in mute}
    said = state.settle()  # after this, what is over is forgotten
    said |= {i: (float(statistics[i]),) * 2 for i in number.values() if i not in said}
    # Where events call a slice so, nobody could tell its alerts from those of all slices.
    said = {i: of for i, of in said.items() if i != windows.index.get(TOGETHER, -2) + 1}
    if not said:
        return []
    names, models = [TOGETHER, *windows.index], windows.model
    service = max(sorted(set(models)), key=models.count)
    kind = DETECTOR_KINDS[rule.detectors[0]]
    found = []
    for i in sorted(said, key=names.__getitem__):
        statistic, remaining = said[i]
        over = remaining < rule.resolve
        causes = loud.get(i) or ([] if over or i in mute else state.causes(i))
        found.append(
            Verdict(
                rule=name,
                kind=kind,
                detector=causes[0].detector if causes else rule.detectors[0],
                slicing=pane.slicing,
                slice=names[i],
                pane_start_ms=pane.start_ms,
                pane_end_ms=pane.end_ms,
                model_id=models[i - 1] if i else service,
                statistic=remaining if over else statistic,
                remaining=remaining,
                renewed=i in renewed,
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
