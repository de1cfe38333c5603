"""What ``driftflow notify`` tells of itself over HTTP: whether it is alive, whether it is ready, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stream_app.config import Config
from stream_app.guard import Guard
from stream_app.kafka.probes import Reachable
from stream_app.monitor.exposition import exposed, version
from stream_app.monitor.metrics import Labels
from stream_app.monitor.server import Answer, Monitor, probe
from stream_app.notify.courier import Courier
from stream_app.notify.outbox import Outbox


class Monitoring:
    """The pages of one process.

    Args:
        config: the stream.
        guard, outbox, couriers: of the process.
    """

    def __init__(self, config: Config, guard: Guard, outbox: Outbox, couriers: Mapping[str, Courier]) -> None:
        self._config, self._guard, self._outbox, self._couriers = config, guard, outbox, couriers
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
            "/livez": lambda _: probe(self._guard.trouble()),
            "/readyz": lambda _: probe(self.not_ready()),
            "/metrics": self._metrics,
        }
        with Monitor(where.host, where.notify_port, pages, "monitor.notify_port") as monitor:
            yield monitor.url

    def not_ready(self) -> list[str]:
        """Why nothing is read now; empty where all is well. A receiver that is away is no reason."""
        if self._guard.left_s() < float("inf"):
            return ["driftflow notify stops"]
        return self._reachable.why_not()

    def _metrics(self, accept: str) -> Answer:
        waiting, messages, failing = self._outbox.waiting(), dict[Labels, float](), dict[Labels, float]()
        for name, courier in self._couriers.items():
            state = courier.state
            messages[name, "delivered"], messages[name, "refused"] = float(state.delivered), float(state.refused)
            failing[name,] = float(bool(state.failing))
        values: dict[str, dict[Labels, float]] = {
            "driftflow_info": {(version(), "notify", self._config.stream): 1.0},
            "driftflow_ready": {(): float(not self.not_ready())},
            "driftflow_notify_messages_total": messages,
            "driftflow_notify_waiting_messages": {(name,): float(waiting.get(name, 0)) for name in self._couriers},
            "driftflow_notify_failing": failing,
        }
        body, kind = exposed(values, {}, accept)
        return Answer(200, kind, body)
