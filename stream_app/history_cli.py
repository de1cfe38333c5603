"""The commands that go through a history, a file or the topic: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_app.command_line import EXISTING_FILE, INPUT, MAX_DROPPED, NEW_FILE, Command, err, online, out, plain
from stream_app.config import Config
from stream_app.errors import DriftflowError

if TYPE_CHECKING:
    from stream_app.kafka.history import Past
    from stream_app.offline.reading import Between

INPUT_FILE = click.argument("file", required=False, type=INPUT)
TOPIC = click.option("--topic", is_flag=True, help="Take the events topic, in place of a file.")
SORT = click.option(
    "--sort/--no-sort",
    default=None,
    help="Take the rows of FILE in the order of their times (default: where many would come too late as they are).",
)
MODEL = click.option("--model", help="Model id to score with (default: the one in service).")


def _part(command: Command) -> Command:
    """The options that say which part of a history is meant."""
    first = click.option(
        "--from", "first", metavar="WHEN", help="Begin with events of this time, or offset of a topic."
    )
    last = click.option("--to", "last", metavar="WHEN", help="End before this event time, or offset of a topic.")
    return first(last(command))


def _results(command: Command) -> Command:
    """The options that say where results go."""
    options: list[Callable[[Command], Command]] = [
        click.option("--signals", type=NEW_FILE, help="Write the signals here while they come, as JSON lines."),
        click.option("--report", type=NEW_FILE, help="Write a page with pictures here."),
        click.option("--store", is_flag=True, help="Write windows and incidents to the configured sink too."),
        MAX_DROPPED,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Score a file or a topic's past.")
@INPUT_FILE
@online
@TOPIC
@_part
@click.option(
    "--bootstrap-until",
    metavar="DATE",
    help="First train a model on the events before this time (where there is none: on as much as it takes).",
)
@MODEL
@SORT
@_results
def score(config: Config, file: Path | None, topic: bool, first: str | None, last: str | None, **options: Any) -> None:
    """Run all stages on FILE, or on what is on the topic, in this process: the same results as on Kafka.

    FILE is CSV, JSON lines or Parquet, gzipped or not; - is standard input. Where there is no model yet one is trained
    on the first part. What was dropped is told, and why.
    """
    _check_given(file, topic)
    with _history(config, file, first, last) as (source, between):
        from stream_app.offline.score import ScoreOptions, run_score  # what computes: faults are told without it

        run_score(config, source, ScoreOptions(between=between, **options), out, err)


@click.command(short_help="Repeat what the workers have told.")
@INPUT_FILE
@online
@_part
@click.option("--decisions", type=EXISTING_FILE, help="Of the run to repeat (default: state/decisions.jsonl).")
@click.option("--model", help="Model id to begin with where the decisions name none.")
@_results
def replay(
    config: Config, file: Path | None, first: str | None, last: str | None, decisions: Path | None, **options: Any
) -> None:
    """Repeat a run by its decisions: the same models from the same panes on, the same answers of people.

    It takes the events from the topic, or from FILE where they came from there, and writes to no topic.
    """
    with _history(config, file, first, last) as (source, between):
        from stream_app.offline.score import ScoreOptions, run_score  # what computes: faults are told without it

        given = ScoreOptions(between=between, decisions=decisions or _decisions_of(config), **options)
        run_score(config, source, given, out, err)


@click.command(short_help="Try other rules on a history.")
@INPUT_FILE
@online
@TOPIC
@_part
@click.option("--rules", required=True, type=EXISTING_FILE, help="File with other [alerts] and [rules.NAME].")
@click.option("--decisions", type=EXISTING_FILE, help="Of the run in service: state/decisions.jsonl.")
@click.option("--labels", type=EXISTING_FILE, help="CSV of what is known: from,to,slice,verdict,name.")
@click.option("--model", help="Model id to score with (default: the decisions', or the registry's newest).")
@click.option("--out", "page", type=NEW_FILE, default="backtest.html", show_default=True, help="Write the page here.")
@click.option("--png", type=NEW_FILE, help="Write the picture here too.")
@click.option("--json", "figures", type=NEW_FILE, help="Write the figures here, as JSON.")
@SORT
@MAX_DROPPED
def backtest(
    config: Config,
    file: Path | None,
    topic: bool,
    first: str | None,
    last: str | None,
    page: Path,
    sort: bool | None,
    max_dropped: float,
    **options: Any,
) -> None:
    """Judge the events of FILE, or of the topic, by the rules in service and by those of another file.

    Tells how many incidents and messages each would have made, and what of the known changes each finds, and when:
    those of --labels, and the verdicts that people have given (in --decisions). Nothing is changed: put the rules into
    the configuration where you like them better.
    """
    _check_given(file, topic)
    from stream_app.event_files import of_files
    from stream_app.offline.backtest.page import sentences
    from stream_app.offline.backtest.run import BacktestOptions, run_backtest
    from stream_app.offline.fields import check_fields
    from stream_app.offline.ordering import is_to_be_sorted
    from stream_app.offline.reading import Reading

    config = of_files(config) if file is not None else config
    with _history(config, file, first, last) as (source, between):
        check_fields(config, source)
        sort = is_to_be_sorted(config, source, sort, max_dropped, err)
        reading = Reading(config, source, between=between, sort=sort)
        comparison = run_backtest(config, reading, BacktestOptions(out=page, **options), err)
    out.print("\n".join(plain(sentence) for sentence in sentences(comparison)))
    out.print(f"[bold]{plain(page)}[/]")
    reading.report.tell(out)
    reading.report.check(reading.name, max_dropped)


def _check_given(file: Path | None, topic: bool) -> None:
    if (file is None) == (not topic):
        raise click.UsageError("give a FILE, or --topic")


@contextmanager
def _history(
    config: Config, file: Path | None, first: str | None, last: str | None
) -> Iterator[tuple[Path | Past, Between]]:
    """What is gone through, a file or else the topic, and which event times of it."""
    if file is not None:
        from stream_app.offline.fields import check_fields

        check_fields(config, file)
    (from_ms, start), (to_ms, end) = _when(config, "--from", first), _when(config, "--to", last)
    if file is not None:
        if start is not None or end is not None:
            raise click.UsageError("a file has no offsets: give --from and --to as times, such as 2026-01-31")
        from stream_app.offline.reading import Between  # what computes: faults of the file are told without it

        yield file, Between(from_ms, to_ms)
        return
    from stream_app.kafka.history import past_of

    with past_of(config, start or 0, end) as past:
        from stream_app.offline.reading import Between  # as above, of the broker

        yield past, Between(from_ms, to_ms)


def _when(config: Config, option: str, text: str | None) -> tuple[int | None, int | None]:
    """An event time in ms, or an offset."""
    from stream_app.stages.score.event_time import date_ms

    if text is None:
        return None, None
    if text.isdecimal():
        return None, int(text)
    try:
        return date_ms(config.event, text), None
    except ValueError:
        hint = "expected a time such as 2026-01-31 or 2026-01-31T12:00, or an offset of a topic"
        raise click.UsageError(f"{option}: {hint}, got {text!r}") from None


def _decisions_of(config: Config) -> Path:
    path = config.path(config.state.dir) / "decisions.jsonl"
    if not path.exists():
        raise DriftflowError(
            f"there are no decisions in {path}: name those of the run to repeat with --decisions, or score the events "
            "with `driftflow score`"
        )
    return path


COMMANDS: tuple[click.Command, ...] = (score, replay, backtest)
