"""A command imports what it needs: who looks at incidents, keys or models waits for neither PyTorch nor Faust."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "faust", "polars", "sklearn", "river", "pandas", "pyarrow", "starlette", "opentelemetry"}

CODE = f"""
import sys
from stream_app.cli import main
try:
    main(sys.argv[1:])
finally:
    print("imported:", *sorted({HEAVY!r} & set(sys.modules)))
"""

TOML = """
stream = "light"
[topics]
events = "light.events"
[event]
time_field = "time"
numeric = ["x"]
[kafka]
bootstrap = ["{bootstrap}"]
"""

COMMANDS = {
    "help": ["--help"],
    "a faulty configuration": ["worker", "-c", "faulty.toml"],
    "status": ["status"],
    "keys list": ["keys", "list"],
    "keys new": ["keys", "new", "operator"],
    "models": ["models", "list"],
    "audit verify": ["audit", "verify"],
    "audit trace": ["audit", "trace", "x"],
    "sink list": ["sink", "list"],
    "incidents": ["incidents"],
    "accept": ["accept", "x"],
    "silence": ["silence"],
    "signals": ["signals", "--no-follow"],
    "report": ["report"],
    "completion": ["completion", "bash"],
    "dashboards": ["dashboards", "--out", "grafana"],
    "notify": ["notify", "--test"],
    "dead-letters list": ["dead-letters", "list"],
    "init": ["init"],
    "init from a file": ["init", "--from-file", "events.csv", "--yes", "--out", "found.toml"],
    "score of a file in another format": ["score", "events.csv"],
    "evaluate of a file in another format": ["evaluate", "events.csv"],
}

CSV = "time,x\n" + "".join(f"{day:02}.{month:02}.2026,{day * month % 7}\n" for month in (1, 2) for day in range(1, 29))

BROKEN = [
    ["trainer"],
    ["signals", "--no-follow"],
    ["dead-letters", "list"],
    ["score", "--topic"],
    ["state", "claim"],
    ["incidents"],
]


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_leaves_what_computes_alone(words: list[str], tansu: str, tmp_path: Path) -> None:
    (tmp_path / "driftflow.toml").write_text(TOML.format(bootstrap=tansu))
    (tmp_path / "faulty.toml").write_text(TOML.format(bootstrap=tansu) + "gruop = 1\n")
    (tmp_path / "events.csv").write_text(CSV)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ("56 of 56 rows rejected" in done.stderr) == (words[-1] == "events.csv"), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert ("fault in the configuration" in done.stderr) == ("faulty.toml" in words), done.stderr
    assert done.stdout.splitlines()[-1] == "imported:", (done.stdout, done.stderr)


@pytest.mark.parametrize("words", BROKEN, ids=[" ".join(words) for words in BROKEN])
def test_a_broker_that_is_not_there_is_said_at_once(words: list[str], tmp_path: Path) -> None:
    """In one sentence, before a client has tried for its ten seconds."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (tmp_path / "driftflow.toml").write_text(TOML.format(bootstrap=address))
        done = subprocess.run(
            [sys.executable, "-c", CODE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
    assert done.stderr.startswith(f"driftflow: the broker cannot be reached: {address}: Connection refused; ")
    assert len(done.stderr.splitlines()) == 1


def test_a_report_without_a_store_is_told_without_statistics(tmp_path: Path) -> None:
    (tmp_path / "driftflow.toml").write_text(TOML.format(bootstrap="127.0.0.1:9"))
    code = CODE.replace(repr(HEAVY), "{'scipy'}")
    assert code != CODE
    done = subprocess.run(
        [sys.executable, "-c", code, "report"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "driftflow.sqlite cannot be read, it is not there: has a worker, or" in done.stderr
    assert done.stdout.splitlines()[-1] == "imported:", (done.stdout, done.stderr)


def test_dashboards_are_written_without_statistics(tmp_path: Path) -> None:
    (tmp_path / "driftflow.toml").write_text(TOML.format(bootstrap="127.0.0.1:9"))
    words = [sys.executable, "-c", CODE.replace(repr(HEAVY), "{'scipy'}"), "dashboards", "--out", "grafana"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "imported:", (done.stdout, done.stderr)
