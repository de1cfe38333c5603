"""Incidents of a file that was scored: nobody has to run a broker to read them, and answers say why they need one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Incident, StrangeEvents
from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.operators.stored import stored
from stream_app.sinks import make_sink
from stream_app.stages.points import incident_point, strange_point
from tests.people import incident, silenced, strange

TOML = """
stream = "s"
[topics]
events = "e"
[event]
time_field = "time"
numeric = ["TEMP"]
[kafka]
bootstrap = ["127.0.0.1:{port}"]
"""
OPEN = incident()
OVER = incident("aaaaaaaa-1", state="resolve", reason="ended", number=2, summary="Over, all is as before: Tiantan")
HUSHED = silenced(incident("bbbbbbbb-1", summary="Gucheng: hushed"))
SAID: list[Incident | StrangeEvents] = [incident("aaaaaaaa-1"), OPEN, OVER, HUSHED, strange()]


@pytest.fixture
def config(tmp_path: Path, port: int) -> Config:
    (tmp_path / "driftflow.toml").write_text(TOML.format(port=port))
    return load(tmp_path / "driftflow.toml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """As ``score --signals`` writes it."""
    path = tmp_path / "signals.jsonl"
    with open(path, "w") as out:
        for number, record in enumerate(SAID):
            sent = encode_event(Envelope(record, f"id-{number}", "/driftflow/s/judge", 0))
            headers = {name: value.decode() for name, value in sent.headers}
            out.write(json.dumps({"partition": 0, **headers, "data": json.loads(sent.value)}) + "\n")
    return path


def store(config: Config) -> None:
    sink = make_sink(config)
    points = [incident_point(one) if isinstance(one, Incident) else strange_point(one) for one in SAID]
    sink.write(points)
    sink.close()


def call(config: Config, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "-c", str(Path(config.root) / "driftflow.toml")], env={"COLUMNS": "400"})


def test_a_file_of_signals_is_read_as_the_topic_is(config: Config, file: Path) -> None:
    shown = call(config, "incidents", "--from-file", str(file))
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("One incident is open:")
    assert "Dongsi: TEMP is lower" in shown.stdout
    assert "1 is over and 1 is open and silenced: --all shows them" in shown.stdout
    everything = call(config, "incidents", "--all", "--from-file", str(file)).stdout
    assert "Over, all is as before: Tiantan" in everything
    assert "single strange events" in everything
    assert "Where:" in call(config, "incidents", OPEN.id[:6], "--from-file", str(file)).stdout


def test_without_a_broker_the_store_is_read_and_said_to_be(config: Config) -> None:
    store(config)
    shown = call(config, "incidents", "--all", "--format", "json")
    assert shown.exit_code == 0, shown.output
    assert {json.loads(line)["id"] for line in shown.stdout.splitlines()} == {OPEN.id, OVER.id, HUSHED.id}
    assert "the broker cannot be reached" in shown.stderr
    assert str(config.path(config.sink.path)) in shown.stderr


def test_without_broker_and_store_it_says_what_to_do(config: Config) -> None:
    shown = call(config, "incidents")
    assert shown.exit_code == 1
    assert "score FILE --signals signals.jsonl` say `driftflow incidents --from-file signals.jsonl`" in shown.output
    assert stored(config) is None


def test_rows_of_others_and_damaged_ones_are_passed_over(config: Config) -> None:
    store(config)
    other: Any = msgspec.structs.replace(config, stream="other")
    assert stored(other) is None
    told = stored(config)
    assert told is not None
    assert [one.state for one in told.incidents.values()].count("resolve") == 1
    assert told.opened["aaaaaaaa-1"].number == 1


@pytest.mark.parametrize("words", [["accept", OPEN.id[:6]], ["ack", OPEN.id[:6]], ["feedback", OPEN.id[:6], "noise"]])
def test_an_answer_needs_a_stream_that_runs_and_says_so(config: Config, words: list[str]) -> None:
    store(config)
    answered = call(config, *words)
    assert answered.exit_code == 1
    assert "an answer goes to the workers of a stream on Kafka" in answered.output
    assert "score FILE --bootstrap-until DATE" in answered.output
