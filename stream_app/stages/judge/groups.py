"""What only JUDGE can see: all slices of a slicing together, and the events whose slices have no place.

Each rule looks at both as it looks at slices: ``__all__`` by the sums that WATCH makes of its ordinary slices, added up
over all partitions; ``__other__`` by its row, against what is normal of a slice that the reference does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from flowlib.table import Floats
from schemas import evidence
from schemas.evidence import ALARM
from schemas.pane_layout import ALPHAS, OTHER, TOGETHER
from schemas.records import PaneBlock
from stream_app.config import Config
from stream_app.config.promise import floor
from stream_app.stages.detection.causes import Found
from stream_app.stages.detection.detectors import GroupSums, Part
from stream_app.stages.detection.mixture import Mixture
from stream_app.stages.judge.candidates import Candidate
from stream_app.stages.judge.checking import makes_evidence
from stream_app.stages.judge.findings import Findings, References
from stream_app.stages.judge.pane import JudgedPane
from stream_app.stages.judge.streams import Counts
from stream_app.stages.layout import layout_of
from stream_app.stages.merging import SlicingPanes, merge_blocks
from stream_app.stages.outputs import Point
from stream_app.stages.points import PaneWindows, window_points
from stream_app.stages.windows import SlicingWindows, span_name

_ALL, _OTHER = 0, 1
"""Numbers in a mixture."""
_NAMES = (TOGETHER, OTHER)


class _Sums(msgspec.Struct, frozen=True):
    """Sums of a slicing's ordinary slices under one model, of all partitions."""

    model_id: str
    sums: GroupSums


class _Spoken(msgspec.Struct, frozen=True):
    """What a rule says of groups of a slicing in a pane, and the model of each."""

    rule: str
    slicing: str
    found: Found
    models: list[str]


class GroupsFound(msgspec.Struct, frozen=True):
    """What the rules say of groups in a pane: evidence that is put into columns with that of other panes, once it is
    asked for; and the points of the windows of ``__other__``.
    """

    spoken: list[_Spoken]
    points: list[Point]


