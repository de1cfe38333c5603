"""Which notices a channel is told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from stream_app.config.notify import AlertmanagerConfig, ChannelConfig, PagerDutyConfig, SeverityName
from stream_app.notify.notices import Notice
from stream_app.stages.judge.silences import fits

_SEVERITIES = get_args(SeverityName)
_LASTING = (AlertmanagerConfig, PagerDutyConfig)
"""Channels in which an incident lasts until it is told to be over."""


def addressed(
    channels: Mapping[str, ChannelConfig], notices: Sequence[Notice], knows: Callable[[str, str], bool]
) -> list[tuple[str, Notice]]:
    """Each notice once for every channel that is told it.

    Args:
        channels: name to settings.
        notices: in order.
        knows: whether a channel, by name, was told of a thread before.
    """
    told, messages = set[tuple[str, str]](), list[tuple[str, Notice]]()
    for notice in notices:
        for name, channel in channels.items():
            place = (name, notice.thread)
            if wants(channel, notice, lambda place=place: place in told or knows(*place)):  # type: ignore[misc]
                messages.append((name, notice))
                told.add(place)
    return messages


def wants(channel: ChannelConfig, notice: Notice, knows: Callable[[], bool]) -> bool:
    """Whether a channel is told.

    Of what it was told the beginning of, it is told the rest. What a silence hides it is not told, but where an
    incident lasts until it is told otherwise: there it ends as the silence begins, and begins anew as that ends. There
    alone it is told of each partition that joins a thread.

    Args:
        channel: its settings.
        notice: what there is to tell.
        knows: asks whether it was told of this thread before.
    """
    if notice.about not in channel.tell or (notice.reason == "reminder" and not channel.reminders):
        return False
    if notice.reason == "joined":
        return isinstance(channel, _LASTING) and knows()
    if notice.silenced:
        return isinstance(channel, _LASTING) and knows()
    return _is_meant(channel, notice) or knows()


def _is_meant(channel: ChannelConfig, notice: Notice) -> bool:
    if notice.about == "incidents" and _SEVERITIES.index(notice.severity) < _SEVERITIES.index(channel.severity):
        return False
    if not channel.slices or not notice.slices:
        return True
    return any(fits(pattern, *each) for pattern in channel.slices for each in notice.slices)
