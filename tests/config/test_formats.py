"""A format and what belongs to it: every fault at once, and the layout written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_app.config import parse
from stream_app.errors import ConfigError

EVENT = {
    "time_field": "at",
    "time_format": "epoch_ms",
    "numeric": ["x", "y"],
    "slicings": [["station"]],
    "id_field": "id",
}


def faults(event: dict[str, Any], **sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, **event}, **sections})
    return caught.value.faults


def test_avro_needs_a_schema_or_a_registry_and_only_avro_has_them(tmp_path: Path) -> None:
    assert faults({"format": "avro"}) == [
        "event.avro_schema or schema_registry.url: needed with Avro, which says nothing of its fields"
    ]
    registry = {"schema_registry": {"url": "http://registry:8081"}}
    assert [fault.partition(":")[0] for fault in faults({"avro_schema": "no.avsc", "layout": ["x"]}, **registry)] == [
        "event.layout",
        "event.avro_schema",
        "event.avro_schema",
        "schema_registry.url",
    ]
    (tmp_path / "bad.avsc").write_text("{")
    (fault,) = faults({"format": "avro", "avro_schema": "bad.avsc"}, root=str(tmp_path))
    assert "bad.avsc is no schema in JSON" in fault


def test_a_registry_of_signals_goes_with_every_format() -> None:
    sections = {"stream": "s", "topics": {"events": "e"}, "event": EVENT}
    assert parse({**sections, "schema_registry": {"url": "http://registry:8081", "signals": True}})
    assert faults({}, schema_registry={"signals": True}) == [
        "schema_registry.url: needed with schema_registry.signals = true"
    ]


def test_float32_has_times_in_milliseconds_and_each_field_once() -> None:
    found = faults({"format": "float32", "time_format": "iso8601", "layout": ["x", "x", "station", "z"]})
    assert found == [
        'event.time_format: "epoch_ms" with format = "float32", got \'iso8601\'',
        "event.layout: 'id' is missing; it has each of x, y, station, id",
        "event.layout: 'y' is missing; it has each of x, y, station, id",
        "event.layout: 'z' is no field named here; it has each of x, y, station, id",
        "event.layout: each field once",
    ]


def test_the_layout_is_written_out() -> None:
    made = parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, "format": "float32"}})
    assert made.event.layout == ["x", "y", "station", "id"]


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ({"url": "registry:8081"}, ["schema_registry.url"]),
        ({"url": "https://user:word@registry"}, ["schema_registry.url"]),
        ({"username": "ann"}, ["schema_registry.password_env or schema_registry.password_file"]),
        ({"password_env": "P"}, ["schema_registry.username"]),
        ({"username": "ann", "password_env": "P", "token_file": "t"}, ["schema_registry.token_env"]),
        ({"timeout": "2m"}, ["schema_registry.timeout"]),
    ],
    ids=["no scheme", "user in it", "no password", "no user", "both", "timeout"],
)
def test_a_registry_is_named_whole(section: dict[str, Any], keys: list[str]) -> None:
    section = {"url": "https://registry:8081", **section}
    assert [fault.partition(":")[0] for fault in faults({"format": "avro"}, schema_registry=section)] == keys
