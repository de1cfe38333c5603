"""Past what the client cannot take apart: everything before and behind it is handed out, and each place is named."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.admin._topics import NewTopic
from kafka.errors import KafkaTimeoutError
from kafka.record.default_records import DefaultRecordBatch

from stream_app.kafka import header_names
from stream_app.kafka.stepping import poll_past


class Unreadable(str):
    """The name of a header, which is no UTF-8 on the wire: kafka-python sends what ``encode`` gives."""

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


def test_records_with_names_that_are_no_text_are_stepped_over(
    broker: tuple[str, str], unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our clients take such names; kafka-python as it comes cannot, which stands here for all else that it cannot."""
    monkeypatch.setattr(DefaultRecordBatch, "_read_msg", header_names._READ_MSG)
    name, client = unique("stepping"), {"bootstrap_servers": broker[1]}
    admin = KafkaAdminClient(**client)
    admin.create_topics([NewTopic(name, 3, 1)])
    admin.wait_for_topics([name])
    admin.close()
    producer, bad = KafkaProducer(**client), [(Unreadable("x"), b"1")]
    for number, headers in [(1, []), (1, bad), (1, []), (1, bad), (1, bad), (2, []), (2, bad)]:
        producer.send(name, b"v", headers=headers, partition=number).get(timeout=30)
    producer.close()
    consumer = KafkaConsumer(**client, auto_offset_reset="earliest", enable_auto_commit=False)
    parts = [TopicPartition(name, number) for number in range(3)]
    consumer.assign(parts)
    skipped: list[tuple[int, int]] = []
    got: list[tuple[int, int]] = []

    def skip(place: Any) -> None:
        assert "UnicodeDecodeError" in place[2]
        skipped.append((place[0].partition, place[1]))

    while sum(consumer.position(tp) for tp in parts) < 7:
        fetched = poll_past(lambda: consumer.poll(timeout_ms=500), consumer, client, skip)
        got += [(record.partition, record.offset) for records in fetched.values() for record in records]
    consumer.close()
    assert sorted(got) == [(1, 0), (1, 2), (2, 0)]
    assert sorted(skipped) == [(1, 1), (1, 3), (1, 4), (2, 1)]


@pytest.mark.parametrize("error", [KafkaTimeoutError("no answer"), ZeroDivisionError("of ours")])
def test_other_errors_are_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no record explains too, in the end."""
    probe = SimpleNamespace(close=lambda timeout_ms: None)
    monkeypatch.setattr("stream_app.kafka.stepping.KafkaConsumer", lambda **_: probe)
    consumer = SimpleNamespace(assignment=set, config={"isolation_level": "read_committed"})

    def poll() -> Any:
        raise error

    with pytest.raises(type(error)):
        poll_past(poll, consumer, {}, lambda _: pytest.fail("there is no such record"))
