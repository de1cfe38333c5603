"""``driftflow notify``: reads the signals topic, and delivers what is on it to the channels of ``[notify]``.

What was read is in the outbox before it is committed, and leaves it once its channel has taken it: a process that is
killed anywhere loses nothing, and may deliver one message a channel twice, with the same key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kafka.errors import KafkaError

from stream_app.config import Config
from stream_app.disk import sole
from stream_app.errors import DriftflowError
from stream_app.guard import Guard
from stream_app.kafka.clients import client_settings
from stream_app.kafka.preflight import preflight, require
from stream_app.notify.causes import Causes
from stream_app.notify.courier import Courier
from stream_app.notify.monitoring import Monitoring
from stream_app.notify.notices import Notice
from stream_app.notify.opening import opened
from stream_app.notify.outbox import Outbox
from stream_app.notify.reading import Reader, group_of
from stream_app.notify.wanting import addressed
from stream_app.terminal import prepare_process

STOP_WITHIN_S = 8.0
"""From the signal to stop on, the process ends within this time: orchestrators kill after ten seconds."""

_SILENT_S = 120.0
_COURIER_S = 2.0

Tell = Callable[[str], None]


def run_notify(config: Config, tell: Tell) -> None:
    """Deliver until SIGTERM or Ctrl-C.

    Args:
        config: the stream.
        tell: takes a line for the person who watches.

    Raises:
        ConfigError: a secret is missing, or there is no channel.
        PreflightError: the broker cannot be used as configured.
        SinkError: the outbox cannot be opened or written.
        DriftflowError: another process delivers from the same outbox; or the broker refuses.
    """
    prepare_process()
    with Guard(STOP_WITHIN_S) as guard:
        channels = opened(config)
        require(preflight(config, "notify"))
        with outbox_of(config) as outbox:
            couriers = {name: Courier(name, channel, outbox) for name, channel in channels.items()}
            try:
                _run(config, outbox, couriers, guard, tell)
            except KafkaError as error:
                where = ", ".join(config.kafka.bootstrap)
                raise DriftflowError(
                    f"the broker at {where} refuses: {error}; look at its log, then start `driftflow notify` again"
                ) from error


@contextmanager
def outbox_of(config: Config) -> Iterator[Outbox]:
    """The outbox, for this process alone.

    Raises:
        DriftflowError: another process has it.
        SinkError: it cannot be opened.
    """
    path = config.path(config.notify.spool)
    refusal = (
        "{path} is held by another `driftflow notify` ({holder}): stop that one, or give this one a file of its own "
        "(notify.spool)"
    )
    with sole(path.with_name(f"{path.name}.lock"), lambda holder: refusal.format(path=path, holder=holder)):
        outbox = Outbox(path, config.notify.spool_max_messages)
        try:
            yield outbox
        finally:
            outbox.close()


def _run(config: Config, outbox: Outbox, couriers: dict[str, Courier], guard: Guard, tell: Tell) -> None:
    stopping, settings = threading.Event(), config.notify.channels()
    pulse = guard.watch("nothing has been read of the signals topic", _SILENT_S)

    causes = Causes(outbox.causes())

    def take(notices: Sequence[Notice]) -> None:
        messages = addressed(settings, causes.fold(notices), outbox.knows)
        outbox.append(messages, causes.to_bytes())
        for name in {name for name, _ in messages}:
            couriers[name].wake()

    guard.on_end(stopping.set)
    for courier in couriers.values():
        courier.start()
    try:
        with Monitoring(config, guard, outbox, couriers).serving() as url:
            where = f"; probes and metrics at {url}" if url else ""
            tell(f"delivers {config.topics.signals} to {', '.join(couriers)}, as group {group_of(config)}{where}")
            Reader(config, client_settings(config.kafka, config.root), take, stopping, pulse.beat).run()
    finally:
        until_s = time.monotonic() + _COURIER_S
        for courier in couriers.values():
            guard.step(f"the delivery to {courier.name}")
            courier.stop(max(until_s - time.monotonic(), 0.1))
