"""``driftflow notify --from-file``: what a file of signals says, delivered once; for who scores files now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Incident, SilencedIncident
from schemas.records import Health, Record
from stream_app.client import Signal, signals
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.notify.causes import Causes
from stream_app.notify.courier import Courier
from stream_app.notify.notices import Notice, notice_of
from stream_app.notify.opening import opened
from stream_app.notify.outbox import Outbox
from stream_app.notify.process import outbox_of
from stream_app.notify.wanting import addressed
from stream_app.terminal import prepare_process

_TRIES = 3
_LOOK_S = 0.05
_STOP_S = 2.0

Tell = Callable[[str], None]


def run_file(config: Config, path: Path, tell: Tell) -> None:
    """Deliver what a file has that was not delivered before, and end.

    Of an incident that no channel was told of before, the newest message is told, where that is still open; of the
    others all that is new. So the file may be written anew and longer each time.

    Args:
        config: the stream.
        path: JSON lines, as ``driftflow score --signals`` writes them.
        tell: takes a line for the person who watches.

    Raises:
        ConfigError: a secret is missing.
        DriftflowError: there is no channel; the file cannot be read; or a channel has not taken all: the rest waits.
    """
    prepare_process()
    channels = opened(config)
    found: Sequence[Signal[Record]] = list(signals(config, file=path, of=(Incident, SilencedIncident, Health)))
    notices = Causes().fold([notice for signal in found if (notice := _notice(signal)) is not None])
    with outbox_of(config) as outbox:
        told = _to_tell(notices, outbox)
        outbox.append(addressed(config.notify.channels(), told, outbox.knows))
        couriers = [Courier(name, channel, outbox) for name, channel in channels.items()]
        before = outbox.waiting()
        try:
            _deliver(outbox, couriers)
        finally:
            for courier in couriers:
                courier.stop(_STOP_S)
        waiting = outbox.waiting()
    tell(f"{sum(before.values()) - sum(waiting.values()):,} messages were delivered or set aside")
    if waiting:
        why = "; ".join(courier.state.failing for courier in couriers if courier.state.failing)
        raise DriftflowError(f"{sum(waiting.values()):,} messages wait for the next run: {why}")


def _notice(signal: Signal[Record]) -> Notice | None:
    at_ms = round(signal.time.timestamp() * 1_000)
    sent = encode_event(Envelope(signal.record, signal.id, signal.source, at_ms))
    return notice_of(signal.record, sent.value, sent.headers, signal.id)


def _to_tell(notices: Sequence[Notice], outbox: Outbox) -> list[Notice]:
    """What comes in each thread behind the last message that was told; of one of which none was, the newest."""
    threads, told = dict[str, list[Notice]](), set[str]()
    for notice in notices:
        thread = threads.setdefault(notice.thread, [])
        if outbox.has(notice.key):
            thread.clear()
            told.add(notice.thread)
        else:
            thread.append(notice)
    return [notice for key, thread in threads.items() for notice in (thread if key in told else _open_one(thread))]


def _open_one(thread: Sequence[Notice]) -> list[Notice]:
    return [] if thread[-1].state == "over" else [thread[-1]]


def _deliver(outbox: Outbox, couriers: Sequence[Courier]) -> None:
    """Until nothing waits but for channels that have failed some times."""
    for courier in couriers:
        courier.start()
    while any(courier.state.failures < _TRIES for courier in couriers if courier.name in outbox.waiting()):
        time.sleep(_LOOK_S)
