"""``driftflow doctor``: what can be wrong is said with its remedy, on a real broker, and why there is no alert."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.doctor.findings import ok
from stream_app.doctor.running import look_at_workers, why_no_alert
from stream_app.incident_lines import OVER
from stream_app.operators.reading import Told
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.status import Status, StatusFile
from tests.people import incident

TOML = """
stream = "{name}"
[event]
time_field = "ts"
time_format = "epoch_ms"
numeric = ["x"]
[kafka]
bootstrap = ["{bootstrap}"]
[topics]
partitions = 1
"""


def examined(folder: Path) -> tuple[dict[str, str], dict[str, str], int]:
    """State and words of each thing that was looked at, and the exit status."""
    done = CliRunner().invoke(main, ["doctor", "--json", "-c", str(folder / "driftflow.toml")], catch_exceptions=False)
    found = json.loads(done.stdout)["findings"]
    states = {one["about"]: one["state"] for one in found}
    return states, {one["about"]: f"{one['says']}; {one['remedy']}" for one in found}, done.exit_code


def send(bootstrap: str, topic: str, bodies: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    partitions = len(producer.partitions_for(topic))
    for i, body in enumerate(bodies):
        producer.send(topic, body, partition=i % partitions)
    producer.flush()
    producer.close()


def test_a_stream_that_has_not_begun_and_one_whose_upstream_breaks(tansu: str, tmp_path: Path) -> None:
    name = f"doctor-{tmp_path.name[-12:]}"
    (tmp_path / "driftflow.toml").write_text(TOML.format(name=name, bootstrap=tansu))
    now = time.time_ns() // 1_000_000
    send(tansu, f"{name}.events", [json.dumps({"ts": now - i, "x": i}).encode() for i in range(400)])
    states, words, status = examined(tmp_path)
    assert status == 0, words
    assert (states["configuration"], states["disk"], states["reachable"], states["permissions"]) == ("ok",) * 4
    assert (states["events"], states["clock"]) == ("ok", "ok"), words
    assert words["events"].startswith("the newest 400 of 400 events on ")
    assert {states[name] for name in ("keys", "model", "lag", "workers", "alerts")} == {"warning"}
    assert words["alerts"] == "there can be none: no worker has run here; start `driftflow worker`"

    send(tansu, f"{name}.events", [b'{"ts": "soon", "x": 1}'] * 100)
    states, words, status = examined(tmp_path)
    assert (status, states["events"]) == (1, "fault")
    assert " of the last events of each partition rejected: " in words["events"]
    assert "wrong_type in field 'ts' (expected a number, got the text 'soon')" in words["events"]


def test_a_feature_that_is_called_like_a_finding_is_said(tmp_path: Path) -> None:
    plain = TOML.format(name="s", bootstrap="127.0.0.1:1")
    (tmp_path / "driftflow.toml").write_text(plain.replace("[kafka]", 'categorical = ["is_fraud"]\n[kafka]'))
    states, words, _ = examined(tmp_path)
    assert (states["labels"], words["labels"].partition(":")[0]) == ("warning", "is_fraud")
    (tmp_path / "driftflow.toml").write_text(plain)
    assert "labels" not in examined(tmp_path)[0]


def test_a_broker_that_is_away_is_a_fault_where_one_is_named(tmp_path: Path) -> None:
    text = TOML.format(name="away", bootstrap="127.0.0.1:9")
    (tmp_path / "driftflow.toml").write_text(text)
    states, words, status = examined(tmp_path)
    assert (states["broker"], status) == ("fault", 1)
    (tmp_path / "driftflow.toml").write_text(text.partition("[kafka]")[0])
    states, words, status = examined(tmp_path)
    assert (states["model"], "driftflow score FILE" in words["model"]) == ("warning", True)


def config_of(folder: Path) -> Config:
    (folder / "driftflow.toml").write_text(TOML.format(name="s", bootstrap="127.0.0.1:9"))
    return load(folder / "driftflow.toml")


GOOD: dict[str, Any] = {
    "counters": {0: dict.fromkeys(COUNTERS, 0) | {"received": 5_000, "windowed": 5_000}},
    "service": "m1",
    "judged_ms": 1_700_000_000_000,
    "event_time_ms": 1_700_000_100_000,
    "lag": 0,
}


@pytest.mark.parametrize(
    ("changed", "state", "says"),
    [
        ({}, "ok", "nothing strange enough: judged up to 2023-11-14 22:13 UTC, 100.0% of 5,000 events count"),
        ({"service": ""}, "warning", "there can be none of values: no model is in service"),
        ({"judged_ms": None}, "warning", "the first pane of 1 hour is not judged yet: event time stands at 2023-11-14"),
        ({"lag": 50_000}, "warning", "50,000 events are still to be read"),
        ({"failing": {"events": "all of the last"}}, "fault", "there can be none: what arrives is no event any more"),
        (
            {"counters": {0: dict.fromkeys(COUNTERS, 0)}},
            "warning",
            "there can be none: no event has arrived on s.events",
        ),
        (
            {"counters": {0: dict.fromkeys(COUNTERS, 0)}, "service": "", "lag": 50_000},
            "warning",
            "there can be none of values: no model is in service",
        ),
    ],
    ids=["ordinary", "no model", "warm-up", "behind", "broken", "nothing", "waiting"],
)
def test_why_there_is_no_alert_is_the_first_reason_that_holds(
    changed: dict[str, Any], state: str, says: str, tmp_path: Path
) -> None:
    config = config_of(tmp_path)
    StatusFile(config).write(Status(**{**GOOD, **changed}))
    found = why_no_alert(config, [], Told(), 2)
    assert (found.state, found.says[: len(says)]) == (state, says)
    assert (state != "ok") or "; 2 silences hold some back" in found.says


def test_a_model_that_is_here_and_not_on_the_topic_is_published_not_trained_again(tmp_path: Path) -> None:
    """As ``driftflow score`` leaves it, before the stream has a topic."""
    config = config_of(tmp_path)
    StatusFile(config).write(Status(**{**GOOD, "service": "", "lag": 50_000}))
    found = why_no_alert(config, [ok("model", "m1 is in service")], Told(), 0)
    assert "no worker has a model yet" in found.says
    assert "driftflow models publish" in found.remedy


@pytest.mark.parametrize("state", sorted(OVER))
def test_what_is_over_in_any_way_is_not_open(state: str, tmp_path: Path) -> None:
    config = config_of(tmp_path)
    StatusFile(config).write(Status(**GOOD))
    ended = incident(state=state)
    assert "1 were told and are over" in why_no_alert(config, [], Told({ended.id: ended}), 0).says
    still = incident(state="update")
    assert why_no_alert(config, [], Told({still.id: still}), 0).says.startswith("1 incident is open; the newest: ")


def test_what_workers_say_of_themselves_is_said(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    lost = {0: dict.fromkeys(COUNTERS, 0) | {"received": 100, "rejected": 90, "windowed": 10}}
    StatusFile(config).write(
        Status(**{**GOOD, "counters": lost, "failing": {"sink": "away"}, "dead_letters": {"bad_time": 90}})
    )
    found = {one.about: (one.state, one.says) for one in look_at_workers(config)}
    assert found["workers"][0] == "ok"
    assert found["workers, sink"] == ("fault", "away")
    assert found["workers, events"] == ("warning", "90 of 100 events rejected, 0 late (90 bad_time)")
    assert msgspec.json.encode(list(look_at_workers(config)))
