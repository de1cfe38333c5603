"""The demo as a whole: real data, real broker, drift, a better model, calibration again; and the same on every run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import load
from stream_app.demo.progress import Season
from stream_app.demo.run import Demo
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.status import read_status
from tests.integration.stream import Lines, as_lines, lines_of, signals_of

EVENTS = 109_440
"""Twelve stations, 380 days, hourly."""

WINDOWS = 12 * (380 * 4 - 2) * 4
"""Of each station: panes of six hours but the last two, each as itself and in three spans: a clock is eight events
behind the newest, and one partition has a single station."""

SEASON_MS = {"2013-03-01": 1_362_096_000_000, "2014-02-08": 1_391_817_600_000}

TIMES = {"events_per_s", "seconds_to_first_score", "seconds_total"}
"""Figures of a report that tell of the machine."""


def left_behind() -> set[str]:
    """What stands in the folder that the demo is started from."""
    return {path.name for path in Path.cwd().iterdir()} - {".pytest_cache", ".hypothesis"}


def demo_command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "stream_app.cli", "demo", "--dir", str(folder), "--exit-when-done", *words]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "broker", ["tansu", pytest.param("kafka", marks=pytest.mark.slow)], indirect=True
)  # on Apache Kafka the parts of it are tried by the tests beside this one
def test_the_run_has_every_part_and_a_killed_worker_changes_nothing(
    broker: tuple[str, str], tmp_path: Path, unique: Any, seed: int
) -> None:
    folder, report_path = tmp_path / "work", tmp_path / "demo.json"
    words = ["--seconds", "40", "--report", str(report_path), "--bootstrap", broker[1], "--stream", unique("demo")]
    with (tmp_path / "demo.log").open("wb") as log:
        demo = subprocess.Popen(demo_command(folder, *words), stdout=log, stderr=log)
    try:
        kill_worker_at(folder, random.Random(seed).uniform(0.65, 0.9) * EVENTS)
        assert demo.wait(300) == 0, (tmp_path / "demo.log").read_text()[-3000:]
    finally:
        demo.terminate()
    report = json.loads(report_path.read_text())
    assert report["worker_restarts"] == 1
    check_figures(report)
    check_marks(report)
    live, again = as_lines(signals_of(load(folder / "driftflow.toml"))), score_again(folder)
    assert live.keys() == again.keys()
    for partition in live:
        assert_same_lines(live[partition], again[partition])


def kill_worker_at(folder: Path, events: float) -> None:
    """SIGKILL the demo's worker once it has received so many events."""
    until = time.monotonic() + 200
    while time.monotonic() < until:
        time.sleep(0.2)
        if (folder / "driftflow.toml").exists():
            status = read_status(load(folder / "driftflow.toml"))
            if status.get("received", 0) >= events:
                (pid,) = [pid for pid, line in _processes(str(folder), -1).items() if " worker " in line]
                os.kill(pid, signal.SIGKILL)
                return
    pytest.fail(f"the worker has not received {events:.0f} events in 200 s")


def score_again(folder: Path) -> Lines:
    """The demo's file without a broker, given the demo's decisions."""
    out, example = (
        folder / "again.jsonl",
        resources.files("stream_app.demo.example").joinpath("beijing_air_2013.csv.gz"),
    )
    with resources.as_file(example) as path:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "stream_app.cli",
                "replay",
                str(path),
                "-c",
                str(folder / "driftflow.toml"),
                "--decisions",
                str(folder / "state" / "decisions.jsonl"),
                "--signals",
                str(out),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    return lines_of(out)


def assert_same_lines(live: list[dict[str, Any]], again: list[dict[str, Any]]) -> None:
    """Equal, or fail with the first difference."""
    for number, (one, other) in enumerate(zip(live, again, strict=False)):
        assert one == other, f"line {number} of {len(live)} and {len(again)}"
    assert len(live) == len(again)


