"""The demo's child processes, with small programs in their place."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from stream_app.demo.children import RESTARTS_MAX, Children, TrainerLine
from stream_app.errors import DriftflowError

ECHO = "import sys; print('answered', flush=True); [print('answered', flush=True) for _ in sys.stdin]"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ExitStack() as stack:
        yield stack


class Programs(Children):
    """Runs a line of Python instead of driftflow."""

    def __init__(self, folder: Path, stack: ExitStack, line: str) -> None:
        super().__init__(folder, stack)
        (folder / "program.py").write_text(line)

    def _start(self, name: str, module: list[str], piped: bool = False) -> subprocess.Popen[bytes]:
        child = super()._start(name, ["program"], piped)
        if not piped:
            child.wait()
        return child


def wait_for_reply(line: TrainerLine) -> None:
    until = time.monotonic() + 30
    while not line.replied():
        assert time.monotonic() < until, "no reply"
        time.sleep(0.01)


def test_the_trainer_replies_to_each_word(tmp_path: Path, stack: ExitStack) -> None:
    line = Programs(tmp_path, stack, ECHO).start_trainer(0)
    wait_for_reply(line)
    for _ in range(3):
        line.ask()
        wait_for_reply(line)
    assert line.replied(), "and the answer stands until the next word"


def test_a_question_is_open_until_it_is_answered(tmp_path: Path, stack: ExitStack) -> None:
    once = "import sys; print('answered', flush=True); sys.stdin.read()"
    line = Programs(tmp_path, stack, once).start_trainer(0)
    wait_for_reply(line)
    line.ask()
    time.sleep(0.1)
    assert not line.replied()


def test_a_trainer_that_dies_ends_the_demo_with_its_last_words(tmp_path: Path, stack: ExitStack) -> None:
    children = Programs(tmp_path, stack, "import sys; sys.exit('no rows to train on')")
    children.start_trainer(0)
    children._running["trainer"].wait(30)
    with pytest.raises(DriftflowError, match=r"(?s)trainer ended with status 1.*no rows to train on"):
        children.check()


def test_a_worker_that_dies_is_started_again_but_not_for_ever(tmp_path: Path, stack: ExitStack) -> None:
    children = Programs(tmp_path, stack, "raise SystemExit(3)")
    children.start_worker()
    for restarts in range(RESTARTS_MAX):
        assert children.restarts == restarts
        children.check()
    with pytest.raises(DriftflowError, match="worker ended with status 3"):
        children.check()


def test_everything_ends_with_the_stack(tmp_path: Path, stack: ExitStack) -> None:
    children = Programs(tmp_path, stack, ECHO)
    wait_for_reply(children.start_trainer(0))
    (child,) = children._running.values()
    assert child.poll() is None
    stack.close()
    assert child.returncode is not None
