"""A worker's probes give a reason for each thing that is not as it should be; its metrics are what its status tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.guard import Guard
from stream_app.kafka.probes import Reachable
from stream_app.monitor.meter import Meter
from stream_app.sinks.drainer import DrainerState
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.monitoring import Monitoring, values_of
from stream_app.worker.status import Status


class Drains:
    """A drainer that stands as a test wants it."""

    state = DrainerState(alive=True)


@pytest.fixture
def guard() -> Iterator[Guard]:
    with suppress(DriftflowError), Guard(60.0) as guarding:  # it raises what a test has let fail
        yield guarding


@pytest.fixture
def monitoring(config: Config, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Monitoring:
    monkeypatch.setattr(Reachable, "why_not", lambda _: list[str]())
    return Monitoring(config, guard, Drains(), Meter(), lambda: True)


WELL = Status(lags={"e/0": 3, "s.partials/1": None}, service="m")


def test_a_worker_that_is_well_is_ready(monitoring: Monitoring) -> None:
    assert monitoring.not_ready() == ["the worker has not come to its event loop yet"]
    monitoring.note(WELL)
    assert monitoring.not_ready() == monitoring.not_alive() == []


def test_everything_that_is_missing_is_a_reason(config: Config, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reachable, "why_not", lambda _: ["no broker answers"])
    monitoring = Monitoring(config, guard, Drains(), Meter(), lambda: False)
    monitoring.note(Status(waits_for=["m2"], failing={"schemas": "the registry is away", "drainer": "so is the sink"}))
    monkeypatch.setattr(time, "monotonic", lambda clock=time.monotonic: clock() + 60.0)
    loop, partitions, model, waits, schemas, broker = monitoring.not_ready()
    assert loop.startswith("the event loop has not come round for 6")
    assert partitions.startswith(f"no partitions are assigned: group {config.kafka.group} is being formed")
    assert model == f"no model has been loaded from {config.topics.models} yet"
    assert waits == "models that its partitions need have not arrived: m2"
    assert schemas == "events wait for their schemas: the registry is away"
    assert broker == "no broker answers"


def test_a_worker_that_stops_is_alive_and_not_ready(monitoring: Monitoring, guard: Guard) -> None:
    monitoring.note(WELL)
    guard.fail("the disk is full")
    assert monitoring.not_ready() == ["the worker stops"]
    assert monitoring.not_alive() == ["the disk is full"]


def test_what_nobody_would_end_is_not_alive(
    config: Config, guard: Guard, monitoring: Monitoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drains, "state", DrainerState(alive=False))
    assert monitoring.not_alive() == ["the thread that empties the spool is dead"]
    idle = Guard(1.0)  # nobody has entered it: no thread looks
    monkeypatch.setattr(idle, "_looked_s", time.monotonic() - 30.0)
    idle.watch("the event loop hangs: it has not come round", 5.0).silent_s = 9.0
    other = Monitoring(config, idle, Drains(), Meter(), lambda: True)
    blind, hangs, _ = other.not_alive()
    assert blind == "the guard has not looked for 30 s: nothing would end this process if it hung"
    assert hangs == "the event loop hangs: it has not come round for 9 s"


def test_metrics_are_of_the_partitions_that_are_here() -> None:
    counted = dict(zip(COUNTERS, (10, 5, 1, 2, 1, 1), strict=True))
    status = Status(
        counters={0: counted, 7: counted},
        unread={0: 3},
        lags={"ev/0": 3, "pa/1": None, "pa/2": 0},
        service="m",
        service_ms=1_000,
        event_time_ms=9_000,
        incidents={"critical drift": 2},
        taken={"partials": 4},
        refused={"partials": 1},
        failing={"drainer": "away"},
    )
    values = values_of(status, {"ev": "events", "pa": "partials"})
    assert values["driftflow_events_total"][("0", "rejected")] == 2
    assert {partition for partition, _ in values["driftflow_events_total"]} == {"0"}, "7 has another owner"
    assert values["driftflow_events_held"] == {("0",): 1}
    assert values["driftflow_lag_records"] == {("events", "0"): 3, ("partials", "2"): 0}
    assert values["driftflow_partitions"] == {("events",): 1, ("partials",): 2}
    assert values["driftflow_model_age_seconds"] == {("m",): 8}
    assert values["driftflow_incidents_open"] == {("critical", "drift"): 2}
    assert values["driftflow_messages_total"] == {("partials", "taken"): 4, ("partials", "refused"): 1}
    assert values["driftflow_failing"] == {("drainer",): 1}
    assert "driftflow_judged_time_seconds" not in values
    unknown = values_of(msgspec.structs.replace(status, service_ms=None), {"ev": "events", "pa": "partials"})
    assert unknown["driftflow_model_age_seconds"] == {}


def test_nothing_listens_where_it_is_not_wanted(config: Config, guard: Guard) -> None:
    silent = msgspec.structs.replace(config, monitor=msgspec.structs.replace(config.monitor, enabled=False))
    monitoring = Monitoring(silent, guard, Drains(), Meter(), lambda: True)
    with monitoring.serving():
        assert monitoring.url == ""
