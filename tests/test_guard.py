"""Whatever hangs, a process under a guard ends in time, with a sentence that says what did not end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stream_app.errors import DriftflowError
from stream_app.guard import FAIL_S, Guard, described

SLACK_S = 2.0
"""For a machine that is busy."""

Process = subprocess.Popen[str]


@contextmanager
def started(kind: str, within_s: float = 2.0) -> Iterator[Process]:
    """The process, once it is ready."""
    words = [sys.executable, "-m", "tests.guarded", kind, str(within_s)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def ending(process: Process, within_s: float) -> tuple[int, str]:
    """Status and last sentence of a process that ends in time."""
    _, said = process.communicate(timeout=within_s + SLACK_S)
    return process.returncode, said.strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_listens_ends_in_order(number: signal.Signals) -> None:
    with started("orderly") as process:
        process.send_signal(number)
        assert ending(process, 2.0) == (0, "")


def test_a_process_that_has_not_begun_ends_at_once() -> None:
    with started("beginning", 60.0) as process:
        process.send_signal(signal.SIGTERM)
        assert ending(process, 1.0) == (0, "driftflow: told to stop before it had begun")


@pytest.mark.parametrize(
    ("kind", "what"), [("blocked", "a call of C"), ("deaf", "the event loop"), ("thread", "the thread a sleeper")]
)
def test_what_hangs_is_left_behind_and_named(kind: str, what: str) -> None:
    with started(kind) as process:
        time.sleep(0.3)  # let it hang
        process.send_signal(signal.SIGTERM)
        status, said = ending(process, 2.0)
    assert status == 1
    assert said.startswith(f"driftflow: {what} did not end within 2 s of the signal to stop")
    assert len(said.splitlines()) == 1


def test_a_second_signal_ends_it_at_once() -> None:
    with started("blocked", 60.0) as process:
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert ending(process, 1.0) == (1, "driftflow: a second signal came, so a call of C was not waited for")


def test_an_event_loop_that_does_not_come_round_is_a_failure() -> None:
    with started("silent") as process:
        status, said = ending(process, 1.0 + FAIL_S)
    assert status == 1
    assert "the event loop hangs: it has not come round for 0.5 s (the main thread is at " in said
    assert said.endswith("(a call of C did not end by itself)")


def test_a_thread_that_ends_in_an_exception_ends_the_process() -> None:
    with started("dying") as process:
        status, said = ending(process, FAIL_S)
    assert (status, len(said.splitlines())) == (1, 1)
    assert said.startswith("driftflow: the thread a helper ended: LookupError: no such thing at ")


def test_an_error_is_not_held_up_by_a_thread_that_hangs() -> None:
    words = [sys.executable, "-m", "tests.guarded", "error"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=FAIL_S + 10)
    assert (run.returncode, run.stderr.strip()) == (
        1,
        "driftflow: /x: No space left on device (the thread a sleeper did not end by itself)",
    )


def test_a_last_sentence_that_nobody_reads_holds_nothing_up() -> None:
    with started("unread") as process:
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(2.0 + SLACK_S) == 1


def test_signals_hooks_and_threads_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), threading.excepthook, threading.active_count()
    with Guard(5.0) as guard:
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), threading.excepthook, threading.active_count()) == before
    assert guard.failure is None


def test_the_first_failure_counts_and_wakes_once() -> None:
    woken: list[str] = []
    guard = Guard(60.0)
    guard.on_end(lambda: woken.append("woken"))
    assert guard.left_s() == float("inf")
    guard.fail("the first")
    guard.fail("the second")
    assert (guard.failure, woken) == ("the first", ["woken"])
    assert guard.left_s() <= FAIL_S
    late = Guard(60.0)
    late.fail("early")
    late.on_end(lambda: woken.append("late"))
    assert woken == ["woken", "late"]


def test_errors_are_told_in_a_line() -> None:
    assert described(DriftflowError("topic t\ndoes not exist")) == "topic t does not exist"
    assert described(FileNotFoundError(2, "No such file", "/x")) == "/x: No such file"
    assert described(ValueError()) == "ValueError"
    with pytest.raises(ValueError, match="7") as caught:
        int("x7")
    assert described(caught.value).startswith("ValueError: invalid literal for int() with base 10: 'x7' at ")
