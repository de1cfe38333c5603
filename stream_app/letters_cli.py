"""The commands about dead letters: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from stream_app.command_line import Command, online, out
from stream_app.config import Config

if TYPE_CHECKING:
    from stream_app.operators.letters.reading import Wanted

COUNT = click.IntRange(min=0)

_CHOICES = (
    click.option("--topic", default="", help="Only of this topic: its name, or events, partials, signals and so on."),
    click.option("--partition", type=COUNT, help="Only of this partition of it."),
    click.option("--reason", default="", help="Only with this reason, such as bad_time."),
    click.option("--since", default="", metavar="T", help="Only those written from T on: a time, or so long ago (2h)."),
    click.option("--until", default="", metavar="T", help="Only those written before T."),
    click.option("--offset", "offsets", default="", metavar="N[-M]", help="Only of messages at these offsets."),
)


def _choosing(command: Command) -> Command:
    """A command with the options by which dead letters are chosen."""
    for option in reversed(_CHOICES):
        command = option(command)
    return command


def _limited(most: int) -> Callable[[Command], Command]:
    return click.option("--limit", type=click.IntRange(1, 1_000_000), default=most, show_default=True, help="So many.")


def _wanted(config: Config, name: str = "", **choices: Any) -> Wanted:
    from stream_app.operators.letters.choosing import wanted

    return wanted(config, name, **choices)


@click.group("dead-letters", short_help="Messages that could not be used.")
def letters() -> None:
    """Look at the messages that could not be used, and send events again once they can be read."""


@letters.command("list", short_help="List them.")
@online
@_choosing
@_limited(50)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(config: Config, limit: int, as_json: bool, **choices: Any) -> None:
    """List dead letters, the newest last: when, which, why, and where the message is; then how many by reason."""
    from stream_app.operators.letters.showing import show_letters

    show_letters(config, _wanted(config, **choices), limit, out, as_json)


@letters.command(short_help="Tell all of one.")
@click.argument("name", metavar="ID")
@online
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object, the body as base64.")
def explain(config: Config, name: str, as_json: bool) -> None:
    """Tell what was wrong with the message of dead letter ID, and what this configuration would make of it now.

    ID is the first characters of an id, or a place: TOPIC/PARTITION@OFFSET.
    """
    from stream_app.operators.letters.showing import explain

    explain(config, name, out, as_json)


@letters.command(short_help="Send events again.")
@click.argument("name", metavar="[ID]", required=False, default="")
@online
@_choosing
@_limited(10_000)
@click.option("--yes", "really", is_flag=True, help="Do it; else it is only said what would come of it.")
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")
def replay(config: Config, name: str, limit: int, really: bool, as_json: bool, **choices: Any) -> None:
    """Send events that were refused to their partition again, those that this configuration can read: the oldest first.

    Correct the configuration, start the workers with it, then replay. Without --yes nothing is sent. None counts twice,
    however often they are sent; those whose pane is closed are late, and it is said how many these are.
    """
    from stream_app.operators.letters.showing import show_replay

    show_replay(config, _wanted(config, name, **choices), limit, really, out, as_json)


COMMANDS: tuple[click.Command, ...] = (letters,)
