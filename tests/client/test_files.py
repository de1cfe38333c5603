"""Signals from a file: typed, filtered, verified, each once; and as frames."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import stream_app.client
from schemas.incidents import Incident, SilencedIncident, StrangeEvents
from schemas.records import Health, ModelNotice, Record
from stream_app.client import Signal, signals
from stream_app.config import load
from stream_app.errors import DriftflowError
from stream_app.models.keys import signing_key
from stream_app.models.signing import sign
from tests.client.telling import OPEN, STORY, ids, messages, severities, write
from tests.worker.making import notice

TOML = """
stream = "s"
[topics]
events = "s.events"
[event]
time_field = "time"
numeric = ["x"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "signals.jsonl", messages(STORY))


def test_each_is_a_typed_record_with_its_place(file: Path) -> None:
    first, *rest = list(signals(file=file))
    assert first.record == OPEN
    assert (first.type, first.id, first.source) == ("driftflow.incident.v1", "e-0", "/driftflow/s/judge")
    assert (first.time.isoformat(), first.partition, first.offset) == ("1970-01-01T01:00:00+00:00", 0, 1)
    assert first.is_trusted is None
    assert [type(signal.record) for signal in rest] == [type(record) for record in STORY[1:]]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["e-0", "e-1", "e-2", "e-3", "e-4", "e-5"]),
        ({"of": Incident}, ["e-0", "e-1", "e-4"]),
        ({"of": SilencedIncident}, ["e-2"]),
        ({"of": (StrangeEvents, Health)}, ["e-3", "e-5"]),
        ({"of": Incident, "severity": "critical"}, ["e-1", "e-4"]),
        ({"severity": "warning", "of": (Incident, Health)}, ["e-0", "e-1", "e-4", "e-5"]),
        ({"open_only": True}, ["e-4", "e-2"]),
        ({"open_only": True, "of": Incident, "severity": "critical"}, ["e-4"]),
    ],
    ids=["all", "incidents", "silenced", "two kinds", "critical", "at least", "open", "open and critical"],
)
def test_filters(file: Path, asked: dict[str, Any], found: list[str]) -> None:
    assert ids(signals(file=file, **asked)) == found


def test_what_is_said_twice_comes_once_and_what_is_none_not_at_all(tmp_path: Path) -> None:
    one, other = messages(STORY[:2])
    newer = type(one)(one.value, tuple((n, b"driftflow.incident.v9" if n == "ce_type" else v) for n, v in one.headers))
    damaged = type(one)(b"{}", one.headers)
    assert ids(signals(file=write(tmp_path / "f", [one, newer, one, damaged, other, one]))) == ["e-0", "e-1"]


def test_a_severity_that_is_reached_later_counts(file: Path) -> None:
    assert severities(signals(file=file, of=Incident)) == ["warning", "critical", "critical"]


def test_async_too(file: Path) -> None:
    async def read() -> list[Signal[Record]]:
        return [signal async for signal in signals(file=file, severity="critical", of=(Incident, Health))]

    assert ids(asyncio.run(read())) == ["e-1", "e-4", "e-5"]


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    (tmp_path / "driftflow.toml").write_text(TOML)
    return tmp_path / "driftflow.toml"


@pytest.mark.parametrize("spaces", [True, False])
def test_what_has_to_be_signed_is_verified(configured: Path, tmp_path: Path, spaces: bool) -> None:
    (plain,) = messages([notice("m1", stream="s")], 7)
    path = write(tmp_path / "f", [plain], spaces)
    (unknown,) = signals(configured, file=path)
    assert unknown.is_trusted is None, "no key is known here"
    key = signing_key(load(configured))
    signed = sign(plain, key)
    path = write(tmp_path / "f", [plain, type(signed)(signed.value, signed.headers)], spaces)
    assert [signal.is_trusted for signal in signals(configured, file=path, untrusted=True)] == [False]
    path = write(tmp_path / "f", [signed], spaces)
    assert [signal.is_trusted for signal in signals(configured, file=path, of=ModelNotice)] == [True]
    forged = type(signed)(signed.value.replace(b'"m1"', b'"m2"'), signed.headers)
    assert list(signals(configured, file=write(tmp_path / "f", [forged, plain], spaces))) == []


@pytest.mark.parametrize("backend", ["pandas", "polars", "arrow"])
def test_frames(file: Path, backend: str) -> None:
    frame = signals(file=file).to_frame(backend)
    import narwhals.stable.v2 as nw

    table = nw.from_native(frame)
    assert table.columns[:7] == ["time", "type", "event_id", "said_by", "is_trusted", "at_partition", "at_offset"]
    assert table["event_id"].to_list() == ["e-0", "e-1", "e-2", "e-3", "e-4", "e-5"]
    assert str(table.schema["time"]).startswith("Datetime")
    assert [value for value in table["severity"].to_list() if isinstance(value, str)][:2] == ["warning", "critical"]
    assert table["since_ms"].to_list()[0] == OPEN.since_ms
    assert next(value for value in table["findings"].to_list() if isinstance(value, str)).startswith("[")


@pytest.mark.parametrize("backend", ["pandas", "polars", "arrow"])
def test_a_frame_of_nothing(tmp_path: Path, backend: str) -> None:
    frame = signals(file=write(tmp_path / "f", [])).to_frame(backend)
    assert frame.shape == (0, 7)


def test_what_makes_no_sense_is_refused(file: Path, tmp_path: Path) -> None:
    for asked, words in (
        ({}, "needs a configuration or a file"),
        ({"config": tmp_path / "s.jsonl"}, r"no configuration; signals of a file: signals\(file="),
        ({"file": file, "severity": "grave"}, "severity = 'grave': one of info, warning, critical"),
        ({"file": file, "group": "g"}, "group keeps a place on the topic"),
    ):
        with pytest.raises(ValueError, match=words):
            signals(**asked)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend = 'excel'"):
        signals(file=file).to_frame("excel")
    with pytest.raises(DriftflowError, match="cannot be read, No such file"):
        list(signals(file=tmp_path / "none"))
    (tmp_path / "other").write_text('{"x": 1}\n')
    with pytest.raises(DriftflowError, match="other, line 1 is no signal"):
        list(signals(file=tmp_path / "other"))


def test_the_face_is_exactly_what_is_public() -> None:
    public = {n for n, value in vars(stream_app.client).items() if n[0] != "_" and not isinstance(value, ModuleType)}
    assert public <= {*stream_app.client.__all__}
    assert {*stream_app.client.__all__} == {"Signal", "Signals", "signals"}
    assert callable(signals), "the module of the same name does not hide it"
