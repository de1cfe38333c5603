"""When a better model is asked for, and which offsets it should be trained on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from schemas.records import IncidentSpan, OffsetRange, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.config.registries import DETECTOR_KINDS

MARKS_MAX = 2_000
"""Marks of a source partition that are kept."""
NAMED_MAX = 500
"""Slices, and alerts, that a request names, of however many ask: a broker takes no message beyond 1 MiB by default."""
_NEVER = -(2**62)


@dataclass(slots=True)
class OffsetMarks:
    """Where the panes of a source partition end in its log.

    Attributes:
        marks: ``(pane_end_ms, offset_end)`` of its markers, ascending: the row at ``offset_end`` closed every pane up
            to ``pane_end_ms``, so the rows of those panes lie below it.
    """

    marks: list[tuple[int, int]] = field(default_factory=list)

    def add(self, marks: Iterable[tuple[int, int]]) -> None:
        """Take the ``(pane_end_ms, offset_end)`` of markers in. Offsets that go back are of a topic that was made anew:
        those of the former one name nothing any more.
        """
        for mark in marks:
            if not self.marks or mark[0] > self.marks[-1][0]:
                if self.marks and mark[1] < self.marks[-1][1]:
                    self.marks = []
                self.marks.append(mark)

    def start(self, time_ms: int, before: int = 0) -> int:
        """Where the last mark up to ``time_ms`` stands in the log, or so many before it; 0 where not known."""
        offsets = [offset for end, offset in self.marks if end <= time_ms]
        return offsets[-1 - before] if len(offsets) > before else 0

    def end(self, time_ms: int) -> int:
        """Offset below which every row of panes up to ``time_ms`` lies. Later markers do not change it, so that a
        request is the same however far ahead a source partition is.
        """
        later = [offset for end, offset in self.marks if end >= time_ms]
        return later[0] if later else (self.marks[-1][1] if self.marks else 0)


def thin(offset_marks: Iterable[OffsetMarks], final_ms: int) -> None:
    """Keep a bounded number of marks up to ``final_ms``: older offsets become less exact, never wrong."""
    for marks in offset_marks:
        old = bisect_right(marks.marks, final_ms, key=itemgetter(0))  # those of panes to come do not matter
        if old > MARKS_MAX:
            marks.marks = [*marks.marks[1:old:2], *marks.marks[old:]]


class Retraining:
    """Asks at most once per cooldown, in event time; before it is over again where people have judged something since
    that the last request could not use, and that request has brought no model: it was refused, or is not decided.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._rules = {name for name, rule in config.rules.items() if rule.retrain}
        self.faults = {name for name, rule in config.rules.items() if DETECTOR_KINDS[rule.detectors[0]] == "fault"}
        self._asked_ms, self._model_id = _NEVER, ""
        self._unjudged: list[str] = []
        """Incidents that nobody had judged when a model was last asked for."""

    @property
    def rules(self) -> set[str]:
        """Rules whose open alerts ask for a model."""
        return self._rules

    def is_due(self, now_ms: int, model_id: str, accepted: Sequence[tuple[str, str]], judged: Collection[str]) -> bool:
        """Whether a request may be made at all, and the last one is long enough ago or was in vain.

        Args:
            now_ms: end of the pane just finalised.
            model_id: the model in service.
            accepted: (slice, alert id) that a person has accepted since the last request.
            judged: ids of all incidents that people have judged since.
        """
        settings = self._config.retrain
        again = bool(accepted) or not set(self._unjudged).isdisjoint(judged)
        is_over = now_ms - self._asked_ms >= settings.cooldown
        return settings.enabled and (is_over or (again and model_id == self._model_id))

    def ask(
        self,
        now_ms: int,
        alerts: list[tuple[str, str]],
        model_id: str,
        offset_marks: dict[int, OffsetMarks],
        accepted: Sequence[tuple[str, str]] = (),
        spans: tuple[list[IncidentSpan], list[IncidentSpan]] = ([], []),
    ) -> RetrainRequest | None:
        """A request when enough slices have an open alert, or a person has accepted one; whether one :meth:`is_due` the
        caller has asked.

        Args:
            now_ms: end of the pane just finalised.
            alerts: (slice, alert id) that are open.
            model_id: the model in service.
            offset_marks: by source partition.
            accepted: (slice, alert id) that a person has accepted since the last request.
            spans: of what was accepted, and of what nobody has judged.
        """
        settings = self._config.retrain
        enough = bool(accepted) or len({name for name, _ in alerts}) >= settings.min_slices
        alerts = sorted({*alerts, *accepted})
        slices = sorted({name for name, _ in alerts})
        if not enough:
            return None
        self._asked_ms, self._model_id = now_ms, model_id
        self._unjudged = sorted({span.incident_id for span in spans[1]})
        start_ms = max(now_ms - settings.reference, 0)
        before, reach_ms = self._config.windows.clock - 1, start_ms - self._lead_ms
        train = [
            OffsetRange(
                topic=self._config.topics.events,
                partition=partition,
                start=marks.start(reach_ms, before),
                end=marks.end(now_ms),
                start_ms=start_ms,
                end_ms=now_ms,
            )
            for partition, marks in sorted(offset_marks.items())
        ]
        ids = sorted({alert_id for _, alert_id in alerts})
        return RetrainRequest(
            id=record_id("retrain", self._config.stream, now_ms, model_id, ids),
            stream=self._config.stream,
            reason="drift",
            slices=slices[:NAMED_MAX],
            alerts=ids[:NAMED_MAX],
            model_id=model_id,
            requested_pane_ms=now_ms,
            train=train,
            calibrate_from_ms=max(now_ms - settings.calibration, start_ms),
            accepted=spans[0],
            unjudged=spans[1],
        )

    @property
    def _lead_ms(self) -> int:
        """How far rows may run ahead of the row that closes the pane before theirs: a clock that is the newest event
        lags by the lateness alone, a median by what may be ahead of it too, and by its own events: a mark each at most.
        """
        windows = self._config.windows
        return int(windows.lateness) + (windows.ahead_ms if windows.clock > 1 else 0)

    def to_state(self) -> list[Any]:
        """Plain values for a snapshot."""
        return [self._asked_ms, self._model_id, self._unjudged]

    def restore(self, state: Sequence[Any]) -> None:
        """Inverse of :meth:`to_state`."""
        self._asked_ms, self._model_id, self._unjudged = state
