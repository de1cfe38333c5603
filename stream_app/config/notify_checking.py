"""What the types of ``[notify]`` cannot say: channels that could not work as they are configured."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from stream_app.config.notify import (
    AlertmanagerConfig,
    ChannelConfig,
    MailConfig,
    NotifyConfig,
    PagerDutyConfig,
    SlackConfig,
    WebhookConfig,
)

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}")
_ADDRESS = re.compile(r"[!#-'*+\-/-9=?A-Z^-~.]{1,64}@[A-Za-z0-9.\-\[\]:]{1,255}")
_LENDING = ("alertmanager", "pagerduty")
"""Kinds of channels in which what is told lasts until it ends."""


def notify_faults(notify: NotifyConfig, slicing_fields: list[str]) -> list[str]:
    """Every fault, each with its key and what would be right.

    Args:
        notify: the section.
        slicing_fields: the fields that slices are made of.
    """
    faults = []
    if not 100 <= notify.timeout <= 300_000:
        faults.append(f'notify.timeout: from "100ms" to "5m", got {int(notify.timeout)} ms')
    for name, channel in notify.channels().items():
        kind, _, own = name.partition(".")
        if not _NAME.fullmatch(own):
            faults.append(f"notify.{name}: a name of letters, digits, '.', '_' and '-' expected")
        sentences = [*_common(kind, channel, slicing_fields), *_own(channel)]
        faults += [f"notify.{name}.{sentence}" for sentence in sentences]
    return faults


def url_fault(url: str) -> str | None:
    """What is wrong with the address of a server; None where nothing is. It does not name the address: that may be a
    secret.
    """
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or 0 < parts.port < 65_536
    except ValueError:
        return "expected an address such as https://host/path"
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right or re.search(r"[\s\x00]", url):
        return "expected an address that begins with https:// or http://"
    if parts.username or parts.password:
        return "without a user or a password in it: those have settings of their own"
    return None


def is_this_machine(host: str) -> bool:
    """Whether what is sent to a host leaves this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _common(kind: str, channel: ChannelConfig, slicing_fields: list[str]) -> Iterator[str]:
    if not channel.tell:
        yield "tell: name one thing at least"
    if kind in _LENDING and "strange" in channel.tell:
        yield f"tell: strange events have no end, and all that {kind} is told has one; give them another channel"
    for pattern in channel.slices:
        field, equals, value = pattern.partition("=")
        if not pattern.strip() or (equals and not value):
            yield f"slices: {pattern!r} names no slice: FIELD=VALUE or a name, * stands for anything"
        elif equals and field not in slicing_fields:
            known = ", ".join(slicing_fields) or "there are none"
            yield f"slices: {field!r} in {pattern!r} is none of the fields that slices are made of ({known})"


def _own(channel: ChannelConfig) -> Iterator[str]:
    match channel:
        case AlertmanagerConfig():
            yield from _url("url", channel.url)
            if channel.resend < 1_000:
                yield f'resend: at least "1s", got {int(channel.resend)} ms'
        case WebhookConfig():
            if not (channel.url_env or channel.url_file):
                yield from _url("url", channel.url)
        case SlackConfig():
            yield from _slack(channel)
        case PagerDutyConfig():
            yield from _url("url", channel.url)
            if not (channel.key_env or channel.key_file):
                yield "key_env or key_file: needed, the routing key is a secret"
        case MailConfig():
            yield from _mail(channel)


def _url(setting: str, url: str) -> Iterator[str]:
    fault = url_fault(url) if url else "missing"
    if fault:
        yield f"{setting}: {fault}"


def _slack(channel: SlackConfig) -> Iterator[str]:
    hook, bot = channel.url_env or channel.url_file, channel.token_env or channel.token_file
    if not hook and not bot:
        yield "url_env (of an incoming webhook) or token_env with channel (of a bot): one is needed"
    elif hook and bot:
        yield "url_env and token_env: either a webhook or a bot, not both"
    if bot and not channel.channel:
        yield "channel: needed with a bot's token, such as 'C0123456789'"
    yield from _url("api", channel.api)


def _mail(channel: MailConfig) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", channel.host):
        yield f"host: expected the name of a mail server, got {channel.host!r}"
    if not 0 < channel.port < 65_536:
        yield f"port: from 1 to 65535, got {channel.port}"
    if not _ADDRESS.fullmatch(channel.sender):
        yield f"sender: expected an address such as 'driftflow@example.com', got {channel.sender!r}"
    if not channel.to:
        yield "to: one address at least"
    for address in channel.to:
        if not _ADDRESS.fullmatch(address):
            yield f"to: expected an address such as 'anna@example.com', got {address!r}"
    if channel.username and not (channel.password_env or channel.password_file):
        yield "password_env or password_file: needed with username"
    if channel.username and channel.tls == "none" and not is_this_machine(channel.host):
        yield "tls: the password would go over the network in clear: starttls or tls"
