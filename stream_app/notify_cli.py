"""The command that delivers incidents to people: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from pathlib import Path

import click

from stream_app.command_line import EXISTING_FILE, err, online, out, plain
from stream_app.config import Config


@click.command(short_help="Deliver incidents to mail, chat and pagers.")
@online
@click.option("--test", "as_test", is_flag=True, help="Send a test incident to every channel and say what came back.")
@click.option("--list", "lists", is_flag=True, help="List what waits, and what was refused and set aside.")
@click.option("--retry", is_flag=True, help="Let what was set aside wait for the next start again.")
@click.option("--from-file", "file", type=EXISTING_FILE, help="Deliver what is new in this file of signals, and end.")
def notify(config: Config, as_test: bool, lists: bool, retry: bool, file: Path | None) -> None:
    """Deliver incidents to the channels of [notify]: Alertmanager, webhooks, Slack, PagerDuty, e-mail.

    One incident is one thread: what becomes of it, and its end, go where its beginning went. What a receiver cannot
    take now waits in notify.spool.
    """
    if as_test + lists + retry + (file is not None) > 1:
        raise click.UsageError("--test, --list, --retry and --from-file: one of them")
    from stream_app import notify as room

    if as_test:
        room.run_test(config, lambda line: out.print(plain(line), soft_wrap=True))
    elif lists:
        out.print("\n".join(map(plain, room.list_waiting(config))), soft_wrap=True)
    elif file is not None:
        room.run_file(config, file, lambda line: out.print(plain(line), soft_wrap=True))
    elif retry:
        out.print(f"{room.retry_aside(config):,} messages wait again: the next `driftflow notify` delivers them")
    else:
        room.run_notify(config, lambda line: err.print(plain(line), soft_wrap=True))


COMMANDS: tuple[click.Command, ...] = (notify,)
