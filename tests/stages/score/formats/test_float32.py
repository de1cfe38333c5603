"""Rows of float32: their golden bytes, what is refused, and the layout that stays."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.stages.batches import Bodies, RawBatch
from stream_app.stages.columns import in_order_of
from stream_app.stages.score.checks import check_decoder
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.formats.float32 import Float32Columns, float32_decoder
from tests.stages.score.bodies import decoded_both_ways
from tests.stages.score.formats.making import GOOD, MISSING, T0, TEXTS, config, of_float32

GOLDEN = bytes.fromhex("008c3f233d01000000001041000000bf030000000c00000007000000")


def decode(*bodies: bytes | None, **event: object):  # type: ignore[no-untyped-def]
    return Decoder(config("float32", **event)).decode(RawBatch("e", 0, np.arange(len(bodies)), list(bodies)))


def test_golden_bytes() -> None:
    assert of_float32(GOOD) == GOLDEN
    events, rejects = decode(GOLDEN)
    assert not rejects
    assert events.event_time_ms.tolist() == [T0]
    assert events.numeric.tolist() == [[9.0, -0.5]]
    assert events.slices[0].objects().tolist() == ["12"]
    assert events.ids == ["7"]


def test_it_passes_the_generic_checks() -> None:
    loose = {of_float32({**GOOD, "TEMP": float("-inf")}): ("TEMP", float("-inf"))}
    check_decoder(float32_decoder, of_float32(GOOD), GOOD, config("float32").event, TEXTS, loose)


def test_another_length_is_refused_with_the_one_that_is_expected() -> None:
    events, rejects = decode(GOLDEN[:-1], GOLDEN, GOLDEN + b"\0", None, b"", b'{"at": 1}')
    assert [reject.reason for reject in rejects] == [*["wrong_length"] * 2, "tombstone", *["wrong_length"] * 2]
    assert events.offsets.tolist() == [1]
    assert rejects[0].detail == (
        "27 bytes where 28 are expected, 8 of the time and 4 for each of 2 numbers and 3 other fields: see event.layout"
    )


def test_missing_values_and_times_that_are_none() -> None:
    nothing = struct.pack("<q2f3i", T0, float("nan"), 1, MISSING, MISSING, MISSING)
    events, rejects = decode(nothing, of_float32({**GOOD, "at": -1}), of_float32({**GOOD, "at": 2**62}))
    assert np.isnan(events.numeric[0, 0])
    assert events.coerced is not None
    assert (events.slices[0].objects().tolist(), events.ids, events.coerced.tolist()) == (["(none)"], [""], [0])
    assert [reject.reason for reject in rejects] == ["bad_time", "bad_time"]


@given(st.integers(1, 2**22 - 1), st.booleans(), st.booleans())
def test_no_number_has_the_same_bits_whatever_its_sender_has_put_into_it(
    payload: int, quiet: bool, negative: bool
) -> None:
    """A NaN has a sign and a payload: states and partials are compared bit by bit."""
    nan = struct.pack("<I", 0x7F80_0000 | quiet << 22 | negative << 31 | payload)
    body = of_float32(GOOD)[:8] + nan + of_float32(GOOD)[12:]
    values = [body, of_float32(GOOD)]
    events, rejects = decoded_both_ways(config("float32"), RawBatch("e", 0, np.arange(2), values))
    assert not rejects
    assert events.numeric[0, 0].tobytes() == np.float64("nan").tobytes()


def test_the_layout_stays_when_columns_are_reordered() -> None:
    """Snapshots and models have an order of their own; what producers write does not follow it."""
    turned = in_order_of(config("float32"), ["TEMP", "PM2.5"], ["wd"])
    events, _ = Decoder(turned).decode(RawBatch("e", 0, np.arange(1), [GOLDEN]))
    assert events.numeric.tolist() == [[-0.5, 9.0]]


def test_a_layout_of_ones_own() -> None:
    body = struct.pack("<q3ff2i"[:2] + "ififi", T0, 7, 9.0, 12, -0.5, 3)
    events, rejects = decode(body, layout=["id", "PM2.5", "station", "TEMP", "wd"])
    assert not rejects
    assert (events.numeric.tolist(), events.ids) == ([[9.0, -0.5]], ["7"])
    assert events.slices[0].objects().tolist() == ["12"]


def test_columns_take_rows_wherever_they_lie() -> None:
    stream = config("float32").event
    rows = [of_float32({**GOOD, "TEMP": float(i), "station": i % 3}) for i in range(100)]
    buffer, first = b"", []
    for i, row in enumerate(rows):
        buffer += b"\xff" * (i % 7)
        first.append(len(buffer))
        buffer += row
    bodies = Bodies(buffer, np.array(first), np.full(100, len(rows[0])))
    columns = Float32Columns(stream, TEXTS).read(bodies)
    assert columns.read.all()
    assert columns.numeric[:, 1].tolist() == list(range(100))
    assert columns.texts[1].objects().tolist() == [str(i % 3) for i in range(100)]
    assert columns.ids == ["7"] * 100
    assert not Float32Columns(stream, TEXTS).read(Bodies.of([b"", None, b"x"])).read.any()


def test_columns_in_one_pass_are_those_of_numpy() -> None:
    pytest.importorskip("stream_app.native._rows")
    rng = np.random.default_rng(0)
    odd = [
        b"",
        None,
        b"x" * 27,
        b"x" * 29,
        struct.pack("<q2f3i", -1, 1, 1, 1, 1, 1),
        struct.pack("<q2f3i", 2**62, 1, 1, 1, 1, 1),
    ]
    numbers = [0.0, -0.0, 1e-45, 3.4e38, float("nan"), float("inf"), float("-inf")]
    bodies = list(odd)
    for _ in range(3_000):
        texts = rng.choice([MISSING, -1, 0, 7, 2**31 - 1, int(rng.integers(0, 400))], 3).tolist()
        bodies.append(
            struct.pack(
                "<q2f3i", T0 + len(bodies), *rng.choice(numbers, 2, p=[0.3, 0.1, 0.2, 0.2, 0.1, 0.05, 0.05]), *texts
            )
        )
    reader, given = Float32Columns(config("float32").event, TEXTS), Bodies.of(bodies)
    ours, plain = reader._read_at_once(given), reader._read(given)
    assert ours.read.tolist() == plain.read.tolist()
    read = np.flatnonzero(ours.read)
    assert 0 < len(read) < len(bodies)
    assert ours.time_ms[read].tolist() == plain.time_ms[read].tolist()
    assert ours.numeric[read].view(np.int64).tolist() == plain.numeric[read].view(np.int64).tolist()
    for mine, theirs in zip(ours.texts, plain.texts, strict=True):
        assert mine.take(read).objects().tolist() == theirs.take(read).objects().tolist()
    assert ours.ids is not None
    assert plain.ids is not None
    assert [ours.ids[i] for i in read] == [plain.ids[i] for i in read]


def test_no_byte_outside_of_the_buffer_is_read() -> None:
    pytest.importorskip("stream_app.native._rows")
    reader = Float32Columns(config("float32").event, TEXTS)
    for first in (-1, 1, 2**62):
        beyond = Bodies(GOLDEN, np.array([first]), np.array([len(GOLDEN)]))
        assert not reader._read_at_once(beyond).read.any()
    assert reader._read_at_once(Bodies(GOLDEN, np.array([0]), np.array([len(GOLDEN)]))).read.all()
