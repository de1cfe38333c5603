"""Snapshots: what goes in comes out, the same bytes for the same state, and damage is noticed."""

from __future__ import annotations

import hashlib
from typing import Any

import cramjam
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream_app.errors import SnapshotError
from stream_app.stages.snapshot import pack, unpack

STATE = {
    "next_offset": 7,
    "rows": np.arange(6, dtype=np.int64).reshape(2, 3),
    "names": ["a", "ü"],
    "p": 0.1,
    "none": None,
}
DTYPES = st.sampled_from(["<i8", "<f8", "<f4", "|b1", "<i4", "|u1"])
ARRAYS = DTYPES.flatmap(lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0)))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
TREES = st.recursive(
    LEAVES | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_round_trip(tree: Any) -> None:
    blob = pack(tree)
    assert same(tree, unpack(blob))
    assert pack(unpack(blob)) == blob


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 1_300), st.integers(14, 20), st.sampled_from(["<i8", "<u2", "<i4", "|u1"]))
def test_tables_come_back_whatever_their_columns_hold(seed: int, n: int, c: int, kind: str) -> None:
    rng, dtype = np.random.default_rng(seed), np.dtype(kind)
    bounds = np.iinfo(dtype)
    bits = rng.integers(0, 8 * dtype.itemsize, c)
    table = rng.integers(bounds.min, bounds.max, (n, c), dtype=dtype, endpoint=True) >> bits.astype(dtype)
    for width in (1, 2, 4):  # just within, and just beyond
        for edge in (
            2 ** (8 * width - 1) - 1,
            2 ** (8 * width - 1),
            -(2 ** (8 * width - 1)),
            -(2 ** (8 * width - 1)) - 1,
        ):
            if n and bounds.min <= edge <= bounds.max:
                table[rng.integers(n), rng.integers(c)] = edge
    tree = [table, 1, {"b": table[:, ::-1]}]
    assert same(tree, unpack(pack(tree)))


def test_large_arrays_come_back() -> None:
    rows = np.arange(400_000, dtype=np.int64).reshape(40, 5_000, 2)
    tree = [rows[:, :4_999], rows.ravel(), rows[0, 0], np.zeros((3, 0)), np.array(5)]
    assert same(tree, unpack(pack(tree)))


def test_the_same_state_gives_the_same_bytes() -> None:
    again = {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in STATE.items()}
    assert pack(STATE) == pack(again)
    assert pack({**STATE, "p": 0.2}) != pack(STATE)


def test_memory_order_does_not_show() -> None:
    rows = np.arange(12, dtype=np.int64).reshape(3, 4)
    assert pack(np.asfortranarray(rows)) == pack(rows)
    assert pack(np.repeat(rows, 2, axis=1)[:, ::2]) == pack(rows)


def test_arrays_come_back_writable_and_by_themselves() -> None:
    rows = np.zeros(3, dtype=np.int64)
    back = unpack(pack(rows))
    back += 1
    assert rows.tolist() == [0, 0, 0]
    assert back.tolist() == [1, 1, 1]


def test_numpy_scalars_become_plain() -> None:
    back = unpack(pack([np.int64(3), np.float64(0.5), np.bool_(True)]))
    assert back == [3, 0.5, True]
    assert [type(value) for value in back] == [int, float, bool]


@pytest.mark.parametrize("length", range(0, len(pack(STATE)), 5))
def test_truncation_is_noticed(length: int) -> None:
    with pytest.raises(SnapshotError):
        unpack(pack(STATE)[:length])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(pack(STATE)) - 1), st.integers(1, 255))
def test_alteration_is_noticed(at: int, flip: int) -> None:
    blob = bytearray(pack(STATE))
    blob[at] ^= flip
    with pytest.raises(SnapshotError):
        unpack(bytes(blob))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80))
def test_anything_else_is_refused(blob: bytes) -> None:
    for candidate in (blob, b"DFSA" + blob, pack(STATE) + blob + b"x"):
        with pytest.raises(SnapshotError):
            unpack(candidate)


def forged(body: bytes) -> bytes:
    """A body with a right checksum: what somebody who can write the file could make."""
    body = bytes(cramjam.zstd.compress(body))
    return b"DFSA" + hashlib.sha256(body).digest() + body


@pytest.mark.parametrize("body", [b"", b"no frame", bytes(cramjam.zstd.compress(b"x" * 99))[:-1]])
def test_what_cannot_be_unpacked_is_refused(body: bytes) -> None:
    with pytest.raises(SnapshotError, match="it makes no sense"):
        unpack(b"DFSA" + hashlib.sha256(body).digest() + body)


def array_body(dtype: str, shape: list[int], data: bytes, code: int = 1, widths: bytes = b"") -> bytes:
    head = msgspec.msgpack.encode((dtype, shape, widths))
    tree = msgspec.msgpack.encode(msgspec.msgpack.Ext(code, head))
    return len(tree).to_bytes(8, "little") + tree + data


def test_the_forgery_helper_makes_what_unpack_takes() -> None:
    assert unpack(forged(array_body("<i8", [1], b"\1" + b"\0" * 7))).tolist() == [1]


@pytest.mark.parametrize("dtype", ["|O", "O", "object"])
def test_object_arrays_are_refused_on_the_way_in(dtype: str) -> None:
    with pytest.raises(SnapshotError, match="object arrays"):
        unpack(forged(array_body(dtype, [1], b"\0" * 8)))


def test_object_arrays_are_refused_on_the_way_out() -> None:
    with pytest.raises(TypeError, match="cannot hold ndarray"):
        pack({"ids": np.array(["a", None], dtype=object)})


@pytest.mark.parametrize("value", [object(), 1j, Exception("x")])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        pack({"x": value})


@pytest.mark.parametrize(
    "body",
    [
        array_body("<i8", [2], b"\0" * 8),
        array_body("<i8", [1], b"\0" * 7),
        array_body("nonsense", [1], b"\0" * 8),
        array_body("<i8", [1], b"\0" * 8, code=2),
        array_body("<i8", [1], b"\0" * 9),
        array_body("<i8", [-1], b""),
        array_body("<i8", [2**40, 2**20], b"\0" * 8),
        array_body("<i8", [2**40, 1], b"\0" * 8, widths=b"\1"),
        array_body("<i8", [1, 2], b"\0" * 8, widths=b"\1"),
        array_body("<i8", [1, 2], b"\0" * 8, widths=b"\1\3"),
        array_body("<i8", [1], b"\0", widths=b"\1"),
        array_body("<f8", [1, 1], b"\0", widths=b"\1"),
        bytes(8) + b"\xc1",
        b"\1" + bytes(7) + b"\xc1",
        b"\xff" * 9,
        b"",
    ],
    ids=[
        "shape",
        "size",
        "dtype",
        "code",
        "rest",
        "negative",
        "huge",
        "huge columns",
        "few widths",
        "width",
        "one axis",
        "kind",
        "nothing",
        "msgpack",
        "no tree",
        "empty",
    ],
)
def test_a_body_that_makes_no_sense_is_a_snapshot_error(body: bytes) -> None:
    with pytest.raises(SnapshotError):
        unpack(forged(body))
