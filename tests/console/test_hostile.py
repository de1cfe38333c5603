"""Whatever is asked and whatever the store holds, the page answers: never a 500, never a hang."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.bounds import MILLIS_MAX
from stream_app.console.answers import NotReadableError, Store
from stream_app.console.asked import Incidents
from stream_app.console.server import Handle, start_in_thread
from tests.console.storing import write_store
from tests.console.telling import DRIFTED, START_MS
from tests.sinks.making import insert

WAIT_S = 20.0
"""Longer than any answer may take on a busy machine; a hang takes for ever."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "store.sqlite"
    write_store(path, panes=24)
    return path


@pytest.fixture(scope="module")
def handle(whole: Path) -> Iterator[Handle]:
    served = start_in_thread(Store(whole, "beijing-air"))
    yield served
    served.stop()


# Requests -------------------------------------------------------------------------------------------------------------


def ask(handle: Handle, request: bytes, unfinished: bool = False) -> tuple[int, bytes]:
    """Send bytes, with no more to come where they are unfinished, and read until the other side hangs up.

    Returns:
        the status, 0 for none, and the body.
    """
    address = urlsplit(handle.url)
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_S) as link:
        link.sendall(request)
        if unfinished:
            link.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: link.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0), body


def request(path: bytes, method: bytes = b"GET", headers: bytes = b"") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + b"\r\n"


def still_answers(handle: Handle) -> None:
    status, body = ask(handle, request(b"/api/overview"))
    assert (status, len(json.loads(body)["overview"]["slices"])) == (200, 3)


VALUES = st.one_of(
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
    st.sampled_from([b"\x00", b"%", b"'", b'"', b"--", b"$.x", DRIFTED.encode(), b"station", b"28d", b"pane"]),
    st.integers(1, 10_000).map(lambda n: b"a" * n),
)
ESCAPED = VALUES.map(quote_from_bytes).map(str.encode)
BAD_ESCAPES = st.sampled_from(
    [b"%", b"%z", b"%00", b"%ff", b"%ed%a0%80", b"%u1234", b"%%%", b"+", b"%0d%0a", b";", b"#"]
)
NAMES = st.sampled_from(
    [*b"state severity kind page from to silenced find slicing slice span id x find[]".split(), b""]
)
PARAMETERS = st.lists(
    st.tuples(NAMES, st.one_of(ESCAPED, BAD_ESCAPES)).map(lambda pair: b"=".join(pair)), max_size=12
).map(b"&".join)
QUESTIONS = b"overview slice slices incident incidents watcher models fairness acting act".split()
PATHS = st.one_of(
    st.sampled_from([*(b"/api/" + name for name in QUESTIONS), *b"/ /static/app.js /api/ // /static/ *".split()]),
    st.tuples(st.just(b"/static/"), st.one_of(ESCAPED, BAD_ESCAPES)).map(b"".join),
    ESCAPED.map(lambda path: b"/" + path),
)
METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"TRACE", b"BREW", b"get"])
HEADER_BYTES = st.binary(max_size=200).map(lambda raw: raw.translate(None, b"\r\n\x00"))
HEADERS = st.tuples(
    st.sampled_from([b"If-None-Match", b"Range", b"Accept-Encoding", b"If-Modified-Since", b"Content-Type", b"Cookie"]),
    st.one_of(HEADER_BYTES, st.sampled_from([b"*", b'"', b"W/", b"bytes=9-1", b"bytes=0-99999999999", b"\xff"])),
).map(lambda pair: pair[0] + b": " + pair[1] + b"\r\n")


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(PATHS, PARAMETERS, METHODS, st.lists(HEADERS, max_size=3).map(b"".join))
def test_no_request_brings_the_console_down(
    handle: Handle, path: bytes, parameters: bytes, method: bytes, headers: bytes
) -> None:
    status, _ = ask(handle, request(path + b"?" + parameters if parameters else path, method, headers))
    assert 200 <= status < 500 or status == 503, status  # 503 says that the store cannot be read now


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(lambda raw: request(b"/" + raw))))
def test_bytes_that_are_no_request_are_refused_or_hung_up_on(handle: Handle, raw: bytes) -> None:
    assert ask(handle, raw, unfinished=True)[0] < 500


