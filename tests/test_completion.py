"""What shells complete: commands, options and choices, by click's own means."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from stream_app.cli import main
from tests.conftest import cannot_start


def completed(words: list[str], begun: str) -> set[str]:
    """What stands to choose from after some words."""
    shell = ShellComplete(main, {}, "driftflow", "_DRIFTFLOW_COMPLETE")
    return {item.value for item in shell.get_completions(words, begun)}


@pytest.mark.parametrize(
    ("words", "begun", "found"),
    [
        ([], "rep", {"replay", "report"}),
        (["report"], "--w", {"--week"}),
        (["completion"], "", {"bash", "fish", "zsh"}),
        (["keys", "new"], "op", {"operator"}),
        (["export", "m", "--format"], "o", {"onnx"}),
    ],
    ids=["commands", "options", "shells", "roles", "formats"],
)
def test_what_begins_like_this(words: list[str], begun: str, found: set[str]) -> None:
    assert found <= completed(words, begun)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_can_read_its_script(shell: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0, done.output
    assert "_DRIFTFLOW_COMPLETE" in done.stdout
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.stdout)
        subprocess.run([shell, "-n", str(script)], check=True, timeout=20)


def test_bash_completes_a_command(tmp_path: Path) -> None:
    """The whole way: its script, our process, its answer."""
    if shutil.which("bash") is None:
        cannot_start("bash is not installed")
        return
    (tmp_path / "script").write_text(CliRunner().invoke(main, ["completion", "bash"]).stdout)
    words = "COMP_WORDS=(driftflow comple); COMP_CWORD=1"
    ask = f'source "$1"; {words}; _driftflow_completion driftflow; echo "${{COMPREPLY[@]}}"'
    bin_folder = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-c", ask, "bash", str(tmp_path / "script")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.stdout.split() == ["completion"], done.stderr
