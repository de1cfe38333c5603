"""Ends a process in time: after a signal within a stated time, after a failure within seconds, whatever hangs.

The guard is a thread of its own. The interpreter's signal handler, which is C, wakes it through a socket, so that it
needs neither an event loop nor a turn of the main thread. What has not ended by itself when the time is over is ended
by force, with a sentence that names it. Only a C call that keeps the interpreter's lock is beyond it: that takes
SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from stream_app.errors import DriftflowError

FAIL_S = 4.0
"""From a failure to the end of the process by force."""

_TICK_S = 0.1
_PAUSE_S = 1.0
"""Longer steps of the clock than this are a process that was paused; they count as this much."""
_BLIND_S = 10.0
"""How long the guard may not look before the process counts as one that nobody watches."""
_SAY_S = 0.3
"""How long whoever reads standard error may keep the last sentence waiting."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PACKAGES = ("stream_app", "flowlib", "schemas")


class Pulse:
    """The sign of life of one part of the process: silence for longer than ``limit_s`` is a failure."""

    def __init__(self, sentence: str, limit_s: float) -> None:
        self.sentence, self.limit_s = sentence, limit_s
        self.silent_s = 0.0

    def beat(self) -> None:
        """I am alive. May be called from any thread."""
        self.silent_s = 0.0