@pytest.mark.parametrize(
    "raw",
    [
        request(b"/api/overview?find=" + b"a" * 1_000_000),
        request(b"/api/slice?" + b"&".join(b"span=%d" % n for n in range(5_000))),
        request(b"/api/overview", headers=b"If-None-Match: " + b'"x",' * 20_000 + b"\r\n"),
        request(b"/api/overview", headers=b"X: y\r\n" * 5_000),
        request(b"/static/" + b"a" * 300),
        request(b"/static/%00"),
        request(b"/static/..%2f..%2fserver.py"),
        request(b"/static/" + b"%2e%2e%2f" * 200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /api/overview HTTP/1.1\r\nConnection: close\r\nHost: [::1\r\n\r\n",
    ],
    ids=lambda raw: repr(bytes(raw[:40])),
)
def test_requests_without_measure(handle: Handle, raw: bytes) -> None:
    try:
        status, _ = ask(handle, raw)
    except ConnectionError:  # hung up on before all of it was sent
        status = 0
    assert status < 500
    still_answers(handle)


@pytest.mark.parametrize("head", [b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_never_comes_holds_nobody_up(handle: Handle, head: bytes) -> None:
    address = urlsplit(handle.url)
    with socket.create_connection((address.hostname, address.port), timeout=WAIT_S) as link:
        link.sendall(request(b"/api/overview", b"POST", head) + b"ff\r\n")
        still_answers(handle)
        assert link.recv(12) == b"HTTP/1.1 405"


def test_a_head_has_no_body_and_what_changes_nothing_is_all_that_is_allowed(handle: Handle) -> None:
    assert ask(handle, request(b"/api/overview", b"HEAD")) == (200, b"")
    for method in (b"POST", b"PUT", b"DELETE", b"PATCH"):
        assert ask(handle, request(b"/api/overview", method))[0] == 405


def test_slices_that_are_not_there_have_no_page(handle: Handle) -> None:
    for name in (b"a" * 10_000, b"%00", b"%ff", b"'%3B%20DROP%20TABLE%20points", b""):
        assert ask(handle, request(b"/api/slice?slicing=station&slice=" + name))[0] == 404
        assert ask(handle, request(b"/api/incident?id=" + name))[0] == 404


# Stored rows ----------------------------------------------------------------------------------------------------------

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
CELLS = st.one_of(
    JSONS.map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20),
    st.sampled_from(["", "[" * 2_000, '{"a":' * 2_000, "NaN", '{"stream": "beijing-air"}', '{"stream": 1}', "\\ud800"]),
)
TIMES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.binary(max_size=5),
    st.integers(START_MS, START_MS + 10**9),
)
MEASUREMENTS = st.sampled_from(
    [
        *("windows", "incidents", "strange_events", "actions", "models", "activations", "counters", "pit"),
        *("retrains", "health", "service"),
    ]
)


@st.composite
def altered_rows(draw: st.DrawFn, genuine: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """A genuine row with one or two cells, or one or two fields, that are not what the pipeline writes."""
    measurement, series, time_ms, tags, fields = draw(st.sampled_from(genuine))
    for kind in draw(st.lists(st.sampled_from(["time", "tags", "fields", "a tag", "a field", "series"]), min_size=1)):
        if kind == "time":
            time_ms = draw(TIMES)
        elif kind == "tags":
            tags = draw(CELLS)
        elif kind == "fields":
            fields = draw(CELLS)
        elif kind == "a tag" and str(tags).startswith("{"):
            tags = draw(changed(tags))
        elif kind == "a field" and str(fields).startswith("{"):
            fields = draw(changed(fields))
        elif kind == "series":
            series = draw(st.one_of(st.binary(max_size=9), st.text(st.characters(exclude_categories=["Cs"]))))
    return measurement, series, time_ms, tags, fields


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """An object with one of its values another, or absent."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(table, dict) or not table:
        return text
    name = draw(st.sampled_from(sorted(table)))
    if draw(st.booleans()):
        del table[name]
    else:
        table[name] = draw(JSONS)
    return json.dumps(table)


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as link:
        rows = link.execute("SELECT measurement, series, time_ms, tags, fields FROM points").fetchall()
    link.close()
    return rows


def answers(path: Path) -> dict[str, Any]:
    """All answers as the server would send them; the overview."""
    store = Store(path, "beijing-air")
    _, overview = store.overview()
    assert overview is not None
    for row in overview["slices"]:
        detail = store.detail(row["slicing"], row["slice"])
        json.dumps(detail, allow_nan=False, ensure_ascii=False).encode()
    listed = store.incidents(Incidents())
    for row in listed["incidents"]:
        json.dumps(store.incident(row["id"]), allow_nan=False, ensure_ascii=False).encode()
    for answer in (overview, listed, store.watched(), store.models(), store.fairness()):
        json.dumps(answer, allow_nan=False, ensure_ascii=False).encode()
    return overview


def with_rows(whole: Path, folder: Path, rows: list[tuple[Any, ...]], kind: str = "REPLACE") -> Path:
    path = folder / "store.sqlite"
    shutil.copy(whole, path)
    with sqlite3.connect(path) as link:
        insert(link, rows, kind)
    link.close()
    return path


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_no_row_of_a_store_brings_the_page_down(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The rows that are there stay as they are; what is strange comes beside them."""
    genuine = rows_of(whole)
    strange = data.draw(st.lists(altered_rows(genuine), min_size=1, max_size=6))
    path = with_rows(whole, tmp_path_factory.mktemp("rows"), strange, "IGNORE")
    overview = answers(path)
    assert {"Tiantan", DRIFTED} <= {row["slice"] for row in overview["slices"]} or overview["left_out"]


SERIES = f"slice={DRIFTED},slicing=station,span=28d,stream=beijing-air"
TAGS = json.dumps({"slice": DRIFTED, "slicing": "station", "span": "28d", "stream": "beijing-air"})
Cells = dict[str, Any]
DAMAGED: dict[str, Cells] = {
    "tags that are no object": {"tags": "[1]"},
    "tags that are no JSON": {"tags": "{"},
    "tags of bytes": {"tags": b"\xff\xfe"},
    "a text that is no UTF-8": {"tags": b"CAST"},
    "fields that are no object": {"fields": "3"},
    "fields without end": {"fields": '{"scored": '},
    "fields nested without end": {"fields": "[" * 100_000},
    "a number as text": {"fields": "scored=text"},
    "NaN": {"fields": "scored=NaN"},
    "a year beyond 9999": {"time_ms": MILLIS_MAX + 1},
    "a time before 1970": {"time_ms": -1},
    "a time that is a text": {"time_ms": "soon"},
}


@pytest.mark.parametrize("cells", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_row_is_left_out_and_counted(whole: Path, tmp_path: Path, cells: Cells) -> None:
    (fields,) = [row[4] for row in rows_of(whole) if row[:2] == ("windows", SERIES)][-1:]
    if str(cells.get("fields", "")).startswith("scored="):
        value = cells["fields"].partition("=")[2]
        cells = {"fields": json.dumps({**json.loads(fields), "scored": float(value) if value == "NaN" else value})}
    row = {"time_ms": START_MS + 10**11, "tags": TAGS, "fields": fields, **cells}
    path = with_rows(whole, tmp_path, [("windows", "another," + SERIES, row["time_ms"], row["tags"], row["fields"])])
    if cells == {"tags": b"CAST"}:  # sqlite3 would not write it
        with sqlite3.connect(path) as link:
            link.execute("UPDATE series SET tags = CAST(x'7bff7d' AS TEXT) WHERE series LIKE 'another%'")
        link.close()
    overview = answers(path)
    assert overview["left_out"] == 1
    assert {row["slice"] for row in overview["slices"]} >= {DRIFTED, "Tiantan"}
    assert overview["time_ms"] == answers(whole)["time_ms"]
    assert answers(whole)["left_out"] == 0


def test_a_curve_is_not_stretched_by_a_time_that_is_none(whole: Path, tmp_path: Path) -> None:
    rows = [row for row in rows_of(whole) if row[:2] == ("windows", SERIES)]
    far = [("windows", SERIES, time_ms, TAGS, rows[-1][4]) for time_ms in (-(2**63), MILLIS_MAX + 1, 2**63 - 1, "x")]
    path = with_rows(whole, tmp_path, far)
    before, after = (Store(p, "beijing-air").detail("station", DRIFTED, "28d") for p in (whole, path))
    assert before is not None
    assert after is not None
    assert (after.pop("left_out"), before.pop("left_out")) == (4, 0)
    assert after == before


# The file -------------------------------------------------------------------------------------------------------------


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def garbled(path: Path) -> None:
    blob = path.read_bytes()
    path.write_bytes(blob[:4_096] + bytes(len(blob) - 4_096))


def no_database(path: Path) -> None:
    path.write_bytes(b"no database" * 999)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [emptied, cut, garbled, no_database, a_folder])
def test_a_damaged_file_is_said_to_be_one_and_a_whole_one_in_its_place_is_read(
    whole: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """While the console runs: nothing is kept of the old file."""
    path = Path(shutil.copy(whole, tmp_path / "store.sqlite"))
    store = Store(path, "beijing-air")
    for _ in range(2):
        assert len(answers(path)["slices"]) == 3
        assert store.overview()[1] is not None
        damage(path)
        with pytest.raises(NotReadableError, match=f"{path} cannot be read: "):
            store.detail("station", DRIFTED)
        store._overview._until_s = 0.0
        with pytest.raises(NotReadableError, match=f"{path} cannot be read: "):
            store.overview()
        if path.is_dir():
            path.rmdir()
        shutil.copy(whole, tmp_path / "new")
        (tmp_path / "new").replace(path)
    assert store.overview()[1] is not None
