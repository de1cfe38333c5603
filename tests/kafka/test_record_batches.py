"""Columns out of a fetch: what aiokafka's own reader gives record by record, in C++ and in Python, whatever arrives."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.kafka import plain_batches, record_batches
from stream_app.kafka.record_batches import Aborted, Block, ChecksumError, Fetch
from stream_app.kafka.types import TopicPartition
from stream_app.kafka.unpacking import UNPACKED_MAX
from tests.conftest import need
from tests.kafka.batches import ABORT, APPEND_TIME, CODECS, COMMIT, CONTROL, TRANSACTIONAL, Batch, Record

native = need("stream_app.native._records")
FORMS = {"native": native, "plain": plain_batches}
TP = TopicPartition("t", 3)
Rows = list[tuple[int, int, bytes | None]]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both forms in turn."""
    monkeypatch.setattr(record_batches, "_form", FORMS[request.param])
    return FORMS[request.param]


def ours(data: bytes, start: int, aborted: list[Aborted], form: Any, most: int = 7) -> tuple[Rows, int]:
    """What comes of a fetch, and where to read on."""
    record_batches._form, before = form, record_batches._form
    try:
        fetch, rows = Fetch.of(TP, data, start, aborted), list[tuple[int, int, bytes | None]]()
        assert fetch is not None
        while not fetch.done:
            block = fetch.take(most)
            assert len(block) <= most
            assert not len(block) or fetch.next > block.offsets[-1]
            rows += zip(block.offsets.tolist(), block.times.tolist(), block.bodies, strict=True)
        assert not fetch.unread
        return rows, fetch.next
    finally:
        record_batches._form = before


def theirs(data: bytes, start: int, aborted: list[Aborted]) -> tuple[Rows, int]:
    """The same by aiokafka."""
    level = fetcher.READ_COMMITTED if aborted else fetcher.READ_UNCOMMITTED
    told = [tuple(one) for one in aborted]
    records = fetcher.PartitionRecords(TP, MemoryRecords(data), told, start, None, None, True, level)
    return [(record.offset, record.timestamp, record.value) for record in records], records.next_fetch_offset


bodies = st.none() | st.binary(max_size=40) | st.integers(0, 2_000).map(lambda n: b"x" * n)
headers = st.lists(st.tuples(st.sampled_from([b"", b"ce_type", b"\xc3\xbc"]), bodies), max_size=2)


@st.composite
def fetches(draw: st.DrawFn) -> tuple[bytes, int, list[Aborted]]:
    """Batches one after the other, where they were asked for, and transactions that were aborted."""
    at, packed, aborted = draw(st.integers(0, 1 << 40)), b"", list[Aborted]()
    start = at
    for number in range(draw(st.integers(1, 6))):
        producer = draw(st.integers(0, 2))
        kind = draw(st.sampled_from([0, 0, 0, TRANSACTIONAL, CONTROL | TRANSACTIONAL]))
        if kind & CONTROL:
            batch = Batch(at, [Record(0, b"", draw(st.sampled_from([ABORT, COMMIT])))], kind, producer)
        else:
            deltas = sorted(draw(st.sets(st.integers(0, 30), max_size=12)))
            times = st.integers(-5_000, 5_000)
            rows = [Record(d, draw(bodies), draw(bodies), draw(headers), draw(times)) for d in deltas]
            attributes = kind | draw(st.sampled_from(sorted(CODECS))) | draw(st.sampled_from([0, APPEND_TIME]))
            attributes &= ~7 if not rows else ~0
            last = (deltas[-1] if deltas else 0) + draw(st.integers(0, 3))
            batch = Batch(at, rows, attributes, producer, last_delta=last)
            if kind & TRANSACTIONAL and draw(st.booleans()):
                aborted.append(Aborted(producer, at))
        packed += batch.packed()
        start = draw(st.integers(at, batch.next - 1)) if number == 0 else start  # a broker begins with that batch
        at = batch.next + draw(st.integers(0, 2))
    part = draw(st.integers(0, 60))
    packed += Batch(at, [Record(0, b"part of a batch")]).packed()[:part]
    return packed, start, aborted


@settings(deadline=None, max_examples=100)
@given(fetches(), st.integers(1, 40))
def test_columns_are_what_aiokafka_hands_out_record_by_record(
    fetch: tuple[bytes, int, list[Aborted]], most: int
) -> None:
    expected, after = theirs(*fetch)
    for form in FORMS.values():
        rows, following = ours(*fetch, form, most)
        assert rows == expected
        assert following == after


def outcome(form: Any, data: bytes, heads: Any, start: int) -> Any:
    """What a form makes of batches, or why it does not."""
    columns = np.zeros((4, 64), dtype=np.int64)
    try:
        n, following = form.unpack(data, heads, start, *columns)
    except ValueError as error:
        return str(error)
    return n, following, columns[:, :n].tolist()


