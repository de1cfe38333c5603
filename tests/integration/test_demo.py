"""The whole story, told fast: real data, real broker, drift, a better model, calibration again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stream_app.core.scoring import COUNTERS

EVENTS = 109_440


def demo_command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "stream_app.cli", "demo", "--dir", str(folder), "--exit-when-done", *words]


@pytest.mark.timeout(300)
def test_the_story_has_every_part(broker: tuple[str, str], tmp_path: Path, unique: Any) -> None:
    report_path = tmp_path / "demo.json"
    words = ["--seconds", "40", "--report", str(report_path), "--bootstrap", broker[1], "--stream", unique("demo")]
    done = subprocess.run(demo_command(tmp_path / "work", *words), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(report_path.read_text())
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
    activations = {(a["partition"], a["model_id"]) for a in report["activations"]}
    assert len(activations) == 4 * (report["swaps"] + 1), (
        "every model that scored was put in service on every partition"
    )


@pytest.mark.timeout(120)
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
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
    assert not _processes(str(tmp_path), demo.pid)


def _processes(word: str, besides: int) -> list[str]:
    """Command lines of the running processes that mention a folder, one aside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.parent.name == str(besides):
            continue
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found
