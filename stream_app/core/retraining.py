"""When a better model is asked for, and which offsets it should be trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.records import OffsetRange, RetrainRequest, record_id
from stream_app.config import Config

MARKS_MAX = 2_000
_NEVER = -(2**62)


@dataclass(slots=True)
class Source:
    """What WATCH knows of a source partition's offsets over event time.

    Attributes:
        marks: ``(pane_start_ms, offset_start)`` of closed panes, ascending, thinned to a bounded number.
        end: ``(pane_end_ms, offset_end)`` of the newest marker.
    """

    marks: list[tuple[int, int]] = field(default_factory=list)
    end: tuple[int, int] = (0, 0)

    def note(self, pane_start_ms: int, pane_end_ms: int, offset_end: int) -> None:
        """Take a marker in."""
        if not self.marks or pane_start_ms > self.marks[-1][0]:
            self.marks.append((pane_start_ms, self.end[1]))
        if len(self.marks) > MARKS_MAX:
            self.marks = [self.marks[0], *self.marks[1::2]]  # older offsets only become less exact, never wrong
        self.end = max(self.end, (pane_end_ms, offset_end))

    def offset_at(self, time_ms: int) -> int:
        """An offset at or before the first row of panes that start at or after ``time_ms``."""
        before = [offset for start, offset in self.marks if start <= time_ms]
        return before[-1] if before else (self.marks[0][1] if self.marks else 0)


class Retraining:
    """Asks at most once per cooldown, in event time."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._rules = {name for name, rule in config.rules.items() if rule.retrain}
        self._asked_ms = _NEVER

    @property
    def rules(self) -> set[str]:
        """Rules whose open alerts ask for a model."""
        return self._rules

    def ask(
        self, now_ms: int, alerts: list[tuple[str, str]], model_id: str, topic: str, sources: dict[int, Source]
    ) -> RetrainRequest | None:  # fmt: skip
        """A request when enough slices have an open alert and the last request is long enough ago.

        Args:
            now_ms: end of the pane just finalised.
            alerts: (slice, alert id) that are open.
            model_id: the model in service.
            topic: events topic.
            sources: offsets by source partition.
        """
        settings = self._config.retrain
        slices = sorted({name for name, _ in alerts})
        if not settings.enabled or len(slices) < settings.min_slices or now_ms - self._asked_ms < settings.cooldown:
            return None
        self._asked_ms = now_ms
        start_ms = max(now_ms - settings.reference, 0)
        # Rows may run ahead of the row that closes the pane before theirs by the lateness allowed for.
        reach_ms = start_ms - self._config.windows.lateness
        train = [
            OffsetRange(
                topic=topic, partition=partition, start=source.offset_at(reach_ms), end=source.end[1],
                start_ms=start_ms, end_ms=now_ms,
            )
            for partition, source in sorted(sources.items())
        ]  # fmt: skip
        ids = sorted(alert_id for _, alert_id in alerts)
        return RetrainRequest(
            id=record_id("retrain", self._config.stream, now_ms, model_id, ids), stream=self._config.stream,
            reason="drift", slices=slices, alerts=ids, model_id=model_id, requested_pane_ms=now_ms, train=train,
            calibrate_from_ms=max(now_ms - settings.calibration, start_ms),
        )  # fmt: skip

    def to_state(self) -> int:
        """Plain value for a snapshot."""
        return self._asked_ms

    def restore(self, state: int) -> None:
        """Inverse of :meth:`to_state`."""
        self._asked_ms = state
