"""The whole story, told fast: real data, real broker, drift, a better model, calibration again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import load
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.status import read_status
from tests.integration.stream import Lines, as_lines, lines_of, signals_of

EVENTS = 109_440


def left_behind() -> set[str]:
    """What stands in the folder that the demo is started from."""
    return {path.name for path in Path.cwd().iterdir()} - {".pytest_cache", ".hypothesis"}


def demo_command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "stream_app.cli", "demo", "--dir", str(folder), "--exit-when-done", *words]


@pytest.mark.timeout(600)
def test_the_story_has_every_part_and_a_killed_worker_changes_nothing(
    broker: tuple[str, str], tmp_path: Path, unique: Any
) -> None:
    folder, report_path = tmp_path / "work", tmp_path / "demo.json"
    words = ["--seconds", "40", "--report", str(report_path), "--bootstrap", broker[1], "--stream", unique("demo")]
    seed = random.randrange(10**6)
    print("seed", seed)
    with (tmp_path / "demo.log").open("wb") as log:
        demo = subprocess.Popen(demo_command(folder, *words), stdout=log, stderr=log)
    try:
        kill_worker_at(folder, random.Random(seed).uniform(0.65, 0.9) * EVENTS)
        assert demo.wait(300) == 0, (tmp_path / "demo.log").read_text()[-3000:]
    finally:
        demo.terminate()
    report = json.loads(report_path.read_text())
    assert report["worker_restarts"] == 1
    check_parts(report)
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
                "score",
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


def check_parts(report: dict[str, Any]) -> None:
    """What every telling of the story must have, however fast."""
    assert report["events_received"] == report["events_produced"] == EVENTS
    assert report["events_received"] == sum(report[name] for name in COUNTERS if name != "received")
    assert report["slices"] == 12
    for part in ("drift_alerts_opened", "alerts_resolved", "retrain_requests", "swaps", "windows_written"):
        assert report[part] >= 1, part
    assert report["models_promoted"] >= 2
    rates = report["alarm_rate"]
    assert 0.005 <= rates["reference"] <= 0.02
    assert rates["drift"] >= 3 * rates["reference"]
    assert rates["after_swap"] is not None  # how low it is depends on how early the swap came: see the full-length demo
    partitions = defaultdict(set)
    for activation in report["activations"]:
        partitions[activation["model_id"]].add(activation["partition"])
    *before, _ = partitions.values()
    # The last may have come when some partitions had no row left that could tell of it.
    assert all(len(found) == 4 for found in before), "a model is put in service on every partition"


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
