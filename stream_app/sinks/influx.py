"""InfluxDB 2 (and what speaks its write API), through influxdb-client's synchronous calls.

The client's batching writer loses points without telling the caller; this one raises, and the spool keeps the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import influxdb_client
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from stream_app.config import Config
from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected, encoded
from stream_app.sinks.deadline import Deadline, Sockets
from stream_app.stages.outputs import Point

T = TypeVar("T")

_TAKEN = 204
_BAD_POINT = (400, 413, 422)
"""413: the batch is too large for the server; halves of it may pass."""

_MESSAGE_MAX = 300
_REMEDIES = {
    401: "the token is wrong or missing: see sink.token_env and sink.token_file",
    403: "the token may not write to this bucket",
    404: "no such organisation or bucket: create it, or see sink.org and sink.bucket",
    429: "the server asks for patience",
}
_INT64 = range(-(2**63), 2**63)
_ESCAPE = "\N{SYMBOL FOR ESCAPE}"
_UNFIT = re.compile(rf"[\x00-\x1f\x7f\\{_ESCAPE}]")
"""What a tag cannot hold, or not one to one: a backslash may be an escape, and a newline is written as two signs."""


class InfluxSink:
    """Points as line protocol, millisecond precision. No call takes longer than ``sink.timeout``."""

    def __init__(self, config: Config) -> None:
        sink = config.sink
        self._org, self._bucket, self._where = sink.org, sink.bucket, f"{sink.url} bucket {sink.bucket}"
        self._client = influxdb_client.InfluxDBClient(
            sink.url,
            token=sink.token(config.root),
            org=sink.org,
            timeout=int(sink.timeout),
            enable_gzip=True,
            retries=Retry(total=0),  # the drainer has a backoff of its own, without an end
        )
        self._sockets = Sockets()
        self._sockets.watch(self._client.api_client.rest_client.pool_manager)
        self._deadline = Deadline(self._where, sink.timeout.seconds, self._sockets)
        self._api: Any = influxdb_client.WriteService(self._client.api_client)

    def write(self, batch: Sequence[Point]) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        lines = [line for line in encoded(batch, line_of) if line]
        if lines:
            self._deadline.run(lambda: self._send("\n".join(lines)))

    def close(self) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        self._sockets.shut()
        self._client.close()

    def retention_s(self) -> int | None:
        """Retention of the bucket in seconds, 0 where it keeps points for ever; None where the server does not say."""
        try:
            return self._deadline.run(lambda: self._answer(self._ask_retention))
        except SinkError:
            return None

    def _ask_retention(self) -> int | None:
        bucket = self._client.buckets_api().find_bucket_by_name(self._bucket)
        if bucket is None:
            return None
        return max((int(rule.every_seconds) for rule in bucket.retention_rules), default=0)

    def _send(self, lines: str) -> None:
        status = self._answer(lambda: self._post(lines))
        if status != _TAKEN:  # as a proxy that wants a login does: the points are not stored
            raise SinkError(
                f"{self._where} answered {status} where InfluxDB answers {_TAKEN}: is another server there?"
            )

    def _post(self, lines: str) -> int:
        _, status, _ = self._api.post_write_with_http_info(
            self._org, self._bucket, lines, precision=WritePrecision.MS, content_type="text/plain; charset=utf-8"
        )
        return int(status)

    def _answer(self, ask: Callable[[], T]) -> T:
        """What the client makes of an answer.

        Raises:
            SinkError: in place of anything that it raises.
        """
        try:
            return ask()
        except ApiException as error:
            raise _refusal(self._where, error) from error
        except (HTTPError, OSError) as error:
            raise SinkError(f"{self._where} cannot be reached: {error}") from error
        except Exception as error:
            raise SinkError(f"{self._where} gave an answer that makes no sense: {error}") from error


def _refusal(where: str, error: ApiException) -> SinkError:
    message = str(getattr(error, "message", "") or error.body or error.reason or "").strip()[:_MESSAGE_MAX]
    if error.status in _BAD_POINT:
        return Rejected(f"{where} refused points with {error.status}: {message}")
    remedy = _REMEDIES.get(error.status, "the server has a problem")
    return SinkError(f"{where} answered {error.status}: {remedy} ({message})")


def line_of(point: Point) -> str:
    """Line protocol of a point. Empty tags are left out and floats that are not finite too: neither can be written.

    Raises:
        OverflowError: a whole number in it is beyond 64 bits.
    """
    for name, value in (("time", point.time_ms), *point.fields):
        if isinstance(value, int) and value not in _INT64:
            raise OverflowError(f"its {name} is beyond 64 bits")
    line = influxdb_client.Point(point.measurement).time(point.time_ms, WritePrecision.MS)
    for name, value in point.tags:
        if value:
            line.tag(name, tag_of(value))
    for name, field in point.fields:
        if not isinstance(field, float) or math.isfinite(field):
            line.field(name, field)
    return str(line.to_line_protocol())


def tag_of(value: str) -> str:
    r"""The value of a tag as InfluxDB can hold it, one to one. Names of slices have nothing unfit, and stay.

    >>> tag_of("a b,c=d %0A"), tag_of("a\\nb"), tag_of("a\nb")
    ('a b,c=d %0A', 'a␛5Cnb', 'a␛0Ab')
    """
    return _UNFIT.sub(lambda found: _ESCAPE + (_ESCAPE if found[0] == _ESCAPE else f"{ord(found[0]):02X}"), value)
