"""Makes the channels of a configuration, with their secrets; all that is missing is said at once."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from stream_app.config import Config
from stream_app.config.notify import (
    AlertmanagerConfig,
    ChannelConfig,
    MailConfig,
    PagerDutyConfig,
    SlackConfig,
    WebhookConfig,
)
from stream_app.config.notify_checking import url_fault
from stream_app.errors import ConfigError, DriftflowError, SinkError
from stream_app.notify.channels.alertmanager import Alertmanager
from stream_app.notify.channels.base import Channel
from stream_app.notify.channels.mail import Mail, Server
from stream_app.notify.channels.pagerduty import PagerDuty
from stream_app.notify.channels.posting import Poster
from stream_app.notify.channels.slack import SlackBot, SlackWebhook
from stream_app.notify.channels.webhook import Webhook, key_of

_SECRET = re.compile(r"[!-~]+")
"""What a header can carry."""


def opened(config: Config) -> dict[str, Channel]:
    """Every channel, by ``kind.name``.

    Raises:
        ConfigError: with all that is missing or cannot be read, one line each.
        DriftflowError: there is no channel.
    """
    made, faults = dict[str, Channel](), list[str]()
    if not config.notify.channels():
        raise DriftflowError("[notify] has no channel: add one, such as [notify.mail.NAME] or [notify.slack.NAME]")
    for name, channel in config.notify.channels().items():
        try:
            made[name] = opened_one(config, name, channel)
        except ConfigError as error:
            faults += error.faults
    if faults:
        for each in made.values():
            each.close()
        raise ConfigError("driftflow.toml", faults)
    return made


def opened_one(config: Config, name: str, channel: ChannelConfig) -> Channel:
    """One channel.

    Raises:
        ConfigError: a secret or a file is missing or cannot be read.
    """
    try:
        return _opened(config, channel)
    except (SinkError, ValueError) as error:
        fault = str(error)
    except OSError as error:
        fault = f"{error.filename} cannot be read: {error.strerror}"
    raise ConfigError("driftflow.toml", [f"notify.{name}: {fault}"])


def _opened(config: Config, channel: ChannelConfig) -> Channel:
    root = config.root
    match channel:
        case AlertmanagerConfig():
            password, token = channel.password(root), channel.token(root)
            headers = _login(channel, password, token)
            poster = _poster(config, channel, f"{channel.url.rstrip('/')}/api/v2/alerts", [password, token])
            return Alertmanager(poster, headers, channel.resend.seconds)
        case WebhookConfig():
            url = _address(channel.address(root), channel.url_file or channel.url_env or "url")
            secret, token = channel.secret(root), channel.token(root)
            if channel.secret_file or channel.secret_env:
                key_of(_there(secret, channel.secret_file or channel.secret_env))
            headers = _bearer(_there(token, channel.token_file or channel.token_env)) if _has_token(channel) else {}
            return Webhook(_poster(config, channel, url, [secret, token]), headers, secret)
        case SlackConfig():
            return _slack(config, channel)
        case PagerDutyConfig():
            key = _there(channel.key(root), channel.key_file or channel.key_env)
            return PagerDuty(_poster(config, channel, channel.url, [key]), key)
        case MailConfig():
            return _mail(config, channel)
    raise AssertionError(channel)


def _slack(config: Config, channel: SlackConfig) -> Channel:
    if channel.url_env or channel.url_file:
        url = _address(channel.address(config.root), channel.url_file or channel.url_env)
        return SlackWebhook(_poster(config, channel, url, []))
    token = _there(channel.token(config.root), channel.token_file or channel.token_env)
    _bearer(token)
    poster = _poster(config, channel, f"{channel.api.rstrip('/')}/chat.postMessage", [token])
    return SlackBot(poster, token, channel.channel)


def _mail(config: Config, channel: MailConfig) -> Channel:
    password = channel.password(config.root)
    if channel.username:
        _there(password, channel.password_file or channel.password_env)
    server = Server(
        channel.host,
        channel.port,
        channel.tls,
        channel.username,
        password,
        _cafile(config, channel),
        config.notify.timeout.seconds,
    )
    return Mail(server, channel.sender, channel.to)


def _poster(config: Config, channel: ChannelConfig, url: str, secrets: list[str]) -> Poster:
    return Poster(url, config.notify.timeout.seconds, _cafile(config, channel), secrets)


def _cafile(config: Config, channel: ChannelConfig) -> Path | None:
    return config.path(channel.cafile) if channel.cafile else None


def _there(secret: str, source: str) -> str:
    """The secret; raises ValueError where its file or variable holds none."""
    if not secret:
        raise ValueError(f"{source} is empty or not set")
    return secret


def _address(url: str, source: str) -> str:
    """An address that may be a secret: no error quotes it."""
    fault = url_fault(_there(url, source))
    if fault:
        raise ValueError(f"{source}: {fault}")
    return url


def _has_token(channel: AlertmanagerConfig | WebhookConfig) -> bool:
    return bool(channel.token_file or channel.token_env)


def _login(channel: AlertmanagerConfig, password: str, token: str) -> dict[str, str]:
    if channel.username:
        _there(password, channel.password_file or channel.password_env or "password_env")
        login = base64.b64encode(f"{channel.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {login}"}
    return _bearer(_there(token, channel.token_file or channel.token_env)) if _has_token(channel) else {}


def _bearer(token: str) -> dict[str, str]:
    if not _SECRET.fullmatch(token):  # the client's own error would tell it
        raise ValueError("its token holds a blank, a line break or a letter that none has")
    return {"Authorization": f"Bearer {token}"}
