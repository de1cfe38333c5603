"""What a worker tells of itself over HTTP: whether it is alive, whether it is ready, and its metrics.

All of it is made of the last status, which the event loop leaves here twice a second, and of what threads may ask.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from stream_app.config import Config
from stream_app.guard import Guard
from stream_app.kafka.probes import Reachable
from stream_app.monitor.exposition import exposed, version
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import DAMAGED, DEAD_LETTERS, Labels
from stream_app.monitor.server import Answer, Monitor, probe
from stream_app.sinks.drainer import DrainerState
from stream_app.worker import schemas
from stream_app.worker.status import FRESH_S, Status

_OUTCOMES = ("received", "windowed", "late", "rejected", "duplicate")

_Values = dict[str, dict[Labels, float]]


class _Drains(Protocol):
    @property
    def state(self) -> DrainerState: ...


class Monitoring:
    """The pages of one worker.

    Args:
        config: the stream.
        guard, drainer: of the process.
        meter: of its steps.
        is_ready: whether a model has come and the partitions may be scored.
    """

    def __init__(
        self, config: Config, guard: Guard, drainer: _Drains, meter: Meter, is_ready: Callable[[], bool]
    ) -> None:
        self._config, self._guard, self._drainer, self._meter = config, guard, drainer, meter
        self._is_ready, self._reachable = is_ready, Reachable(config.kafka)
        self._status: tuple[Status, float] | None = None
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Listen, where that is configured.

        Raises:
            DriftflowError: nobody can listen there.
        """
        where = self._config.monitor
        if not where.enabled:
            yield
            return
        pages = {
            "/livez": lambda _: probe(self.not_alive()),
            "/readyz": lambda _: probe(self.not_ready()),
            "/metrics": self._metrics,
        }
        with Monitor(where.host, where.worker_port, pages, "monitor.worker_port") as monitor:
            self.url = monitor.url
            yield

    def note(self, status: Status) -> None:
        """How the worker stands now."""
        self._status = status, time.monotonic()

    # Probes --------------------------------------------------------------------------------------------------------

    def not_alive(self) -> list[str]:
        """Why its watchdogs would not end this process where it hung, or why it ends; empty where all is well."""
        dead = [] if self._drainer.state.alive else ["the thread that empties the spool is dead"]
        return [*self._guard.trouble(), *dead]

    def not_ready(self) -> list[str]:
        """Why nothing is scored here now; empty where all is well."""
        if self._guard.left_s() < float("inf"):
            return ["the worker stops"]
        if self._status is None:
            return ["the worker has not come to its event loop yet"]
        (status, at_s), reasons = self._status, list[str]()
        if (age_s := time.monotonic() - at_s) > FRESH_S:
            reasons.append(f"the event loop has not come round for {age_s:.0f} s")
        if not status.lags:
            group = self._config.kafka.group
            reasons.append(f"no partitions are assigned: group {group} is being formed, or has more workers than work")
        if not self._is_ready():
            reasons.append(f"no model has been loaded from {self._config.topics.models} yet")
        if status.waits_for:
            reasons.append(f"models that its partitions need have not arrived: {', '.join(status.waits_for)}")
        if why := status.failing.get(schemas.PART):
            reasons.append(f"events wait for their schemas: {why}")
        return [*reasons, *self._reachable.why_not()]

    # Metrics -------------------------------------------------------------------------------------------------------

    def _metrics(self, accept: str) -> Answer:
        values: _Values = {
            "driftflow_info": {(version(), "worker", self._config.stream): 1.0},
            "driftflow_ready": {(): float(not self.not_ready())},
            "driftflow_sink_errors_total": {(): float(self._drainer.state.errors)},
            DEAD_LETTERS: self._meter.counts(DEAD_LETTERS),
            DAMAGED: {(self._roles()[t], outcome): n for (t, outcome), n in self._meter.counts(DAMAGED).items()},
        }
        if self._status is not None:
            values |= values_of(self._status[0], self._roles())
        body, kind = exposed(values, self._meter.histograms(), accept)
        return Answer(200, kind, body)

    def _roles(self) -> dict[str, str]:
        topics = self._config.topics
        return {topics.events: "events", topics.partials: "partials", topics.evidence: "evidence"}


def values_of(status: Status, roles: dict[str, str]) -> _Values:
    """The metrics that a status tells of.

    Args:
        status: of this worker alone.
        roles: name of a topic to what ``[topics]`` calls it.
    """
    places = {place: place.rpartition("/")[::2] for place in status.lags}
    known = {place: lag for place, lag in status.lags.items() if lag is not None}
    here = {partition: status.counters.get(partition, {}) for partition in status.unread}
    messages = {**_outcomes(status.taken, "taken"), **_outcomes(status.refused, "refused")}
    plain: dict[str, float | None] = {
        "driftflow_unwatched_messages": status.unwatched,
        "driftflow_pending_partitions": status.pending,
        "driftflow_late_blocks": status.late_blocks,
        "driftflow_closed_early_panes": status.closed_early,
        "driftflow_event_time_seconds": _seconds(status.event_time_ms),
        "driftflow_judged_time_seconds": _seconds(status.judged_ms),
        "driftflow_spool_points": status.spooled,
        "driftflow_spool_set_aside_points": status.set_aside,
    }
    return {
        **{name: {(): float(value)} for name, value in plain.items() if value is not None},
        "driftflow_events_total": {
            (str(partition), name): float(counted[name])
            for partition, counted in here.items()
            for name in _OUTCOMES
            if name in counted
        },
        "driftflow_events_held": {(str(p),): float(of["held"]) for p, of in here.items() if "held" in of},
        "driftflow_messages_total": messages,
        "driftflow_state_written_bytes_total": {(stage,): float(n) for stage, n in status.state_written.items()},
        "driftflow_lag_records": {(roles[places[p][0]], places[p][1]): float(lag) for p, lag in known.items()},
        "driftflow_partitions": {
            (roles[topic],): float(n) for topic, n in Counter(topic for topic, _ in places.values()).items()
        },
        "driftflow_incidents_open": {
            (severity, kind): float(n)
            for what, n in status.incidents.items()
            for severity, _, kind in [what.partition(" ")]
        },
        "driftflow_failing": {(part,): 1.0 for part in status.failing},
        "driftflow_model_age_seconds": _age(status),
    }


def _outcomes(counted: dict[str, int], outcome: str) -> dict[Labels, float]:
    return {(topic, outcome): float(n) for topic, n in counted.items()}


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _age(status: Status) -> dict[Labels, float]:
    if not status.service or status.service_ms is None or status.event_time_ms is None:
        return {}
    return {(status.service,): (status.event_time_ms - status.service_ms) / 1000}
