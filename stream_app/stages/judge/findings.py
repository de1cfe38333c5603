"""Evidence of WATCH as candidates: numbers of detectors and channels become names and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Floats
from schemas.evidence import EvidenceColumns, PaneEvidence
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS
from stream_app.stages.detection.detectors import DETECTORS
from stream_app.stages.judge.candidates import Candidate, Cause, Figures

References = Mapping[str, Sequence[Reference]]
"""Model id to what is normal under it, for each slicing."""

_NAMES = list(DETECTOR_KINDS)


class Findings:
    """Reads evidence; it has a detector of each kind to put it into words."""

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._config, self._slicings = config, config.slicing_names
        self._detectors = {name: DETECTORS[name](config, layout) for name in DETECTORS}

    def candidates(
        self,
        message: PaneEvidence,
        references: References,
        shares: Mapping[str, float],
        read: tuple[EvidenceColumns, int] | None = None,
    ) -> Iterator[Candidate]:
        """The slices of a message.

        Args:
            message: as WATCH sends it, checked.
            references: of every model that it names.
            shares: rule to the share of its promise that each of its slices has.
            read: its columns, with the first row of it among them, where they were read before.
        """
        columns, first = read or (EvidenceColumns.decode(message.columns, len(message.slices)), 0)
        rule, slicing, share = message.rule, message.slicing, shares[message.rule]
        number = self._slicings.index(slicing)
        of_slices = zip(message.slices, message.models, message.scored, message.alarms, strict=True)
        for i, (name, model_id, scored, alarms) in enumerate(of_slices, first):
            of = rule, slicing, name, model_id, columns, i, references[model_id][number], share
            yield self.candidate(*of, scored, alarms)

    def candidate(
        self,
        rule: str,
        slicing: str,
        name: str,
        model_id: str,
        columns: EvidenceColumns,
        i: int,
        reference: Reference,
        share: float,
        scored: int = 0,
        alarms: int = 0,
        events: int | None = None,
    ) -> Candidate:
        """Row i of some columns; they have the events where nothing else is said."""
        settings = self._config.rules[rule]
        remaining = float(columns.remaining[i])
        return Candidate(
            rule=rule,
            slicing=slicing,
            slice=name,
            kind=DETECTOR_KINDS[settings.detectors[0]],
            model_id=model_id,
            statistic=float(columns.statistic[i]),
            share=share,
            remaining=remaining,
            over=remaining < settings.resolve,
            since_ms=int(columns.since_ms[i]),
            events=int(columns.events[i]) if events is None else events,
            causes=tuple(self._causes(columns, i, reference)),
            scored=scored,
            alarms=alarms,
        )

    def _causes(self, columns: EvidenceColumns, i: int, reference: Reference) -> Iterator[Cause]:
        for k, number in enumerate(columns.detector[i].tolist()):
            if number >= 0:
                figures = Figures(*columns.figures[i, k].tolist())
                channel, weight = int(columns.channel[i, k]), float(columns.weight[i, k])
                yield self._cause(_NAMES[number], channel, weight, columns.odds[i, k], figures, reference)

    def _cause(
        self, detector: str, channel: int, weight: float, odds: Floats, figures: Figures, reference: Reference
    ) -> Cause:
        if detector in DETECTOR_OPTIONS:
            says = f"{detector} finds a change in the mean surprise of its panes"
            return Cause(detector, channel, (), "", "", "", weight, says, figures)
        of = self._detectors[detector]
        said = of.says(channel, np.asarray(odds[: of.bets]), reference)
        unit = self._config.event.units.get(said.features[0], "") if said.measure == "mean" and said.features else ""
        return Cause(detector, channel, said.features, said.direction, said.measure, unit, weight, said.words, figures)
