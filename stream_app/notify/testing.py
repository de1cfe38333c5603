"""``driftflow notify --test``: an incident that there is not, told to every channel and ended, and what came back; and
``--list``, what waits and what was set aside.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import msgspec

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Incident
from schemas.records import record_id
from stream_app.config import Config
from stream_app.errors import DriftflowError, SinkError
from stream_app.notify.channels.base import Channel
from stream_app.notify.notices import Notice, notice_of
from stream_app.notify.opening import opened
from stream_app.notify.outbox import Outbox
from stream_app.notify.process import outbox_of

Tell = Callable[[str], None]


def run_test(config: Config, tell: Tell) -> None:
    """Send the beginning and the end of a test incident to every channel; no broker is asked.

    Args:
        config: the stream.
        tell: takes a line for each channel.

    Raises:
        ConfigError: a secret is missing, or there is no channel.
        DriftflowError: a channel has not taken it; every one was tried.
    """
    channels, failed = opened(config), list[str]()
    now_ms = time.time_ns() // 1_000_000
    for name, channel in channels.items():
        try:
            told = _tried(channel, config.notify.channels()[name].severity, config.stream, now_ms)
        except (SinkError, OSError) as error:
            failed.append(name)
            told = f"failed: {error}"
        finally:
            channel.close()
        tell(f"{name}: {told}")
    if failed:
        have = "has" if len(failed) == 1 else "have"
        raise DriftflowError(
            f"{', '.join(failed)} of {len(channels)} channels {have} not taken the test: mend it, and try again"
        )


def _tried(channel: Channel, severity: str, stream: str, now_ms: int) -> str:
    begun, ended = (test_notice(stream, severity, now_ms, number) for number in (1, 2))
    receipt = channel.send(begun, "")
    channel.send(ended, receipt.ref)
    return f"{receipt.says}; the test has begun and ended there"


def test_notice(stream: str, severity: str, now_ms: int, number: int) -> Notice:
    """A message of an incident that there is not.

    Args:
        stream: of which stream.
        severity: how grave.
        now_ms: when it is made.
        number: 1 is its beginning, 2 its end.
    """
    name, is_over = record_id("test", stream, str(now_ms)), number > 1
    where = f"`driftflow notify --test` on {socket.gethostname()}"
    incident = Incident(
        id=name,
        stream=stream,
        number=number,
        state="resolve" if is_over else "open",
        reason="ended" if is_over else "opened",
        kind="fault",
        severity=severity,
        rules=["test"],
        detector="test",
        feature="",
        members=[],
        member_count=0,
        slice_count=0,
        since_ms=now_ms,
        opened_pane_ms=now_ms,
        pane_start_ms=now_ms,
        pane_end_ms=now_ms,
        events=0,
        share=0.0,
        statistic=0.0,
        threshold=0.0,
        evidence="",
        promise="",
        findings=[],
        examples=[],
        marks=[],
        model_id="",
        summary=f"This is a test by {where}: nothing is wrong"
        + (", and it is over" if is_over else "; its end follows at once"),
    )
    source = f"/driftflow/{stream}/notify"
    sent = encode_event(Envelope(incident, record_id("test", name, str(number)), source, now_ms))
    notice = notice_of(incident, sent.value, sent.headers, "")
    assert notice is not None
    return msgspec.structs.replace(notice, title=f"TEST {notice.title}")


test_notice.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def list_waiting(config: Config) -> Iterator[str]:
    """What waits in the outbox, and what was set aside, a line each.

    Raises:
        DriftflowError: there is no outbox, or it cannot be read.
    """
    path = config.path(config.notify.spool)
    if not path.exists():
        raise DriftflowError(f"{path} does not exist: there is none before the first start of `driftflow notify`")
    outbox = Outbox(path, config.notify.spool_max_messages)
    try:
        waiting, aside, lost = outbox.waiting(), outbox.aside(), outbox.lost
    finally:
        outbox.close()
    yield f"{sum(waiting.values()):,} messages wait, {len(aside):,} are set aside, {lost:,} were given up"
    for channel, n in waiting.items():
        yield f"  {channel}: {n:,} wait"
    for each in aside:
        yield f"  {each.channel}: {each.title}: {each.reason}"


def retry_aside(config: Config) -> int:
    """Let all that was set aside wait again; how many messages these are.

    Raises:
        DriftflowError: `driftflow notify` is running, or the outbox cannot be written.
    """
    with outbox_of(config) as outbox:
        return outbox.put_back()