def check_figures(report: dict[str, Any]) -> None:
    """Exact where only the data decides; bands where training does, which rounds otherwise on another CPU."""
    assert report["events_received"] == report["events_produced"] == report["windowed"] == EVENTS
    assert report["conserved"]
    assert report["events_received"] == sum(report[name] for name in COUNTERS if name != "received")
    assert (report["slices"], report["windows_written"]) == (12, WINDOWS)
    assert 4 <= report["incidents_opened"] <= 18, "one for a season that comes, and true outages; not one a station"
    assert 3 <= report["drift_incidents_opened"] <= 15, "11 and 12 were seen: seasons come three times, to 12 stations"
    assert report["incidents_opened"] == report["drift_incidents_opened"] + report["fault_incidents_opened"]
    assert len(report["incidents"]) == report["incidents_opened"]
    assert 1 <= report["incidents_accepted"] <= report["incidents_opened"] - report["incidents_open"]
    assert report["messages_per_week"] <= 2.5
    assert 2 <= report["retrain_requests"] <= 8
    assert 2 <= report["models_promoted"] <= 5, "the first, and those that live events have found better"
    assert report["models_refused"] <= 6
    rates = report["alarm_rate"]
    assert 0.0005 <= rates["reference"] <= 0.017
    assert rates["drift"] <= 0.08, "drift is found long before many events are strange"
    assert 0.004 <= rates["after_swap"] <= 0.02


def check_marks(report: dict[str, Any]) -> None:
    """Each promoted model comes into service at a mark, on every partition."""
    season, starts = Season(), dict[str, set[tuple[str, int]]]()
    for row in report["activations"]:
        starts.setdefault(row["model_id"], set()).add((row["partition"], row["time_ms"]))
    promoted = {model["model_id"] for model in report["models"] if model["status"] == "promoted"}
    assert starts.keys() <= promoted
    assert len(promoted) == report["models_promoted"]
    for of_model in starts.values():
        ((_, start_ms), *_) = of_model
        assert start_ms in (0, season.next_mark(start_ms - 1)), "at a mark"
        assert of_model == {(str(partition), start_ms) for partition in range(4)}
    assert report["swaps"] == len(starts) - 1 >= 1


@pytest.mark.timeout(600)
def test_two_runs_say_the_same_however_fast_the_traffic_goes(tansu: str, tmp_path: Path) -> None:
    season = Season(start_ms=SEASON_MS["2013-03-01"], end_ms=SEASON_MS["2014-02-08"])
    reports = [short_run(tmp_path / f"{seconds:g}", season, seconds) for seconds in (0.5, 5.0)]
    fast, slow = [{name: value for name, value in report.items() if name not in TIMES} for report in reports]
    assert fast == slow
    assert fast["swaps"] == 1, "a run without a retrain and a swap would say little"
    first, swapped = sorted({activation["time_ms"] for activation in fast["activations"]})
    assert (first, swapped) == (0, season.next_mark(swapped - 1)), "at a mark"
    assert fast["events_received"] == 12 * 24 * 344


def short_run(folder: Path, season: Season, seconds: float) -> dict[str, Any]:
    """A run of a part of the year, on a broker of its own: offsets, names and so models are those of any other run."""
    options = {"folder": str(folder), "bootstrap": None, "port": None, "stream": "air", "report": None}
    with ExitStack() as stack:
        return Demo(options | {"seconds": seconds, "console_port": 0}, stack, season).run()


@pytest.mark.timeout(120)
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    before = left_behind()
    demo = subprocess.Popen(demo_command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (tmp_path / "worker.log").exists() and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(2.0)
    try:
        assert len(_processes(str(tmp_path), demo.pid)) == 2, "a worker and a trainer were running"
    finally:
        demo.send_signal(signal.SIGINT)
        status = demo.wait(40)
    assert status == 130
    assert left_behind() <= before
    assert not _processes(str(tmp_path), demo.pid)


def _processes(word: str, besides: int) -> dict[int, str]:
    """Command lines of the running processes that mention a folder, one aside, by process id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.parent.name == str(besides):
            continue
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found[int(path.parent.name)] = line
    return found
