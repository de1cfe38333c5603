"""What a trainer tells of itself over HTTP: whether it is alive, whether it is ready, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stream_app.config import Config
from stream_app.guard import Guard
from stream_app.kafka.probes import Reachable
from stream_app.monitor.exposition import exposed, version
from stream_app.monitor.metrics import DEAD_LETTERS, REQUESTS, Labels
from stream_app.monitor.server import Answer, Monitor, probe
from stream_app.trainer.trainer import Trainer

SILENT_S = 1_800.0
"""How long the trainer may give no sign of life: every wait and every epoch of a training does."""


class Monitoring:
    """The pages of one trainer.

    Args:
        config: the stream.
        guard, trainer: of the process.
    """

    def __init__(self, config: Config, guard: Guard, trainer: Trainer) -> None:
        self._config, self._guard, self._trainer = config, guard, trainer
        self._reachable = Reachable(config.kafka)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Listen, where that is configured; gives the address, or "".

        Raises:
            DriftflowError: nobody can listen there.
        """
        where = self._config.monitor
        if not where.enabled:
            yield ""
            return
        pages = {
            "/livez": lambda _: probe(self.not_alive()),
            "/readyz": lambda _: probe(self.not_ready()),
            "/metrics": self._metrics,
        }
        with Monitor(where.host, where.trainer_port, pages, "monitor.trainer_port") as monitor:
            yield monitor.url

    def not_alive(self) -> list[str]:
        """Why this process hangs, ends, or would not be ended if it hung; empty where all is well."""
        silent_s = self._trainer.silent_s()
        silent = [f"the trainer has not come round for {silent_s:.0f} s"] if silent_s > SILENT_S else []
        return [*self._guard.trouble(), *silent]

    def not_ready(self) -> list[str]:
        """Why no request is answered now; empty where all is well."""
        if self._guard.left_s() < float("inf"):
            return ["the trainer stops"]
        waits = [] if self._trainer.listening else ["the trainer does not listen yet: the first model is being trained"]
        return [*waits, *self._reachable.why_not()]

    def _metrics(self, accept: str) -> Answer:
        meter = self._trainer.meter
        values: dict[str, dict[Labels, float]] = {
            "driftflow_info": {(version(), "trainer", self._config.stream): 1.0},
            "driftflow_ready": {(): float(not self.not_ready())},
            "driftflow_trainer_sign_seconds": {(): self._trainer.silent_s()},
            "driftflow_trainer_candidates": {(phase,): n for phase, n in self._trainer.candidates().items()},
            DEAD_LETTERS: {(reason,): float(n) for reason, n in list(self._trainer.refused.items())},
            REQUESTS: meter.counts(REQUESTS),
        }
        body, kind = exposed(values, meter.histograms(), accept)
        return Answer(200, kind, body)
