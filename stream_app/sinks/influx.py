"""InfluxDB 2 (and what speaks its write API), through influxdb-client's synchronous writer.

The client's batching writer loses points without telling the caller; this one raises, and the spool keeps the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import influxdb_client
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from stream_app.config import Config
from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected
from stream_app.stages.outputs import Point

_BAD_POINT = (400, 413, 422)
"""413: the batch is too large for the server; halves of it may pass."""

_MESSAGE_MAX = 300
_REMEDIES = {
    401: "the token is wrong or missing: see sink.token_env and sink.token_file",
    403: "the token may not write to this bucket",
    404: "no such organisation or bucket: create it, or see sink.org and sink.bucket",
    429: "the server asks for patience",
}


class InfluxSink:
    """Points as line protocol, millisecond precision."""

    def __init__(self, config: Config) -> None:
        sink = config.sink
        self._bucket, self._where = sink.bucket, f"{sink.url} bucket {sink.bucket}"
        self._client = influxdb_client.InfluxDBClient(
            sink.url,
            token=sink.token(config.root),
            org=sink.org,
            timeout=15_000,
            enable_gzip=True,
            retries=Retry(total=0),  # the drainer has a backoff of its own, without an end
        )
        self._api: Any = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, batch: Sequence[Point]) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        lines = [line_of(point) for point in batch]
        try:
            self._api.write(self._bucket, record=lines, write_precision=WritePrecision.MS)
        except ApiException as error:
            raise _refusal(self._where, error) from error
        except (HTTPError, OSError) as error:
            raise SinkError(f"{self._where} cannot be reached: {error}") from error

    def close(self) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        self._api.close()
        self._client.close()

    def retention_s(self) -> int | None:
        """Retention of the bucket in seconds, 0 where it keeps points for ever; None where the server does not say."""
        try:
            bucket = self._client.buckets_api().find_bucket_by_name(self._bucket)
        except (ApiException, HTTPError, OSError):
            return None
        if bucket is None:
            return None
        return max((int(rule.every_seconds) for rule in bucket.retention_rules), default=0)


def _refusal(where: str, error: ApiException) -> SinkError:
    message = str(getattr(error, "message", "") or error.body or error.reason or "").strip()[:_MESSAGE_MAX]
    if error.status in _BAD_POINT:
        return Rejected(f"{where} refused points with {error.status}: {message}")
    remedy = _REMEDIES.get(error.status, "the server has a problem")
    return SinkError(f"{where} answered {error.status}: {remedy} ({message})")


def line_of(point: Point) -> str:
    """Line protocol of a point. Empty tags are left out and floats that are not finite too: neither can be written."""
    line = influxdb_client.Point(point.measurement).time(point.time_ms, WritePrecision.MS)
    for name, value in point.tags:
        if value:
            line.tag(name, value)
    for name, field in point.fields:
        if not isinstance(field, float) or math.isfinite(field):
            line.field(name, field)
    return str(line.to_line_protocol())
