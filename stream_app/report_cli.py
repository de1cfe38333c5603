"""The command for those who read a page a week: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from pathlib import Path

import click

from stream_app.command_line import NEW_FILE, offline, out, plain
from stream_app.config import Config


@click.command(short_help="A week in sentences, for everybody.")
@offline
@click.option("--week", "day", is_flag=False, flag_value="", default="", metavar="[DATE]", help="Its last day (UTC).")
@click.option("--out", "path_out", type=NEW_FILE, default="report.html", show_default=True, help="Write the page here.")
@click.option("--markdown", "text", type=NEW_FILE, help="Write the same as Markdown here.")
@click.option("--mail", "channel", metavar="NAME", help="Also mail it, through [notify.mail.NAME].")
def report(config: Config, day: str, path_out: Path, text: Path | None, channel: str | None) -> None:
    """Write what was unusual in a week, what changed, what was done, and how far to trust it: three minutes to read.

    The week is the newest whole one in the embedded store, or the one that ends with DATE. No broker is needed.
    """
    from stream_app.sinks.reading import check_store

    check_store(config)  # that there is none is said without what computes
    from stream_app.reporting.weekly.telling import opening
    from stream_app.reporting.weekly.writing import mail_report, write_report

    week = write_report(config, day, path_out, text)
    out.print("\n".join(plain(sentence) for sentence in opening(week).said))
    for path in filter(None, (path_out, text)):
        out.print(f"[bold]{plain(path)}[/]", soft_wrap=True)
    if channel:
        out.print(f"mail.{plain(channel)}: {plain(mail_report(config, week, channel))}", soft_wrap=True)


COMMANDS: tuple[click.Command, ...] = (report,)