class Guard:
    """A context manager around the life of a process; to be entered by its main thread.

    Where a signal or a failure has asked for the end, leaving it is the end of the process: the interpreter's own
    takes seconds on a busy machine, and nothing may hold it up.

    Args:
        within_s: from the first SIGTERM or SIGINT to the end of the process at most.

    Attributes:
        exit: ends the process with a status.
        failure: the sentence of the first failure, None as long as all is well.
        stopping: whether a signal has come.
    """

    exit: Callable[[int], object] = staticmethod(os._exit)

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self.failure: str | None = None
        self.stopping = False
        self._deadline_s: float | None = None
        self._lock = threading.RLock()
        self._wake_up: Callable[[], object] | None = None
        self._step = "its start"
        self._pulses: list[Pulse] = []
        self._looked_s = time.monotonic()
        self._left = threading.Event()

    # What the process tells it --------------------------------------------------------------------------------------

    def on_end(self, wake_up: Callable[[], object]) -> None:
        """From now on there is something to stop in order: ``wake_up`` is called once, from any thread, at the first
        signal or failure. Before, a signal ends the process at once.
        """
        with self._lock:
            self._wake_up = wake_up
            if self._deadline_s is not None:
                wake_up()

    def step(self, what: str) -> None:
        """Name what the process is about to do: where that does not end in time, the last sentence says so."""
        self._step = what

    def left_s(self) -> float:
        """Seconds until the end by force; infinite as long as nothing has asked for an end."""
        return float("inf") if self._deadline_s is None else max(self._deadline_s - time.monotonic(), 0.0)

    def fail(self, sentence: str) -> None:
        """Something has failed: the process ends in order within ``FAIL_S`` seconds, or by force. The first one counts.
        May be called from any thread.
        """
        with self._lock:
            self.failure = self.failure or sentence
            self._end_within(FAIL_S)

    def watch(self, sentence: str, limit_s: float) -> Pulse:
        """A pulse to beat: silence beyond ``limit_s`` seconds fails with the sentence. Where several are silent the one
        that has been watched for longest is named: watch first what the others need.
        """
        pulse = Pulse(sentence, limit_s)
        self._pulses.append(pulse)
        return pulse

    @contextlib.contextmanager
    def limit(self, sentence: str, limit_s: float) -> Iterator[None]:
        """Put around what must end within ``limit_s`` seconds: longer than that is a failure, with the sentence."""
        pulse = self.watch(sentence, limit_s)
        try:
            yield
        finally:
            self._pulses.remove(pulse)

    def force(self) -> None:
        """End the process now, with a sentence about what did not end."""
        with self._lock:
            self._say(f"driftflow: {self._last_words()}\n")
            self.exit(1)

    def trouble(self) -> list[str]:
        """Why this process is not alive, or will not be for long; empty where all is well. Never waits."""
        reasons = [] if self.failure is None else [self.failure]
        if (silent_s := time.monotonic() - self._looked_s) > _BLIND_S:
            reasons.append(f"the guard has not looked for {silent_s:.0f} s: nothing would end this process if it hung")
        silent = [pulse for pulse in list(self._pulses) if pulse.silent_s > pulse.limit_s]
        return reasons + [f"{pulse.sentence} for {pulse.silent_s:.0f} s" for pulse in silent]

    # Its thread -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Guard:
        self._threads = set(threading.enumerate())
        self._ours, theirs = socket.socketpair()
        self._theirs = theirs
        self._ours.settimeout(_TICK_S)
        theirs.setblocking(False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in _STOP_SIGNALS}
        self._wakeup_fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._excepthook, threading.excepthook = threading.excepthook, self._thread_failed
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Wait for the threads that would keep the process from ending, then let go of it."""
        self._wake_up = lambda: None
        if isinstance(error, Exception):
            self.fail(described(error))
        self._await_threads()
        if kind is None and (self.stopping or self.failure is not None):
            self._say("" if self.failure is None else f"driftflow: {self.failure}\n")
            self.exit(int(self.failure is not None))
        self._left.set()
        threading.excepthook = self._excepthook
        signal.set_wakeup_fd(self._wakeup_fd)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._thread.join()
        self._ours.close()
        self._theirs.close()
        if kind is None and self.failure is not None:
            raise DriftflowError(self.failure)

    def _await_threads(self) -> None:
        with self._lock:
            self._end_within(FAIL_S)
        for thread in self._hindering():
            self.step(f"the thread {thread.name}")
            thread.join(self.left_s())
        if self._hindering():
            self.force()

    def _hindering(self) -> list[threading.Thread]:
        """Threads begun meanwhile that the interpreter would wait for."""
        return [thread for thread in threading.enumerate() if not thread.daemon and thread not in self._threads]

    def _run(self) -> None:
        last_s = time.monotonic()
        while not self._left.is_set():
            for number in self._signals():
                self._take(number)
            now_s = self._looked_s = time.monotonic()
            self._look(min(now_s - last_s, _PAUSE_S))
            last_s = now_s

    def _signals(self) -> Iterator[int]:
        with contextlib.suppress(TimeoutError):
            yield from (number for number in self._ours.recv(64) if number in _STOP_SIGNALS)

    def _take(self, number: int) -> None:
        with self._lock:
            if self.stopping:
                self._say(f"driftflow: a second signal came, so {self._step} was not waited for\n")
                self.exit(1)
            if self._wake_up is None and self.failure is None:
                self._say("driftflow: told to stop before it had begun\n")
                self.exit(0)
            self.stopping = True
            self._end_within(self._within_s)

    def _look(self, passed_s: float) -> None:
        if self._deadline_s is not None:
            if self.left_s() == 0.0:
                self.force()
            return
        pulses = list(self._pulses)
        for pulse in pulses:
            pulse.silent_s += passed_s
        if any(pulse.silent_s > pulse.limit_s for pulse in pulses):
            silent = next(pulse for pulse in pulses if pulse.silent_s > pulse.limit_s / 2)
            self.fail(f"{silent.sentence} for {silent.limit_s:g} s (the main thread is at {self._place()})")

    def _end_within(self, seconds: float) -> None:
        first, until_s = self._deadline_s is None, time.monotonic() + seconds - _TICK_S - _SAY_S
        self._deadline_s = until_s if self._deadline_s is None else min(self._deadline_s, until_s)
        if first and self._wake_up is not None:
            self._wake_up()

    def _last_words(self) -> str:
        if self.failure is not None:
            return f"{self.failure} ({self._step} did not end by itself)"
        return (
            f"{self._step} did not end within {self._within_s:g} s of the signal to stop, so the process ended without "
            "it: the next start goes on from what was saved"
        )

    def _place(self) -> str:
        return _place(traceback.walk_stack(sys._current_frames().get(self._main)))

    def _thread_failed(self, failed: threading.ExceptHookArgs) -> None:
        """What ends in an exception that nobody waits for; where the process ends anyway that is no news."""
        if failed.exc_value is not None and self._deadline_s is None:
            name = failed.thread.name if failed.thread is not None else "unknown"
            self.fail(f"the thread {name} ended: {described(failed.exc_value)}")

    def _say(self, text: str) -> None:
        """Write to standard error, from a thread of its own: whoever should read it may hang too."""

        def write() -> None:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(2, text.encode())

        saying = threading.Thread(target=write, name="last words", daemon=True)
        saying.start()
        saying.join(_SAY_S)


def described(error: BaseException) -> str:
    """An error as part of a sentence: its own text where it is ours, else also its kind and its place in our code."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    module = type(error).__module__.partition(".")[0]
    if module in _PACKAGES:
        return text
    place = _place(reversed(list(traceback.walk_tb(error.__traceback__))))
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' at {place}' if place else ''}"


def _place(frames: Iterator[tuple[FrameType, int]]) -> str:
    """File and line of the innermost frame that is ours, else of the innermost one."""
    places = [
        (frame.f_globals.get("__name__", "").partition(".")[0], frame.f_code.co_filename, line)
        for frame, line in frames
    ]
    ours = next((place for place in places if place[0] in _PACKAGES), places[0] if places else None)
    if ours is None:
        return ""
    _, file, line = ours
    return f"{'/'.join(file.rsplit('/', 3)[-3:])}:{line}"