@settings(deadline=None, max_examples=150)
@given(fetches(), st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), min_size=1, max_size=4), st.data())
def test_damaged_bytes_are_the_same_to_both_forms(
    fetch: tuple[bytes, int, list[Aborted]], damages: list[tuple[int, int]], data: st.DataObject
) -> None:
    damaged = bytearray(fetch[0])
    for at, byte in damages:
        damaged[at % len(damaged)] = byte
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    check = data.draw(st.booleans())
    tables = [form.scan(bytes(damaged), check) for form in FORMS.values()]
    assert tables[0] == tables[1]
    heads = np.frombuffer(tables[0], dtype=np.int64).reshape(-1, 11)
    for head in heads:
        outcomes = [outcome(form, bytes(damaged), head[None], fetch[1]) for form in FORMS.values()]
        assert outcomes[0] == outcomes[1]


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.integers(0, 60))
def test_any_bytes_as_records_are_the_same_to_both_forms(payload: bytes, count: int) -> None:
    data = Batch(0, [], payload=payload, count=count).packed()
    heads = np.frombuffer(native.scan(data, True), dtype=np.int64).reshape(-1, 11)
    assert outcome(native, data, heads, 0) == outcome(plain_batches, data, heads, 0)
    assert sum(map(len, blocks(Fetch.of(TP, data, 0)))) >= min(count, 1), "no batch is passed over without a word"


def blocks(fetch: Fetch | None) -> list[Block]:
    """All of a fetch."""
    assert fetch is not None
    found = []
    while not fetch.done:
        found.append(fetch.take(1_000))
    return found


GOOD = Batch(0, [Record(0, b"a"), Record(1, None)]).packed()


@pytest.mark.parametrize("codec_number", [1, 2, 3, 4, 5])
def test_what_cannot_be_unpacked_is_one_event_without_a_body(codec_number: int, form: Any) -> None:
    bad = Batch(2, [Record(n, b"b") for n in range(5)], codec_number, payload=b"\x07not packed").packed()
    fetch = Fetch.of(TP, GOOD + bad + Batch(7, [Record(0, b"c")]).packed(), 0)
    found = blocks(fetch)
    assert [(int(o), body) for block in found for o, body in zip(block.offsets, block.bodies, strict=True)] == [
        (0, b"a"), (1, None), (2, b""), (7, b"c")
    ]  # fmt: skip
    assert fetch is not None
    assert fetch.next == 8
    ((first, after, why),) = fetch.unread
    assert (first, after) == (2, 7)
    assert ("codec" if codec_number == 5 else "cannot be unpacked") in why


