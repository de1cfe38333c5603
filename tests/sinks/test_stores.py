"""Every sink against the same checks, the Influx one against a real server; refusals one by one."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.config import Config, SinkConfig, load
from stream_app.errors import SinkError
from stream_app.kafka.embedded import free_port
from stream_app.sinks import Rejected, Sink, make_sink
from stream_app.sinks.checks import check_sink
from stream_app.sinks.line_protocol import line_of
from stream_app.sinks.window_table import series_of
from stream_app.stages.outputs import Point
from tests import victoria as server
from tests.sinks.making import ScriptedServer, point

EXAMPLE = Path(__file__).parents[2] / "stream_app/demo/example/driftflow.toml"


def config_of(folder: Path, **sink: object) -> Config:
    """The example's configuration with another sink, in a folder."""
    config = load(EXAMPLE, {"root": str(folder)})
    return msgspec.structs.replace(config, sink=SinkConfig(**sink))  # type: ignore[arg-type]


def test_sqlite(tmp_path: Path) -> None:
    sink = make_sink(config_of(tmp_path, kind="sqlite"))

    def read() -> list[tuple[str, int, float]]:
        query = "SELECT tags, time_ms, fields FROM points WHERE measurement = 'windows'"
        rows = sink._db.execute(query).fetchall()  # type: ignore[attr-defined]
        return [(json.loads(tags)["slice"], time_ms, float(json.loads(fields)["x"])) for tags, time_ms, fields in rows]

    check_sink(sink, read)


def test_sqlite_of_another_version_is_left_alone(tmp_path: Path) -> None:
    sink = make_sink(config_of(tmp_path, kind="sqlite"))
    sink._db.execute("PRAGMA user_version = 99")  # type: ignore[attr-defined]
    sink.close()
    with pytest.raises(SinkError, match="another version"):
        make_sink(config_of(tmp_path, kind="sqlite"))


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server.victoria(tmp_path_factory.mktemp("victoria")) as url:
        yield url


def test_influx_write_api_on_a_real_server(tmp_path: Path, victoria: str) -> None:
    sink = make_sink(config_of(tmp_path, kind="influx", url=victoria))

    def read() -> list[tuple[str, int, float]]:
        urllib.request.urlopen(f"{victoria}/internal/force_flush", timeout=5).close()
        match = urllib.parse.urlencode({"match[]": '{__name__="windows_x"}', "reduce_mem_usage": "0"})
        with urllib.request.urlopen(f"{victoria}/api/v1/export?{match}", timeout=5) as answer:
            series = [json.loads(line) for line in answer]
        return sorted(
            {
                (one["metric"]["slice"], time_ms, float(x))
                for one in series
                for time_ms, x in zip(one["timestamps"], one["values"], strict=True)
            }
        )

    check_sink(sink, read)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, Rejected, "refused points"),
        (422, Rejected, "refused points"),
        (413, Rejected, "refused points"),
        (401, SinkError, "token"),
        (403, SinkError, "may not write"),
        (404, SinkError, "no such"),
        (429, SinkError, "patience"),
        (500, SinkError, "problem"),
        (503, SinkError, "problem"),
    ],
)
def test_refusals_are_told_apart(tmp_path: Path, status: int, kind: type[SinkError], hint: str) -> None:
    server = ScriptedServer([status])
    sink = _sink(tmp_path, server.url)
    with pytest.raises(kind, match=hint) as caught:
        sink.write([point(1)])
    assert (type(caught.value) is Rejected) == (kind is Rejected)
    sink.write([point(1)])
    assert len(server.bodies) == 2, "no retries of the client's own"
    sink.close()
    server.close()


def test_an_unreachable_server_is_said_to_be_so(tmp_path: Path) -> None:
    sink = _sink(tmp_path, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SinkError, match="cannot be reached"):
        sink.write([point(1)])
    sink.close()


def _sink(folder: Path, url: str) -> Sink:
    from stream_app.sinks.influx import InfluxSink

    return InfluxSink(config_of(folder, kind="influx", url=url))


def test_lines_never_hold_what_a_server_refuses() -> None:
    odd = Point(
        "m", (("empty", ""), ("slice", "a b,c=d")), 5, (("bad", float("nan")), ("inf", float("inf")), ("x", 1.5))
    )
    assert line_of(odd) == r"m,slice=a\ b\,c\=d x=1.5 5"


def _tagged(slice_: str, slicing: str) -> Point:
    return Point("m", (("slice", slice_), ("slicing", slicing)), 5, (("x", 1),))


ODD = st.text(st.sampled_from("ab,= \\\n\t\r\0\x1b\x7f␛05CA")).filter(bool)


@given(ODD, ODD, ODD, ODD)
@example("a\nb", "s", "a\\nb", "s")
@example("a\\", "s", "a\\ ", "s")
@example("a,slicing=b", "c", "a", "b,slicing=c")
def test_tags_are_one_to_one(slice_: str, slicing: str, other: str, of: str) -> None:
    """Backslashes and newlines too, in line protocol and in the series of the embedded store."""
    same = (slice_, slicing) == (other, of)
    one, two = _tagged(slice_, slicing), _tagged(other, of)
    assert (line_of(one) == line_of(two)) == same
    assert (series_of(one.tags) == series_of(two.tags)) == same
    assert not set(line_of(one)) & set("\n\t\r\0\x1b\x7f")