class Groups:
    """``__all__`` and ``__other__`` of every slicing: their windows, and the evidence of every rule."""

    def __init__(self, config: Config) -> None:
        self._config, self._layout = config, layout_of(config)
        self._findings = Findings(config, self._layout)
        self._service, self._names = "", config.slicing_names
        self._windows = {name: SlicingWindows.empty(config.windows) for name in self._names}
        fields = dict(zip(self._names, config.event.slicings, strict=True))
        self._mixtures = {
            (name, slicing): Mixture(config, rule, self._layout, floor(config, name))
            for name, rule in config.rules.items()
            if makes_evidence(config, name)
            for slicing, of in fields.items()
            if rule.slicing is None or rule.slicing == of
        }

    def models(self, service: str) -> set[str]:
        """Models whose references a pane needs whatever it names: what is being found was found under them.

        Args:
            service: the model in service so far.
        """
        needed = set[str]()
        for (_, slicing), mixture in self._mixtures.items():
            followed = {*mixture.followed.tolist()}
            needed |= {*self._windows[slicing].model} if _OTHER in followed else set()
            needed |= {service} if _ALL in followed else set()
        return needed

    def take(self, pane: JudgedPane, references: References, counts: Counts, service: str) -> GroupsFound:
        """Take the next pane in; what is said of it, :meth:`candidates` puts into words.

        Args:
            pane: of all partitions.
            references: of every model that it names, and of the one in service.
            counts: shares of the promise.
            service: the model in service.
        """
        spoken, points = list[_Spoken](), list[Point]()
        slicings = self._windows if pane.others() else ()
        panes = {slicing: self._other_panes(slicing, pane) for slicing in slicings}
        for of in panes.values():
            if of.names:
                points += self._enter(of, pane.end_ms)
        self._restart(service)
        for (rule, slicing), mixture in self._mixtures.items():
            sums = self._sums(pane, rule, slicing) if slicing in counts.groups[rule] else []
            parts = self._parts(panes[slicing], references) if slicing in panes else []
            if not (sums or parts or len(mixture.followed)):
                continue
            for _ in mixture.update(parts, parts, len(_NAMES)):
                pass
            for of_model in sums:
                reference = references[of_model.model_id][self._slicing(slicing)]
                mixture.add_group(_ALL, reference, of_model.sums, pane.end_ms)
            if not mixture.speaks:
                continue
            model = max((of.model_id for of in sums), default=service)
            found, others = mixture.settle(), max(self._windows[slicing].model, default=model)
            models = [model if number == _ALL else others for number in found.numbers.tolist()]
            spoken.append(_Spoken(rule, slicing, found, models))
        return GroupsFound(spoken, points)

    def release(self) -> None:
        """The panes that were taken in have no others after them for now."""
        for mixture in self._mixtures.values():
            mixture.release()

    def _restart(self, service: str) -> None:
        """Another model is in service: what all slices together are compared with is another thing."""
        if self._service not in ("", service):
            for mixture in self._mixtures.values():
                mixture.restart(np.array([_ALL]))
        self._service = service

    def _slicing(self, name: str) -> int:
        return self._names.index(name)

    def candidates(
        self, found: GroupsFound, pane: JudgedPane, references: References, counts: Counts
    ) -> Iterator[Candidate]:
        """The candidates of a pane that was taken in, with the same references and counts."""
        for one in found.spoken:
            for i, (number, model) in enumerate(zip(one.found.numbers.tolist(), one.models, strict=True)):
                rule, slicing, of_all = one.rule, one.slicing, number == _ALL
                reference = references[model][self._slicing(slicing)]
                share = counts.group_shares[rule] if of_all else counts.slice_shares[rule]
                of = rule, slicing, _NAMES[number], model, one.found.columns, i, reference, share
                events = pane.events if of_all else None
                yield self._findings.candidate(*of, *self._counts(slicing, number, pane), events)

    def _counts(self, slicing: str, number: int, pane: JudgedPane) -> tuple[int, int]:
        """Events that were scored, and alarms: every slicing has the same ones together."""
        if number == _ALL:
            models = pane.models().values()
            return sum(of.scored for of in models), sum(of.alarms for of in models)
        rows = [of for (name, _), of in pane.others().items() if name == slicing]
        scored = sum(int(self._layout.get(of, "scored").sum()) for of in rows)
        alarms = sum(int(self._layout.get(of, "p_le")[:, ALPHAS.index(ALARM)].sum()) for of in rows)
        return max(scored, 0), min(max(alarms, 0), max(scored, 0))

    def _sums(self, pane: JudgedPane, rule: str, slicing: str) -> list[_Sums]:
        """Of each model, sums over the partitions in their order."""
        by_model: dict[str, list[evidence.GroupSums]] = {}
        for marker in pane.closed:
            for group in marker.groups:
                if (group.rule, group.slicing) == (rule, slicing):
                    by_model.setdefault(group.model_id, []).append(group)
        return [
            _Sums(
                model_id,
                GroupSums(
                    _added(of.events for of in groups),
                    _added(of.deviations for of in groups),
                    _added(of.unknown for of in groups),
                ),
            )
            for model_id, groups in sorted(by_model.items())
        ]

    def _other_panes(self, slicing: str, pane: JudgedPane) -> SlicingPanes:
        """The rows of ``__other__`` as WATCH has those of its slices."""
        blocks = [
            PaneBlock(
                stream=self._config.stream,
                partition=k,
                pane_start_ms=pane.start_ms,
                pane_end_ms=pane.end_ms,
                model_id=model_id,
                slicing=slicing,
                index=k,
                slices=[OTHER] * len(rows),
                columns=self._layout.encode(rows),
            )
            for k, ((of_slicing, model_id), rows) in enumerate(pane.others().items())
            if of_slicing == slicing
        ]
        return merge_blocks(self._layout, slicing, [(pane.start_ms, blocks)], (OTHER,))

    def _enter(self, panes: SlicingPanes, end_ms: int) -> list[Point]:
        windows = self._windows[panes.slicing]
        if len(windows.admit(dict(zip(panes.names, panes.models, strict=True)))):
            for (_, slicing), mixture in self._mixtures.items():
                if slicing == panes.slicing:
                    mixture.restart(np.array([_OTHER]))
        _, rows = windows.enter(panes, self._layout)
        names = ["pane", *(span_name(span) for span in windows.of_span)]
        return window_points(
            self._config.stream, PaneWindows(panes.slicing, [end_ms], panes.names, panes.models, names, rows, {})
        )

    def _parts(self, panes: SlicingPanes, references: References) -> list[Part]:
        """One row for each model: no reference knows the slice."""
        slicing = self._slicing(panes.slicing)
        return [
            Part(
                self._layout,
                np.array(panes.starts_ms, dtype=np.int64),
                references[part.model_id][slicing],
                np.zeros(1, dtype=np.int64),
                np.array([_OTHER], dtype=np.int64),
                part.rows,
            )
            for part in panes.parts
            if len(part.rows)
        ]

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "service": self._service,
            "windows": [[name, windows.to_state()] for name, windows in self._windows.items()],
            "mixtures": [[*key, mixture.to_state()] for key, mixture in self._mixtures.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        self._service = state["service"]
        self._windows = {name: SlicingWindows.from_state(windows) for name, windows in state["windows"]}
        for rule, slicing, mixture in state["mixtures"]:
            self._mixtures[rule, slicing].restore(mixture)


def _added(columns: Iterator[bytes]) -> Floats:
    arrays: Sequence[Floats] = [np.frombuffer(column, dtype="<f8") for column in columns]
    return np.asarray(np.sum(arrays, axis=0)) if len(arrays) > 1 else arrays[0]
