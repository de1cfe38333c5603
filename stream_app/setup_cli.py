"""The commands of who begins with a stream: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_app.command_line import BOOTSTRAP, CONFIG, INPUT, NEW_FILE, out
from stream_app.config import load

if TYPE_CHECKING:
    from stream_app.setup.proposal import Choice


@click.command(short_help="Write a configuration for a file or a topic.")
@click.option("--from-file", "file", type=INPUT, help="Look at this file: CSV, JSON lines or Parquet; - is a pipe.")
@click.option("--from-topic", "topic", metavar="TOPIC", help="Look at the newest events of this topic.")
@BOOTSTRAP
@click.option("--stream", "name", metavar="NAME", help="Name of the stream (default: that of the file or topic).")
@click.option("--yes", is_flag=True, help="Ask nothing: take the likeliest.")
@click.option("--out", "path", type=NEW_FILE, default="driftflow.toml", show_default=True, help="Write it here.")
def init(file: Path | None, topic: str | None, bootstrap: str | None, name: str | None, yes: bool, path: Path) -> None:
    """Look at events, find out which field says when, which are numbers, what parts them, and write a configuration
    with the reason of each line. Without a source it is a template.

    Asks only what the events leave open. A file that is there stays as it is.
    """
    if file is not None and topic:
        raise click.UsageError("give --from-file or --from-topic, not both")
    from stream_app.doctor.begin import Source, run_init

    may_ask = not yes and sys.stdin.isatty() and str(file) != "-"
    run_init(Source(file, topic or "", bootstrap or ""), path, name or "", _ask if may_ask else None, out)


def _ask(choice: Choice) -> Any:
    values = [choice.value, *choice.others]
    click.echo(f"{choice.unsure}  ({choice.why})")
    for number, value in enumerate(values, 1):
        click.echo(f"  {number}  {value}")
    return values[click.prompt("Number", type=click.IntRange(1, len(values)), default=1) - 1]


@click.command(short_help="Find out what is wrong with a stream.")
@CONFIG
@BOOTSTRAP
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")
def doctor(path: Path, bootstrap: str | None, as_json: bool) -> None:
    """Go through configuration, disk, keys, model, sink, broker, rights, topics, a sample of real events, clock, lag
    and workers, and say of each how it stands and what to do; at last, why there is no alert.

    Ends with status 1 where something is at fault. Nothing is changed, on this machine or on the broker.
    """
    config = load(path, {"kafka.bootstrap": [bootstrap]} if bootstrap else None)
    from stream_app.doctor.run import run_doctor

    named = tomllib.loads(path.read_text(encoding="utf-8-sig")).keys() & {"kafka", "topics"}
    run_doctor(config, path, out, as_json, has_broker=bool(bootstrap or named))


@click.command("explain-config", short_help="Say what each setting does and leads to.")
@click.argument("keys", nargs=-1)
@CONFIG
@click.option("--all", "everything", is_flag=True, help="Those that have their defaults too.")
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")
def explain_config(path: Path, keys: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Print each setting in force: its value, whether it is the file's own, a default, or follows from the stream's
    name, and what it does; then what all of them lead to: windows, warm-up, delay, memory.

    KEYS are settings or sections, such as windows or alerts.gather; of these all is said.
    """
    config = load(path)
    from stream_app.setup.printing import print_settings

    print_settings(config, path, keys, everything, as_json, out)


COMMANDS: tuple[click.Command, ...] = (init, doctor, explain_config)
