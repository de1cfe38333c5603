"""MessagePack: its golden bytes, what it has beyond JSON, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.stages.batches import RawBatch
from stream_app.stages.score.checks import check_decoder
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.formats.messagepack import msgpack_decoder
from tests.stages.score.formats.making import GOOD, T0, TEXTS, config, of_msgpack

GOLDEN = bytes.fromhex("84a26174cf0000013d233f8c00a5504d322e35cb4022000000000000a773746174696f6e0ca2696407")


def decode(*bodies: bytes | None, **event: object):  # type: ignore[no-untyped-def]
    return Decoder(config("msgpack", **event)).decode(RawBatch("e", 0, np.arange(len(bodies)), list(bodies)))


def body(**change: Any) -> bytes:
    return of_msgpack({**GOOD, **change})


def test_golden_bytes() -> None:
    events, rejects = decode(GOLDEN)
    assert not rejects
    assert events.event_time_ms.tolist() == [T0]
    assert events.numeric[0, 0] == 9.0
    assert np.isnan(events.numeric[0, 1])
    assert (events.slices[0].objects().tolist(), events.ids) == (["12"], ["7"])


def test_it_passes_the_generic_checks() -> None:
    loose = {
        body(TEMP="-12,5"): ("TEMP", -12.5),
        body(TEMP=True): ("TEMP", 1),
        body(TEMP=float("-inf")): ("TEMP", float("-inf")),
        body(TEMP=2**60 + 1): ("TEMP", 2**60 + 1),
        body(station=float("inf")): ("station", "Infinity"),
    }
    check_decoder(msgpack_decoder, body(), GOOD, config("msgpack").event, TEXTS, loose)


def test_a_timestamp_is_a_time_and_nan_is_missing() -> None:
    moment = datetime.fromtimestamp(T0 / 1000, UTC)
    for time_format in ("epoch_ms", "epoch_s", "epoch_us", "epoch_ns", "iso8601"):
        events, rejects = decode(body(at=moment, TEMP=float("nan")), time_format=time_format, timezone="Europe/Berlin")
        assert not rejects
        assert events.event_time_ms.tolist() == [T0]
        assert np.isnan(events.numeric[0, 1])
        assert events.coerced is not None
        assert events.coerced.tolist() == [0]


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        (b"", "not_msgpack", ""),
        (b'{"at": 1}', "not_msgpack", ""),
        (b"\x93\x01\x02\x03", "not_msgpack", ""),
        (b"\xdf\xff\xff\xff\xff", "not_msgpack", ""),
        (b"\x81\xa1x" + b"\x91" * 5_000, "not_msgpack", ""),
        (b"\x81\xc4\x02at\x01", "not_msgpack", ""),
        (b"\x81\xa2at\xd9\x02\xff\xff", "not_msgpack", ""),
        (body(TEMP=b"12"), "wrong_type", "TEMP"),
        (body(TEMP=msgspec.msgpack.Ext(5, b"x")), "wrong_type", "TEMP"),
        (body(station=b"Dongsi"), "wrong_type", "station"),
        (body(at=None), "missing_time", "at"),
    ],
    ids=["empty", "JSON", "list", "count", "deep", "binary key", "no UTF-8", "binary", "ext", "binary text", "no time"],
)
def test_what_is_refused(value: bytes, reason: str, field: str) -> None:
    events, rejects = decode(body(), value, body())
    assert len(events) == 2
    assert [(reject.row, reject.reason, reject.field) for reject in rejects] == [(1, reason, field)]
    assert len(rejects[0].detail) < 400
