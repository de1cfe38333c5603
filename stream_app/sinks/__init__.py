"""Where results go: the embedded store, or InfluxDB. Add a sink as one file here and one line in ``SINKS``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stream_app.config import Config
from stream_app.sinks.base import Rejected, Sink
from stream_app.terminal import utc

__all__ = ["SINKS", "Rejected", "Sink", "make_sink"]

log = logging.getLogger(__name__)


# Each imports its sink when it is asked for: influxdb-client takes a second, and few need it.


def _sqlite(config: Config) -> Sink:
    from stream_app.sinks.sqlite import SQLiteSink

    return SQLiteSink(config.path(config.sink.path))


def _influx(config: Config) -> Sink:
    from stream_app.sinks.influx import InfluxSink

    sink = InfluxSink(config)
    retention_s = sink.retention_s()
    if retention_s:
        oldest = utc(int(1000 * max(time.time() - retention_s, 0)), "%Y-%m-%d")
        log.warning(
            "Bucket %s keeps %d days: points of events before %s will be refused and set aside.",
            config.sink.bucket,
            retention_s // 86_400,
            oldest,
        )
    return sink


SINKS: dict[str, Callable[[Config], Sink]] = {"sqlite": _sqlite, "influx": _influx}


def make_sink(config: Config) -> Sink:
    """The configured sink."""
    return SINKS[config.sink.kind](config)
