"""Where results go: the embedded store, or InfluxDB. Add a sink as one file here and one line in ``SINKS``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from stream_app.config import Config
from stream_app.sinks.base import Rejected, Sink
from stream_app.sinks.limits import limits

__all__ = ["SINKS", "Rejected", "Sink", "make_sink"]

log = logging.getLogger(__name__)


# Each imports its sink when it is asked for: influxdb-client takes a second, and few need it.


def _sqlite(config: Config) -> Sink:
    from stream_app.sinks.sqlite import SQLiteSink

    _say_limits(config, None)
    return SQLiteSink(config.path(config.sink.path))


def _influx(config: Config) -> Sink:
    from stream_app.sinks.influx import InfluxSink

    sink = InfluxSink(config)
    _say_limits(config, sink.retention_s())
    return sink


def _say_limits(config: Config, retention_s: int | None) -> None:
    for line in limits(config, retention_s, time.time()):
        log.warning(line)


SINKS: dict[str, Callable[[Config], Sink]] = {"sqlite": _sqlite, "influx": _influx}


def make_sink(config: Config) -> Sink:
    """The configured sink."""
    return SINKS[config.sink.kind](config)
