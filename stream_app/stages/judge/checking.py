"""What evidence must be beyond its schema: of a pane, partition, rule and slicing of ours, in columns that fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import gt

import numpy as np

from schemas.evidence import CAUSES_MAX, FIGURES, Evidence, EvidenceClosed, EvidenceColumns, ModelPane, PaneEvidence
from schemas.pane_layout import LOG_PROB_CLIP, PaneLayout
from stream_app.config import Config
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS
from stream_app.stages.detection.detectors import DETECTORS

Columns = tuple[EvidenceColumns, int]
"""Columns of some messages, one below the other, and the first row of one of them."""

_EVENTS_MAX = 2**40
_NONE: Columns = EvidenceColumns.decode({}, 0), 0
_OF_CAUSES = dict.fromkeys(("detector", "channel", "weight"), 8 * CAUSES_MAX)
_SIZES = {**dict.fromkeys(("statistic", "remaining", "since_ms", "events"), 8), **_OF_CAUSES}
_SIZES["figures"] = 8 * CAUSES_MAX * len(FIGURES)
"""Bytes of a slice in a column, but for the odds."""
_FIGURE_MAX, _WEIGHT_MAX = 1e150, 1e6


class EvidenceChecker:
    """Says what is wrong with evidence of a stream."""

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._config, self._pane_ms, self._slicings = config, int(config.windows.pane), config.slicing_names
        self._moments, self._layout = 2 * (layout.d + 1) + layout.pairs, layout
        names = list(DETECTOR_KINDS)
        self._channels = {
            names.index(name): DETECTORS[name](config, layout).channels if name in DETECTORS else 1 for name in names
        }
        self._bets = {names.index(name): DETECTORS[name](config, layout).bets for name in names if name in DETECTORS}
        self._of_rule = {
            name: {names.index(detector) for detector in rule.detectors} for name, rule in config.rules.items()
        }

    def read(self, messages: Sequence[Evidence]) -> list[Columns | str]:
        """Of each message its columns, those of a marker have no rows; one sentence where something is wrong with it.

        Messages of one rule are looked at together, and one by one where something is wrong with any.
        """
        found: list[Columns | str] = [self._fault(message) or _NONE for message in messages]
        alike: dict[tuple[str, int], list[int]] = {}
        for k, message in enumerate(messages):
            if found[k] is _NONE and isinstance(message, PaneEvidence):
                alike.setdefault((message.rule, _bets(message)), []).append(k)
        for (rule, bets), places in alike.items():
            together = [messages[k] for k in places]
            for k, read in zip(places, self._read(rule, bets, together), strict=True):  # type: ignore[arg-type]
                found[k] = read
        return found

    def fault(self, message: Evidence) -> str:
        """One sentence, or "" where nothing is wrong."""
        [read] = self.read([message])
        return read if isinstance(read, str) else ""

    def _fault(self, message: Evidence) -> str:
        """What is wrong beside columns."""
        start, end, width = message.pane_start_ms, message.pane_end_ms, self._config.topics.partitions
        if start % self._pane_ms or end - start != self._pane_ms:
            return f"[{start}, {end}) ms is no pane: they are {self._pane_ms} ms long and begin at multiples of that"
        if message.partition >= width:
            return f"it says it is of partials partition {message.partition}, and slices are spread over {width}"
        return self._marker(message) if isinstance(message, EvidenceClosed) else self._evidence(message)

    def _evidence(self, message: PaneEvidence) -> str:
        if message.rule not in self._of_rule:
            return f"rule {message.rule!r} is none of {', '.join(self._of_rule)}"
        if message.slicing not in self._slicings:
            return f"slicing {message.slicing!r} is not one of {', '.join(self._slicings)}"
        m = len(message.slices)
        if not m or len(set(message.slices)) < m or len(message.models) != m:
            return f"it has {m} slices and {len(message.models)} models: one model for each slice, each slice once"
        if "" in message.models:
            return "a slice has no model"
        if not len(message.scored) == len(message.alarms) == m:
            return (
                f"it has {m} slices, {len(message.scored)} counts of scored events and {len(message.alarms)} of alarms"
            )
        if max(message.scored) > _EVENTS_MAX or any(map(gt, message.alarms, message.scored)):
            return f"a slice has more than {_EVENTS_MAX} scored events, or more alarms than those"
        return ""

    def _read(self, rule: str, bets: int, messages: list[PaneEvidence]) -> list[Columns | str]:
        """The columns of messages of a rule that have odds of so many bets; 0 of those whose columns do not fit."""
        try:
            if bets or len(messages) == 1:
                names = EvidenceColumns.__struct_fields__
                joined = {name: b"".join([message.columns.get(name, b"") for message in messages]) for name in names}
                columns = EvidenceColumns.decode(joined, sum([len(message.slices) for message in messages]))
                if not (fault := self._columns(rule, columns)):
                    firsts = accumulate([0, *(len(message.slices) for message in messages[:-1])])
                    return [(columns, first) for first in firsts]
                if len(messages) == 1:
                    return [fault]
        except ValueError as error:
            if len(messages) == 1:
                return [str(error)]
        return [read for message in messages for read in self._read(rule, 0, [message])]

    def _columns(self, rule: str, columns: EvidenceColumns) -> str:
        if (columns.statistic < 0).any() or (columns.remaining < 0).any() or (columns.remaining > 1).any():
            return "a statistic is negative, or what remains of one is not within [0, 1]"
        if (columns.since_ms < 0).any() or (columns.events < 0).any():
            return "a time or a number of events is negative"
        if (fault := _too_large(columns)) != "":
            return fault
        bets = columns.odds.shape[2]
        for detector in np.unique(columns.detector).tolist():
            if detector == -1:
                continue
            if detector not in self._of_rule[rule]:
                return f"detector number {detector} is none of rule {rule!r}"
            channel = columns.channel[columns.detector == detector]
            if (channel < 0).any() or (channel >= self._channels[detector]).any():
                return f"a channel of detector number {detector} is not within its {self._channels[detector]}"
            if bets < self._bets.get(detector, 1):
                return f"it has odds of {bets} bets, and detector number {detector} makes {self._bets[detector]}"
        return "" if (columns.detector[:, 0] >= 0).all() else "a slice has no cause"

    def _marker(self, message: EvidenceClosed) -> str:
        named = {*message.slices, *(of.slicing for of in message.groups), *(of.slicing for of in message.other)}
        named |= {of.slicing for of in message.strangers}
        for slicing in sorted(named - {*self._slicings}):
            return f"slicing {slicing!r} is not one of {', '.join(self._slicings)}"
        if max(message.events, *message.slices.values(), 0) > _EVENTS_MAX:
            return f"it has more than {_EVENTS_MAX} events, or slices"
        if "" in {*(of.model_id for of in message.groups), *(of.model_id for of in message.other)}:
            return "a group, or a row of __other__, has no model"
        if fault := _models_fault(message.models):
            return fault
        for group in message.groups:
            if group.rule not in self._of_rule:
                return f"rule {group.rule!r} is none of {', '.join(self._of_rule)}"
            for name in ("events", "deviations", "unknown"):
                sums: bytes = getattr(group, name)
                if len(sums) != 8 * self._moments or not np.isfinite(np.frombuffer(sums, dtype="<f8")).all():
                    return f"the {name} of a group are not {self._moments} finite numbers"
        for other in message.other:
            if len(other.row) != 8 * self._layout.width:
                return f"a row of __other__ has not {self._layout.width} numbers"
            if not 0 <= self._layout.get(np.frombuffer(other.row, dtype="<i8"), "seen") <= _EVENTS_MAX:
                return f"the events of __other__ are not within 0 and {_EVENTS_MAX}"
        return ""


def _bets(message: PaneEvidence) -> int:
    """Of how many bets the odds are; 0 where a column does not have the length that it should have."""
    m, columns = len(message.slices), message.columns
    odds = len(columns.get("odds", b""))
    bets = odds // (8 * CAUSES_MAX * m)
    sizes = [len(columns.get(name, b"")) // m for name in _SIZES]
    whole = not any(len(column) % m for column in columns.values())
    return bets if whole and sizes == list(_SIZES.values()) and odds == 8 * CAUSES_MAX * m * bets else 0


def _models_fault(models: Sequence[ModelPane]) -> str:
    """What is wrong with the sums of the models of a pane; "" where nothing is."""
    names = [of.model_id for of in models]
    if "" in names or names != sorted({*names}):
        return "the models of a pane are not named one by one in order"
    for of in models:
        if of.seen > _EVENTS_MAX or of.scored + of.unscorable != of.seen or of.alarms > of.scored:
            return f"the events of model {of.model_id!r} do not add up, or are more than {_EVENTS_MAX}"
        if abs(of.log_prob_sum) > LOG_PROB_CLIP * of.scored:
            return f"the log-likelihood of model {of.model_id!r} is beyond what its events can have"
    return ""


def _too_large(columns: EvidenceColumns) -> str:
    """What would not stay a number where it is added up over panes; "" where all does."""
    counted, figures = columns.figures[:, :, 0], columns.figures
    if (columns.events > _EVENTS_MAX).any() or (counted < 0).any() or (counted > _EVENTS_MAX).any():
        return f"a number of events is not within 0 and {_EVENTS_MAX}"
    if (np.abs(figures) > _FIGURE_MAX).any() or (np.abs(columns.weight) > _WEIGHT_MAX).any():
        return f"a figure is beyond {_FIGURE_MAX:g}, or the logarithm of evidence beyond {_WEIGHT_MAX:g}"
    return ""


def makes_evidence(config: Config, rule: str) -> bool:
    """Whether a rule's detectors make evidence, so that its incidents have a promise."""
    return config.rules[rule].detectors[0] not in DETECTOR_OPTIONS
