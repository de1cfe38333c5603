"""Reads the week from the embedded store and writes it down."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from stream_app.config import Config
from stream_app.disk import check_writable, writing
from stream_app.errors import DriftflowError
from stream_app.reporting.page import markdown, page
from stream_app.reporting.weekly.gathering import Gathered, gathered
from stream_app.reporting.weekly.telling import opening, parts, title
from stream_app.sinks.reading import check_store, open_store


def read_week(config: Config, day: str = "") -> Gathered:
    """What the store knows of a week; see :func:`gathered`.

    Raises:
        DriftflowError: the sink is not the embedded store, it cannot be read, or it has nothing of that week.
    """
    check_store(config)
    path = config.path(config.sink.path)
    try:
        with open_store(path) as link:
            return gathered(config, link, day)
    except sqlite3.Error as error:
        raise DriftflowError(
            f"{path} cannot be read: {error}; has a worker, or `driftflow score --store`, run?"
        ) from error


def as_html(week: Gathered) -> str:
    """The report as a page."""
    return page(title(week), parts(week), opening(week))


def as_markdown(week: Gathered) -> str:
    """The report as Markdown."""
    return markdown(title(week), parts(week), opening(week))


def mail_report(config: Config, week: Gathered, channel: str) -> str:
    """Mail the report through a channel of ``[notify.mail]``; what became of it.

    Raises:
        ConfigError: there is no such channel, or its secrets are not there.
        SinkError: the server does not take it.
    """
    from stream_app.notify import send_page  # smtplib and ssl are for those who mail

    return send_page(config, channel, title(week), as_markdown(week), as_html(week))


def write_report(config: Config, day: str, out: Path, text: Path | None) -> Gathered:
    """Write the report of a week.

    Args:
        config: the stream.
        day: the last day of the week; "" for the newest whole one.
        out: the page.
        text: the same as Markdown; None for none.

    Raises:
        DriftflowError: see :func:`read_week`; or a file cannot be written.
    """
    for named in filter(None, (out, text)):
        check_writable(named)
    week = read_week(config, day)
    for path, made in ((out, as_html), (text, as_markdown)):
        if path is not None:
            with writing(path):
                path.write_text(made(week), encoding="utf-8")
    return week