def test_what_cannot_be_unpacked_is_tried_twice_at_most(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try may take a tenth of a second, and a fetch may hold thousands of them."""
    tried, really = list[bytes](), record_batches.unpacked

    def counted(codec_number: int, packed: memoryview) -> bytes:
        tried.append(bytes(packed))
        return really(codec_number, packed)

    monkeypatch.setattr(record_batches, "unpacked", counted)
    kinds = [(n, n % 3 == 1) for n in range(64)]
    batches = [Batch(n, [Record(0, b"b")], 1, payload=b"bad %d" % n if bad else None) for n, bad in kinds]
    found = [body for block in blocks(Fetch.of(TP, b"".join(map(Batch.packed, batches)), 0)) for body in block.bodies]
    assert found == [b"" if bad else b"b" for _, bad in kinds]
    assert len(tried) <= 2 * len(batches)


@pytest.mark.parametrize("codec_number", [1, 2, 3, 4])
def test_a_bomb_is_not_unpacked(codec_number: int) -> None:
    held = b"\0" * (UNPACKED_MAX + 1)
    packed = codec.snappy_encode(held, xerial_compatible=False) if codec_number == 2 else CODECS[codec_number](held)
    del held
    bomb = Batch(5, [Record(0, b"b")], codec_number, payload=packed).packed()
    tracemalloc.start()
    found = blocks(Fetch.of(TP, bomb, 0))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < UNPACKED_MAX + len(bomb) + (4 << 20)
    assert [list(block.bodies) for block in found] == [[b""]]


@pytest.mark.parametrize("delta", [-1, 0, 2, 1 << 40, (1 << 62) - 1])
def test_an_offset_that_is_not_its_own_is_told_and_passes_over_no_record_of_others(delta: int, form: Any) -> None:
    """Apache Kafka takes batches whose offsets go backwards, or are there twice."""
    lying = Batch(2, [Record(0, b"b"), Record(delta, b"b")], last_delta=1).packed()
    fetch = Fetch.of(TP, GOOD + lying + Batch(4, [Record(0, b"c")]).packed(), 0)
    found = [row for block in blocks(fetch) for row in block]
    assert [(row.offset, row.value) for row in found] == [(0, b"a"), (1, None), (2, b""), (4, b"c")]
    assert fetch is not None
    assert (fetch.next, fetch.unread) == (5, [(2, 4, "a record in it has an offset that is not its own")])


def test_attributes_of_a_record_are_one_byte_whatever_it_is(form: Any) -> None:
    packed = bytearray(Record(0, b"a").packed())
    packed[1] = 0xFF
    (block,) = blocks(Fetch.of(TP, Batch(0, [Record(0, b"")], payload=bytes(packed)).packed(), 0))
    assert list(block.bodies) == [b"a"]


def test_snappy_as_one_block_is_read(form: Any) -> None:
    records = b"".join(Record(n, b"b" * 100).packed() for n in range(5))
    packed = codec.snappy_encode(records, xerial_compatible=False)
    batch = Batch(0, [Record(n, b"") for n in range(5)], 2, payload=packed).packed()
    assert [body for block in blocks(Fetch.of(TP, batch, 0)) for body in block.bodies] == [b"b" * 100] * 5


def test_damage_on_the_way_is_an_error_behind_what_is_sound(form: Any) -> None:
    damaged = bytearray(Batch(2, [Record(0, b"b")]).packed())
    damaged[-1] ^= 1
    fetch = Fetch.of(TP, GOOD + bytes(damaged) + Batch(3, [Record(0, b"c")]).packed(), 0)
    assert fetch is not None
    assert len(fetch.take(10)) == 2
    assert not fetch.done
    assert fetch.next == 2, "what was damaged is fetched again"
    with pytest.raises(ChecksumError, match="at offset 2"):
        fetch.take(10)
    unchecked = Fetch.of(TP, bytes(damaged), 0, check=False)
    assert sum(map(len, blocks(unchecked))) == 1


def test_a_fetch_of_markers_alone_moves_the_position(form: Any) -> None:
    marker = Batch(9, [Record(0, b"", ABORT)], CONTROL | TRANSACTIONAL, 4).packed()
    fetch = Fetch.of(TP, marker, 9)
    assert fetch is not None
    assert (len(fetch.take(10)), fetch.next, fetch.done) == (0, 10, True)


def test_older_formats_and_whatever_else_are_for_aiokafka(form: Any) -> None:
    legacy = LegacyRecordBatchBuilder(1, 0, 10_000)
    legacy.append(0, timestamp=1, key=None, value=b"old")
    of_tomorrow = bytearray(GOOD)
    of_tomorrow[16] = 3
    packed_marker = Batch(9, [Record(0, b"", ABORT)], CONTROL | 1).packed()
    for data in (bytes(legacy.build()), GOOD + bytes(legacy.build()), bytes(of_tomorrow), packed_marker):
        assert Fetch.of(TP, data, 0) is None


def test_a_record_becomes_an_object_where_somebody_asks_for_it(form: Any) -> None:
    block = Fetch.of(TP, GOOD, 0).take(10)  # type: ignore[union-attr]
    assert list(block) == list(Block.of(TP, list(block)))
    assert (block[-1].offset, block[-1].value, block[0].topic, block[0].timestamp) == (1, None, "t", 1_000)
    assert list(block[1:].offsets) == [1]


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300))
def test_the_checksum_is_the_same_by_instruction_and_by_table(data: bytes) -> None:
    expected = plain_batches.calc_crc32c(data)
    assert native.crc32c(data) == native.crc32c(data, True) == expected


@pytest.mark.parametrize("shape", [(4, 1), (4, 0)])
def test_nothing_is_written_beyond_the_room_that_there_is(shape: tuple[int, int], form: Any) -> None:
    heads = np.frombuffer(form.scan(GOOD, True), dtype=np.int64).reshape(-1, 11)
    with pytest.raises(ValueError, match="room"):
        form.unpack(GOOD, heads, 0, *np.zeros(shape, dtype=np.int64))


def test_the_extension_refuses_arrays_that_do_not_fit() -> None:
    heads, columns = np.zeros((1, 11), dtype=np.int64), np.zeros((4, 8), dtype=np.int64)
    for args in (
        (GOOD, heads[:, :10].copy(), 0, *columns),
        (GOOD, heads.astype(np.int32), 0, *columns),
        (GOOD, heads, 0, columns[0, :2], *columns[1:]),
        (GOOD, heads, 0, *columns.astype(float)),
        (GOOD, np.full((1, 11), 1 << 40, dtype=np.int64), 0, *columns),
        (GOOD, np.full((1, 11), -1, dtype=np.int64), 0, *columns),
    ):
        with pytest.raises(ValueError, match=r".+"):
            native.unpack(*args)
