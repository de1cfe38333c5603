"""The queue between the topic and the channels: durable, in order, each message once, bounded."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from stream_app.errors import SinkError
from stream_app.notify.outbox import Outbox
from tests.notify.receivers import A, B, told
from tests.people import incident

FIRST, SECOND, OTHER = told(incident(A)), told(incident(A, number=2, state="update")), told(incident(B))


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "notify.sqlite", 100)


def test_messages_wait_in_order_channel_by_channel_until_they_are_settled(outbox: Outbox) -> None:
    outbox.append([("x", FIRST), ("x", SECOND), ("y", OTHER)])
    row = outbox.next("x")
    assert row is not None
    assert (row.notice, outbox.waiting()) == (FIRST, {"x": 2, "y": 1})
    assert outbox.next("x") == row, "it waits until it is settled"
    outbox.settle("x", row, "thread 1")
    second = outbox.next("x")
    assert second is not None
    assert second.notice == SECOND
    assert (outbox.ref("x", A), outbox.ref("y", B), outbox.refs("x")) == ("thread 1", "", {A: "thread 1"})
    assert outbox.knows("x", A)
    assert not outbox.knows("y", A)


def test_what_is_read_again_is_there_once_before_and_after_it_was_delivered(outbox: Outbox) -> None:
    for _ in range(2):
        outbox.append([("x", FIRST), ("x", SECOND)])
    assert outbox.waiting() == {"x": 2}
    for _ in range(2):
        row = outbox.next("x")
        assert row is not None
        outbox.settle("x", row, "")
        outbox.append([("x", FIRST), ("x", SECOND)])
    assert outbox.next("x") is None


def test_a_thread_may_be_forgotten_and_begin_anew(outbox: Outbox) -> None:
    outbox.append([("x", FIRST)])
    row = outbox.next("x")
    assert row is not None
    outbox.settle("x", row, None)
    assert not outbox.knows("x", A)


def test_what_is_refused_is_set_aside_with_its_reason_and_can_be_put_back(outbox: Outbox) -> None:
    outbox.append([("x", FIRST), ("x", SECOND)])
    row = outbox.next("x")
    assert row is not None
    outbox.set_aside(row.number, "answered 400")
    assert [(aside.channel, aside.title, aside.reason) for aside in outbox.aside()] == [
        ("x", FIRST.title, "answered 400")
    ]
    assert outbox.waiting() == {"x": 1}
    assert outbox.put_back() == 1
    again = outbox.next("x")
    assert again is not None
    assert (again.notice, outbox.aside()) == (FIRST, [])


def test_too_many_cost_the_oldest_of_their_channel_which_is_said_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(tmp_path / "notify.sqlite", 3)
    many = [told(incident(A, number=number)) for number in range(1, 6)]
    outbox.append([("y", OTHER), *(("x", notice) for notice in many)])
    row = outbox.next("x")
    assert row is not None
    assert (row.notice, outbox.waiting(), outbox.lost) == (many[2], {"x": 3, "y": 1}, 2)
    assert "x has 3 messages waiting: the oldest 2 were given up" in caplog.text


def test_it_survives_the_end_of_the_process_and_a_message_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "notify.sqlite"
    Outbox(path, 100).append([("x", FIRST), ("x", SECOND)])  # never closed
    with sqlite3.connect(path) as db:
        db.execute("UPDATE messages SET notice = x'c1ff' WHERE id = 1")
    db.close()
    outbox = Outbox(path, 100)
    row = outbox.next("x")
    assert row is not None
    assert row.notice == SECOND
    assert [(aside.title, aside.reason) for aside in outbox.aside()] == [("(damaged)", "it cannot be decoded")]


def test_a_file_that_is_none_ends_in_a_sentence_with_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "notify.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(SinkError, match=r"notify.sqlite cannot be .* name another notify.spool"):
        Outbox(path, 100)


def test_whatever_is_appended_settled_and_closed_in_whatever_order_each_message_is_settled_once(
    tmp_path: Path, seed: int
) -> None:
    draw, path, settled = random.Random(seed), tmp_path / "notify.sqlite", list[str]()
    stream = [told(incident(A if draw.random() < 0.5 else B, number=n)) for n in range(1, 40)]
    outbox, begin = Outbox(path, 1_000), 0
    while begin < len(stream) or outbox.waiting():
        match draw.randrange(3):
            case 0:  # a batch, some of which was read before
                start = max(begin - draw.randrange(5), 0)
                begin = min(begin + draw.randrange(1, 6), len(stream))
                outbox.append([("x", notice) for notice in stream[start:begin]])
            case 1 if (row := outbox.next("x")) is not None:
                settled.append(row.notice.key)
                outbox.settle("x", row, "")
            case 2 if draw.random() < 0.2:
                outbox.close()
                outbox = Outbox(path, 1_000)
    assert settled == [notice.key for notice in stream]
