"""Where results go: the embedded store, or InfluxDB. Add a sink as one file here and one line in ``SINKS``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stream_app.config import Config
from stream_app.sinks.base import Rejected, Sink

__all__ = ["SINKS", "Rejected", "Sink", "make_sink"]

log = logging.getLogger(__name__)


def _sqlite(config: Config) -> Sink:
    from stream_app.sinks.sqlite import SQLiteSink

    return SQLiteSink(config.path(config.sink.path))


def _influx(config: Config) -> Sink:
    from stream_app.sinks.influx import InfluxSink

    sink = InfluxSink(config)
    keeps = sink.retention_s()
    if keeps:
        oldest = time.strftime("%Y-%m-%d", time.gmtime(time.time() - keeps))
        log.warning(
            "Bucket %s keeps %d days: points of events before %s will be refused and set aside.",
            config.sink.bucket,
            keeps // 86_400,
            oldest,
        )
    return sink


SINKS: dict[str, Callable[[Config], Sink]] = {"sqlite": _sqlite, "influx": _influx}


def make_sink(config: Config) -> Sink:
    """The configured sink."""
    return SINKS[config.sink.kind](config)
