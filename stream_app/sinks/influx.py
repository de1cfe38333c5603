"""InfluxDB 2 (and what speaks its write API: 1.8, 3), through influxdb-client's synchronous calls.

The client's batching writer loses points without telling the caller; this one raises, and the spool keeps the data.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import influxdb_client
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from stream_app.config import Config
from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected, encoded, parts_of
from stream_app.sinks.deadline import Deadline, Sockets
from stream_app.sinks.influx1 import policies_query, retention_of
from stream_app.sinks.line_protocol import lines_of
from stream_app.stages.outputs import Point

T = TypeVar("T")

_TAKEN = 204
_BAD_POINT = (400, 413, 422)
"""413: the batch is too large for the server; halves of it may pass."""

_UNKNOWN = 404

_MESSAGE_MAX = 300
_REMEDIES = {
    401: "the token is wrong or missing: see sink.token_env and sink.token_file",
    403: "the token may not write to this bucket",
    404: "no such organisation or bucket: create it, or see sink.org and sink.bucket",  # it says so in JSON
    429: "the server asks for patience",
}
_NO_API = "there is no write API of InfluxDB 2 at this address (InfluxDB 1 has it from 1.8 on): see sink.url"
_COMPRESSION = 1
"""A sixth of the bytes are left; the highest level would leave a seventh, and take six times as long."""


class InfluxSink:
    """Points as line protocol, millisecond precision. No call takes longer than ``sink.timeout``."""

    def __init__(self, config: Config) -> None:
        sink = config.sink
        self._url, self._org, self._bucket = sink.url.rstrip("/"), sink.org, sink.bucket
        self._where = f"{sink.url} bucket {sink.bucket}"
        self._client = influxdb_client.InfluxDBClient(
            sink.url,
            token=sink.token(config.root),
            org=sink.org,
            timeout=int(sink.timeout),
            retries=Retry(total=0),  # the drainer has a backoff of its own, without an end
        )
        self._sockets = Sockets()
        self._sockets.watch(self._client.api_client.rest_client.pool_manager)
        self._deadline = Deadline(self._where, sink.timeout.seconds, self._sockets)
        self._api: Any = influxdb_client.WriteService(self._client.api_client)

    def write(self, batch: Sequence[Point]) -> None:
        """See :class:`~stream_app.sinks.base.Sink`."""
        lines = b"\n".join(filter(None, encoded(parts_of(batch), lines_of)))
        if lines:
            packed = gzip.compress(lines, _COMPRESSION)
            self._deadline.run(lambda: self._send(packed))

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
        try:
            bucket = self._client.buckets_api().find_bucket_by_name(self._bucket)
        except ApiException as error:
            if error.status != _UNKNOWN:
                raise
            return self._ask_policies()
        if bucket is None:
            return None
        return max((int(rule.every_seconds) for rule in bucket.retention_rules), default=0)

    def _ask_policies(self) -> int | None:
        """The same of InfluxDB 1, which has no buckets."""
        api = self._client.api_client
        words = [("q", policies_query(self._bucket))]
        headers = dict(api.default_headers)  # a copy: the client writes into it
        answer = api.rest_client.GET(f"{self._url}/query", headers=headers, query_params=words)
        return retention_of(answer.data, self._bucket)

    def _send(self, lines: bytes) -> None:
        status = self._answer(lambda: self._post(lines))
        if status != _TAKEN:  # as a proxy that wants a login does: the points are not stored
            raise SinkError(
                f"{self._where} answered {status} where InfluxDB answers {_TAKEN}: is another server there?"
            )

    def _post(self, lines: bytes) -> int:
        _, status, _ = self._api.post_write_with_http_info(
            self._org,
            self._bucket,
            lines,
            precision=WritePrecision.MS,
            content_type="text/plain; charset=utf-8",
            content_encoding="gzip",
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
    if error.status == _UNKNOWN and not _is_json(error.body):
        remedy = _NO_API
    return SinkError(f"{where} answered {error.status}: {remedy} ({message})")


def _is_json(body: bytes | str | None) -> bool:
    """Whether it is an answer of the API, and not a page of whatever else listens there."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    return text.lstrip().startswith("{")
