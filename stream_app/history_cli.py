"""The command that tries rules on a history: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_app.command_line import EXISTING_FILE, INPUT, MAX_DROPPED, NEW_FILE, err, online, out, plain
from stream_app.config import Config

if TYPE_CHECKING:
    from stream_app.event_files import Report
    from stream_app.offline.backtest.run import History


@click.command(short_help="Try other rules on a history.")
@click.argument("file", required=False, type=INPUT)
@online
@click.option("--topic", is_flag=True, help="Take the events topic from its beginning, in place of a file.")
@click.option("--rules", required=True, type=EXISTING_FILE, help="File with other [alerts] and [rules.NAME].")
@click.option("--decisions", type=EXISTING_FILE, help="Of the run in service: state/decisions.jsonl.")
@click.option("--labels", type=EXISTING_FILE, help="CSV of what is known: from,to,slice,verdict,name.")
@click.option("--model", help="Model id to score with (default: the decisions', or the registry's newest).")
@click.option("--out", "page", type=NEW_FILE, default="backtest.html", show_default=True, help="Write the page here.")
@click.option("--png", type=NEW_FILE, help="Write the picture here too.")
@click.option("--json", "figures", type=NEW_FILE, help="Write the figures here, as JSON.")
@MAX_DROPPED
def backtest(config: Config, file: Path | None, topic: bool, page: Path, max_dropped: float, **options: Any) -> None:
    """Judge the events of FILE, or of the topic, by the rules in service and by those of another file.

    Tells how many incidents and messages each would have made, and what of the known changes each finds, and when:
    those of --labels, and the verdicts that people have given (in --decisions). Nothing is changed: put the rules into
    the configuration where you like them better.
    """
    if (file is None) == (not topic):
        raise click.UsageError("give a FILE, or --topic")
    from stream_app.event_files import Report
    from stream_app.offline.backtest.page import sentences
    from stream_app.offline.backtest.run import BacktestOptions, run_backtest

    report = Report()
    with _history(config, file, report) as history:
        comparison = run_backtest(config, history, BacktestOptions(out=page, **options), err)
    out.print("\n".join(plain(sentence) for sentence in sentences(comparison)))
    out.print(f"[bold]{plain(page)}[/]")
    if file is not None:
        report.tell(out)
        report.check(file, max_dropped)


def _history(config: Config, file: Path | None, report: Report) -> AbstractContextManager[History]:
    from stream_app.event_files import of_files
    from stream_app.offline.backtest.run import of_file
    from stream_app.offline.fields import check_fields
    from stream_app.offline.reading import Reading

    if file is None:
        return _of_topic(config)
    config = of_files(config)
    check_fields(config, file)
    return nullcontext(of_file(Reading(config, file, report)))


@contextmanager
def _of_topic(config: Config) -> Iterator[History]:
    from stream_app.kafka.history import past_of
    from stream_app.offline.backtest.run import History

    with past_of(config) as past:
        yield History(past.batches, None, past.sources)


COMMANDS: tuple[click.Command, ...] = (backtest,)
