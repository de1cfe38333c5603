"""Workers write their totals, one file each; a reader sees them as one."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import msgspec
import pytest

from stream_app.config import Config
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.status import Status, StatusFile, folder_of, left_failing, read_status, unread


def write_as(config: Config, pid: int, monkeypatch: pytest.MonkeyPatch, age_s: float = 0.0, **fields: Any) -> None:
    """What the process with this number has written so long ago."""
    now_s = time.time()
    with monkeypatch.context() as patch:
        patch.setattr("stream_app.worker.status.os.getpid", lambda: pid)
        patch.setattr("stream_app.worker.status.socket.gethostname", lambda: "a.b")
        patch.setattr("stream_app.worker.status.secrets.token_hex", lambda _: "t")
        patch.setattr("stream_app.worker.status.time.time", lambda: now_s - age_s)
        StatusFile(config).write(Status(**fields))


def counters(received: int, windowed: int) -> dict[str, int]:
    return dict.fromkeys(COUNTERS, 0) | {"received": received, "windowed": windowed}


def test_nothing_is_known_before_a_worker_has_written(config: Config) -> None:
    assert read_status(config) == {}
    assert unread(config) == {}


def test_workers_are_counted_together(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as(
        config,
        1,
        monkeypatch,
        age_s=1,
        counters={0: counters(9, 8)},
        first_score_at=100.0,
        service="old",
        taken={"partials": 5, "models": 2, "evidence": 7, "actions": 1},
        judged_ms=5_000,
        incidents={"critical drift": 1},
        dead_letters={"bad_time": 2},
        lags={"e/0": 5},
        waits_for=["m2"],
        monitor="http://127.0.0.1:1",
        event_time_ms=6_000,
        sink_errors=1,
        refused={"partials": 1, "models": 2},
        pending=1,
        lag=5,
    )
    write_as(
        config,
        2,
        monkeypatch,
        counters={1: counters(4, 3)},
        first_score_at=90.0,
        service="new",
        taken={"partials": 4, "models": 2, "evidence": 0, "actions": 0},
        refused={"models": 1},
        dead_letters={"bad_time": 1, "not_json": 1},
        lags={"e/1": 6, "s.partials/0": None},
        waits_for=["m2", "m3"],
        monitor="http://127.0.0.1:2",
        event_time_ms=7_000,
        sink_errors=2,
        lag=6,
        late_blocks=3,
    )
    merged = read_status(config)
    assert (merged["received"], merged["windowed"], merged["late"]) == (13, 11, 0)
    assert (merged["pending"], merged["lag"], merged["late_blocks"], merged["closed_early"]) == (1, 11, 3, 0)
    assert (merged["service"], merged["first_score_at"]) == ("new", 90.0)
    taken = {"partials": 9, "evidence": 7, "models": 2, "actions": 1}
    assert merged["taken"] == taken, "each of them reads the whole models topic"
    assert merged["refused"] == {"partials": 1, "evidence": 0, "models": 2, "actions": 0}
    assert (merged["judged_ms"], merged["event_time_ms"], merged["sink_errors"]) == (5_000, 7_000, 3)
    assert merged["incidents"] == {"critical drift": 1}, "of the one that judges"
    assert merged["dead_letters"] == {"bad_time": 3, "not_json": 1}
    assert merged["lags"] == {"e/0": 5, "e/1": 6, "s.partials/0": None}
    assert merged["waits_for"] == ["m2", "m3"]
    assert merged["monitor"] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_a_partition_that_moved_counts_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as(config, 1, monkeypatch, age_s=2, counters={0: counters(9, 9), 1: counters(5, 5)})
    write_as(config, 2, monkeypatch, age_s=1, counters={0: counters(20, 19)})
    write_as(
        config, 3, monkeypatch, counters={0: counters(3, 3)}
    )  # it has just taken over and counts on from a snapshot
    assert read_status(config)["received"] == 25
    assert read_status(config)["windowed"] == 24


def test_the_work_of_a_dead_worker_is_no_work(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as(config, 1, monkeypatch, age_s=60, counters={0: counters(9, 9)}, lag=7, pending=2, unread={0: 7})
    write_as(config, 2, monkeypatch, lag=1, unread={1: 0, 2: None})
    merged = read_status(config)
    assert (merged["lag"], merged["pending"], merged["received"]) == (1, 0, 9)
    assert unread(config) == {1: 0, 2: None}


def test_a_lag_that_one_worker_does_not_know_is_not_known(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as(config, 1, monkeypatch, lag=7)
    write_as(config, 2, monkeypatch, lag=None)
    assert read_status(config)["lag"] is None


@pytest.mark.parametrize("text", ["", "{", '{"at": "yesterday"}'])
def test_a_file_that_a_power_cut_has_emptied_says_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    write_as(config, 1, monkeypatch, counters={0: counters(9, 9)}, unread={0: 0})
    (folder_of(config) / "a.b-2-t.json").write_text(text)
    assert read_status(config)["received"] == 9
    assert unread(config) == {0: 0}


def test_files_of_long_ago_are_removed(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as(config, 1, monkeypatch)
    old, older = folder_of(config) / "a.b-1-t.json", time.time() - 100_000
    os.utime(old, (older, older))
    write_as(config, 2, monkeypatch)
    assert [path.name for path in folder_of(config).iterdir()] == ["a.b-2-t.json"]


def test_the_file_is_json_for_anybody(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as(config, 7, monkeypatch, counters={3: counters(9, 9)}, unread={3: None}, service="m")
    written = json.loads((folder_of(config) / "a.b-7-t.json").read_text())
    assert (written["counters"]["3"]["received"], written["unread"], written["service"]) == (9, {"3": None}, "m")
    assert written["at"] == pytest.approx(time.time(), abs=60)


def test_two_containers_with_one_host_name_and_process_number_do_not_share_a_file(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.worker.status.os.getpid", lambda: 1)
    monkeypatch.setattr("stream_app.worker.status.socket.gethostname", lambda: "worker")
    one, other = StatusFile(config), StatusFile(config)
    one.write(Status(pending=1))
    other.write(Status(pending=2))
    assert read_status(config)["pending"] == 3


def test_what_fails_and_what_is_refused_is_told_of_all_that_are_alive(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_as(config, 1, monkeypatch, age_s=60, failing={"status": "full"}, refused={"models": 9}, spooled=99)
    write_as(config, 2, monkeypatch, age_s=1, failing={"drainer": "away"}, refused={"models": 2}, spooled=7)
    write_as(config, 3, monkeypatch, refused={"models": 1, "partials": 4}, set_aside=3, spooled=8)
    merged = read_status(config)
    assert merged["failing"] == {"drainer": "away"}
    refused = {"models": 2, "partials": 4, "evidence": 0, "actions": 0}
    assert merged["refused"] == refused, "each of them reads the whole models topic"
    assert (merged["set_aside"], merged["spooled"]) == (3, 8)
    write_as(config, 3, monkeypatch)
    assert read_status(config)["failing"] == {"drainer": "away"}


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b'{"at": 1',
        bytes(99),
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"at": "now"}',
        b'{"at": 2e9, "counters": {"0": {"received": 3}}}',
        None,
    ],
    ids=["empty", "half", "zeros", "no text", "nested", "a list", "wrong type", "a counter only", "a folder"],
)
def test_a_damaged_file_says_nothing_and_the_others_are_read(
    config: Config, monkeypatch: pytest.MonkeyPatch, blob: bytes | None
) -> None:
    write_as(config, 1, monkeypatch, counters={0: counters(9, 8)}, unread={0: 4})
    path = folder_of(config) / "damaged.json"
    path.mkdir() if blob is None else path.write_bytes(blob)
    assert read_status(config)["received"] == 9
    assert unread(config) == {0: 4}


def test_what_dead_workers_have_left_failing_is_told_with_its_time(config: Config) -> None:
    for age_s, part in ((0.0, "alive"), (60.0, "dead")):
        file = StatusFile(config)
        file.write(Status(source=f"worker {part}", failing={part: "away"}))
        written = msgspec.json.decode(file._path.read_bytes())
        file._path.write_bytes(msgspec.json.encode(written | {"at": written["at"] - age_s}))
    assert {of[:2] for of in left_failing(config)} == {("dead", "worker dead")}
