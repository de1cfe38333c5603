"""The commands about the state of workers: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

import click

from stream_app.command_line import online, out
from stream_app.config import Config


@click.group("state", short_help="Where the state of the workers is kept.")
def state() -> None:
    """Say where the state of the workers is kept."""


@state.command(short_help="Let the state be kept here from now on.")
@online
def claim(config: Config) -> None:
    """Let the place that [state] names be where the group keeps its state, instead of the one before.

    For a folder that was emptied or replaced on purpose, and for a change of [state] store. Stop all workers first:
    what is in the former place is not brought along.
    """
    from stream_app.worker.opening import claim_state

    before, now = claim_state(config)
    former = f", no more in {before}" if before else ""
    out.print(f"the state of group {config.kafka.group} is kept in {now}{former}")


@state.command(short_help="Print the decisions of the run in service.")
@online
def decisions(config: Config) -> None:
    """Print the decisions of the run in service, one JSON object a line, for `--decisions` of other commands."""
    from stream_app.worker.opening import decisions_of

    for line in decisions_of(config):
        click.echo(line)


COMMANDS = (state,)
