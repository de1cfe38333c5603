"""What every command shares: logging, progress, signals, and times for people to read."""

from __future__ import annotations

import copy
import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

STANDARD_INPUT = "standard-input"
"""Name of the file that standard input is kept in for the time of a command."""

_FIRST, _EVERY = 10, 1_000


def prepare_process() -> None:
    """Logs to standard error; one thread for what computes, which for nets of this size is the fastest on a shared
    machine.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for quiet in ("kafka.coordinator", "kafka.net.selector", "mode.timers"):  # busy processors, topics that come later
        logging.getLogger(quiet).setLevel(logging.ERROR)
    logging.getLogger("stream_app").setLevel(logging.INFO)
    threads = os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch looks here when it is imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))


class _Lines(logging.Formatter):
    """One line for each message, whatever names the events bring, and whatever a client of a broker adds: it logs
    tracebacks of connections that were lost.
    """

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and not record.name.startswith("stream_app"):
            error, record = record.exc_info[1], copy.copy(record)
            record.msg, record.args = f"{record.getMessage()}: {error!r}", ()
            record.exc_info = record.exc_text = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)


def printable(text: str) -> str:
    """A text of others for a terminal or a log: nothing in it begins a line of its own or moves the cursor.

    >>> printable("a\\x1b[31m\\nb")
    'a\\\\u001b[31m\\\\u000ab'
    """
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)


def shortened(text: str, most: int) -> str:
    """A text of that many signs at most, cut between words where it has any near there.

    >>> shortened("TEMP is 4.1 σ higher", 17), shortened("TEMP is", 7), shortened("x" * 9, 5)
    ('TEMP is 4.1 σ…', 'TEMP is', 'xxxx…')
    """
    if len(text) <= most:
        return text
    cut = text[:most]
    end = max(cut.rfind(" "), cut.rfind("\n"))
    return f"{cut[: end if 2 * end > most else most - 1].rstrip(' ,;:.')}…"


def file_name(path: Path | str) -> str:
    """What a file is called for people, and in a command to copy; standard input is what they gave, and no file.

    >>> file_name("a/events.csv"), file_name("/tmp/x/standard-input")
    ('a/events.csv', '-')
    """
    return "-" if os.path.basename(path) == STANDARD_INPUT else str(path)


def progress_bar(console: Console) -> Progress:
    """The progress bar of every long command."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


def on_stop_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` on SIGTERM and on Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


class Seldom:
    """Says what may happen any number of times: the first ten times, then every thousandth time, with the count.

    Args:
        say: takes a line.

    Attributes:
        count: how often it has happened.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self.count = say, 0

    def __call__(self, line: str) -> None:
        """It has happened again."""
        self.count += 1
        if self.count < _FIRST:
            self._say(line)
        elif self.count == _FIRST or self.count % _EVERY == 0:
            self._say(f"{line} ({self.count:,} so far; one in {_EVERY:,} is said)")


def utc(ms: int, pattern: str = "%Y-%m-%d %H:%M") -> str:
    """Milliseconds since the epoch as text, in UTC; as a number where it is no time of the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime(pattern)
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
