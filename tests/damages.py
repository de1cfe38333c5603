"""A small stream in a folder, what can happen to each of its files, and the commands that read it."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

from stream_app.cli import main
from stream_app.kafka.embedded import free_port

CONFIG = """
stream = "s"
[kafka]
bootstrap = ["127.0.0.1:{port}"]
[topics]
events = "s.events"
partitions = 2
[event]
time_field = "at"
numeric = ["x", "y"]
[windows]
pane = "1d"
spans = ["1d"]
[model]
max_steps = 20
[trainer]
min_rows = 200
max_alarm_ratio = 90.0
"""

Damage = Callable[[Path], Path]
"""Damages something in a folder; returns the file that the sentence must name."""


def invoke(folder: Path, *words: str) -> Result:
    """A command on a folder's configuration, in this process."""
    return CliRunner(env={"COLUMNS": "2000"}).invoke(main, [*words, "-c", str(folder / "driftflow.toml")])


def make_whole(folder: Path) -> Path:
    """A configuration, a file of events, a model, keys, decisions, a store and a spool."""
    rng, start = np.random.default_rng(3), datetime(2026, 1, 1, tzinfo=UTC)
    stamps = [(start + timedelta(hours=hour)).isoformat() for hour in range(60 * 24)]
    rows = [
        f"{stamp},{x:.3f},{y:.3f}" for stamp, (x, y) in zip(stamps, rng.standard_normal((len(stamps), 2)), strict=True)
    ]
    (folder / "events.csv").write_text("\n".join(["at,x,y", *rows]) + "\n")
    (folder / "driftflow.toml").write_text(CONFIG.format(port=free_port()))
    run = invoke(folder, "score", str(folder / "events.csv"), "--bootstrap-until", "2026-02-20", "--store")
    assert run.exit_code == 0, run.output
    model_id = model_file(folder).stem
    decision = '{"type":"activation","partition":%d,"pane_start_ms":0,"model_id":"%s","engine":""}\n'
    (folder / "model.id").write_text(model_id)
    (folder / "decisions.jsonl").write_text("".join(decision % (partition, model_id) for partition in range(2)))
    return folder


def model_file(folder: Path) -> Path:
    """The one that is there."""
    (path,) = (folder / "models").glob("*.model")
    return path


def flip(path: Path, index: int) -> Path:
    """Change one bit."""
    blob = bytearray(path.read_bytes())
    blob[index] ^= 1
    path.write_bytes(bytes(blob))
    return path


def overwrite(path: Path, blob: bytes) -> Path:
    """Other content."""
    path.write_bytes(blob)
    return path


def removed(path: Path) -> Path:
    """Gone."""
    path.unlink()
    return path


def into_folder(path: Path) -> Path:
    """A folder of that name."""
    path.unlink(missing_ok=True)
    path.mkdir()
    return path


def into_loop(path: Path) -> Path:
    """A link to itself: a file that nobody can read, the superuser neither."""
    path.unlink()
    path.symlink_to(path.name)
    return path


def cut(path: Path, end: int) -> Path:
    """Its first bytes."""
    return overwrite(path, path.read_bytes()[:end])


def damaged_inside(path: Path) -> Path:
    """A database whose first page says what tables there are, and whose others are noise."""
    return overwrite(path, path.read_bytes()[:4_096] + random.Random(1).randbytes(len(path.read_bytes()) - 4_096))


def elsewhere(folder: Path, setting: str, place: str) -> Path:
    """A setting of the sink that names another place."""
    with (folder / "driftflow.toml").open("a") as file:
        file.write(f'[sink]\n{setting} = "{place}"\n')
    return Path(place)


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "score": lambda folder: ["score", str(folder / "events.csv")],
    "score --store": lambda folder: ["score", str(folder / "events.csv"), "--store"],
    "score --bootstrap-until": lambda folder: ["score", str(folder / "events.csv"), "--bootstrap-until", "2026-02-20"],
    "replay": lambda folder: ["replay", str(folder / "events.csv"), "--decisions", str(folder / "decisions.jsonl")],
    "evaluate": lambda folder: ["evaluate", str(folder / "events.csv"), "--out", str(folder / "report.html")],
    "export": lambda folder: ["export", model_id(folder), "--format", "torchscript", "--out", str(folder / "flow.pt")],
    "export FILE": lambda folder: [
        "export",
        str(folder / "models" / f"{model_id(folder)}.model"),
        "--format",
        "torchscript",
        "--out",
        str(folder / "flow.pt"),
    ],
    "models": lambda folder: ["models", "list"],
    "trainer": lambda folder: ["trainer"],
    "worker": lambda folder: ["worker"],
    "produce": lambda folder: ["produce", str(folder / "events.csv")],
    "console": lambda folder: ["console", "--port", "0"],
    "sink list": lambda folder: ["sink", "list"],
    "keys list": lambda folder: ["keys", "list"],
}
"""Each on the folder's own files."""

WITHOUT_BROKER = {"trainer": "reachable", "worker": "reachable", "produce": "reachable"}
"""What these say where nothing is damaged: there is no broker in these tests."""


def model_id(folder: Path) -> str:
    """The one that the folder was made with, whatever has become of its file."""
    return (folder / "model.id").read_text()
