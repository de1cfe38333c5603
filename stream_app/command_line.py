"""What the commands share: where they print, their common options, and how whatever goes wrong ends in a sentence."""

from __future__ import annotations

import errno
import functools
import math
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from stream_app.config import load
from stream_app.errors import DriftflowError, Interrupted
from stream_app.pipes import keep
from stream_app.terminal import STANDARD_INPUT, printable

Command = Callable[..., None]


def _console(stderr: bool) -> Console:
    """Sentences break at words on a terminal, and nowhere in a pipe; a name such as a:x:b stays as it is."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=stream is None or not stream.isatty())


out = _console(stderr=False)
err = _console(stderr=True)

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
NEW_FOLDER = click.Path(file_okay=False, path_type=Path)


class _InputFile(click.Path):
    """A file to read; a pipe, or ``-``, standard input, is kept in a temporary file (:mod:`stream_app.pipes`)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ctx is None or (value != "-" and not _is_pipe(Path(value))):
            return super().convert(value, param, ctx)
        folder = ctx.with_resource(tempfile.TemporaryDirectory(prefix="driftflow-"))
        kept = Path(folder) / (STANDARD_INPUT if value == "-" else Path(value).name)
        with nullcontext(sys.stdin.buffer) if value == "-" else open(value, "rb") as source:
            keep(source, kept, "standard input" if value == "-" else value, lambda line: err.print(plain(line)))
        return kept


def _is_pipe(path: Path) -> bool:
    """Whether it can be read once only."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class Factor(click.FloatRange):
    """A finite number from ``min`` on."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number", param, ctx)
        return number


INPUT = _InputFile(path_type=Path)
FILE = click.argument("file", type=INPUT)
MAX_DROPPED = click.option(
    "--max-dropped",
    type=Factor(min=0.0, max=1.0),
    default=0.01,
    show_default=True,
    help="End with status 3 where a larger share of the rows was dropped.",
)
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "line"]),
    help="One line each, never wrapped in a pipe: columns, an object, or a sentence.",
)
BOOTSTRAP = click.option("--bootstrap", metavar="HOST:PORT", help="Broker to use instead of kafka.bootstrap.")
CONFIG = click.option(
    "-c",
    "--config",
    "path",
    default="driftflow.toml",
    show_default=True,
    type=NEW_FILE,
    help="The stream's configuration.",
)


class Group(click.Group):
    """Prints operating errors as a sentence, without a traceback, and exits with their status: 1 for most."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DriftflowError as error:
            _fail(error, error.status)
        except (KeyboardInterrupt, click.Abort):  # of commands that have nothing to say about how far they came
            _fail("interrupted, and not done: the same command begins anew", Interrupted.status)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read our output has gone: click ends quietly
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{where}{error.strerror or error}; look at that file, or at the disk it is on")


def _fail(reason: object, status: int = 1) -> NoReturn:
    lines = map(printable, str(reason).split("\n"))  # a reason may quote what it is about: rows of a file, say
    text = Text.assemble(("driftflow:", "bold red"), " ", "\n".join(lines))
    err.print(text, soft_wrap=True)  # a path stays in one piece
    sys.exit(status)


def plain(text: object) -> str:
    """A text of others on one line, without markup; a backslash before a bracket would take its mask off."""
    return escape(printable(str(text)))


def _configured(broker: bool) -> Callable[[Command], Command]:
    """A decorator: reads ``--config`` and hands it on as ``config``; with ``--bootstrap`` for what needs a broker."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(path: Path, bootstrap: str | None = None, **options: Any) -> None:
            overrides = {"kafka.bootstrap": [bootstrap]} if bootstrap else None
            command(config=load(path, overrides), **options)

        return CONFIG(BOOTSTRAP(run) if broker else run)

    return decorate


online, offline = _configured(broker=True), _configured(broker=False)
