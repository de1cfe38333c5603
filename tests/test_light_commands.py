"""A command imports what it needs: who looks at incidents, keys or models waits for neither PyTorch nor Faust."""

from __future__ import annotations

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
    "dead-letters list": ["dead-letters", "list"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_leaves_what_computes_alone(words: list[str], tansu: str, tmp_path: Path) -> None:
    (tmp_path / "driftflow.toml").write_text(TOML.format(bootstrap=tansu))
    (tmp_path / "faulty.toml").write_text(TOML.format(bootstrap=tansu) + "gruop = 1\n")
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert ("fault in the configuration" in done.stderr) == ("faulty.toml" in words), done.stderr
    assert done.stdout.splitlines()[-1] == "imported:", (done.stdout, done.stderr)
