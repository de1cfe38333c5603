"""A report by mail, through a channel of ``[notify.mail]``: what is written for people and has no thread."""

from __future__ import annotations

from stream_app.config import Config
from stream_app.errors import ConfigError
from stream_app.notify.channels.mail import Mail
from stream_app.notify.opening import opened_one


def send_page(config: Config, name: str, subject: str, text: str, page: str) -> str:
    """Mail a page, once: what the server does not take now is an error.

    Args:
        config: the stream.
        name: of the channel, ``[notify.mail.NAME]``.
        subject: one line.
        text: the page as plain text.
        page: the page as HTML.

    Returns:
        What became of it, in a few words.

    Raises:
        ConfigError: there is no such channel, or its secrets are not there.
        SinkError: the server does not take it.
    """
    settings = config.notify.mail.get(name)
    if settings is None:
        known = ", ".join(config.notify.mail) or "there is none"
        raise ConfigError("driftflow.toml", [f"notify.mail: there is no channel {name!r} ({known})"])
    channel = opened_one(config, f"mail.{name}", settings)
    assert isinstance(channel, Mail)
    try:
        return channel.post(channel.written(subject, text, page))
    finally:
        channel.close()
