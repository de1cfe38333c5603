"""The commands of who begins with a stream: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
