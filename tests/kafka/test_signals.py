"""What the stream has said, as people and programs read it."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition
from rich.console import Console

from schemas.codecs import TYPES
from schemas.records import Activation, Alert, Blame, DeadLetter, EventAnomaly, OffsetRange, Record, RetrainRequest
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.signals import describe, read_signals, tail_signals
from tests.kafka.fakes import Consumer
from tests.worker.making import make_config, notice, record

HOUR_MS = 3_600_000
NAMES = {kind: name for name, kind in TYPES.items()}


def filled(kind: type[Record], **fields: Any) -> Any:
    """A record with what the test does not name left empty."""
    empty: dict[Any, Any] = {str: "", int: 0, float: 0.0, bytes: b"", bool: False}
    known = {
        field.name: fields.get(field.name, empty.get(field.type, []))
        for field in msgspec.structs.fields(kind)
        if field.name in fields or field.required
    }
    return kind(**known)


ALERT = filled(
    Alert, state="open", slice="Dongsi", rule="drift", pane_end_ms=30 * HOUR_MS, summary="likelihood is lower"
)
RETRAIN = filled(
    RetrainRequest,
    reason="drift",
    slices=["Dongsi", "Gucheng"],
    requested_pane_ms=HOUR_MS,
    train=[OffsetRange(topic="e", partition=0, start=100, end=1_600, start_ms=0, end_ms=9)],
)
SWAP = filled(Activation, partition=3, model_id="m1", pane_start_ms=2 * HOUR_MS)
ANOMALY = filled(
    EventAnomaly,
    slice="Dongsi",
    event_time_ms=HOUR_MS,
    p_value=0.00012,
    blame=[Blame(feature="CO", weight=0.75, detail="7 sd above")],
)
MODEL = notice("m1", reason="0.2 nats better", created_ms=HOUR_MS)


@pytest.fixture
def config() -> Config:
    return make_config("127.0.0.1:9092", "s")


@pytest.fixture
def stream(consumer: Consumer, config: Config) -> Consumer:
    """A signals topic with one of each, and bytes that are none."""
    tp = TopicPartition(config.topics.signals, 0)
    said = [(msgspec.json.encode(one), NAMES[type(one)]) for one in (ALERT, RETRAIN, SWAP, ANOMALY, MODEL)]
    said += [(b"junk", NAMES[Alert]), (b"{}", "of.a.newer.version")]
    rows = [
        record(tp, offset, value, [("ce_type", name.encode()), ("ce_id", b"id-%d" % offset)])
        for offset, (value, name) in enumerate(said)
    ]
    consumer.polls, consumer.ends = [{tp: rows}], {tp: len(rows)}
    return consumer


def printed(config: Config, **options: Any) -> str:
    """What is on the terminal, without colours."""
    text = io.StringIO()
    tail_signals(config, Console(file=text, width=200), follow=False, **options)
    return text.getvalue()


@pytest.mark.parametrize(
    ("signal", "line"),
    [
        (ALERT, "1970-01-02 06:00  open      Dongsi drift  likelihood is lower"),
        (RETRAIN, "1970-01-01 01:00  retrain   drift  1,500 rows asked for; drifted: Dongsi, Gucheng"),
        (SWAP, "1970-01-01 02:00  swap      m1  scores partition 3 from here on"),
        (ANOMALY, "1970-01-01 01:00  anomaly   Dongsi  p = 0.00012: CO 75% (7 sd above)"),
        (MODEL, "1970-01-01 01:00  promoted  m1  0.2 nats better"),
    ],
)
def test_every_record_has_a_line(signal: Record, line: str) -> None:
    assert describe(signal).plain == line


def test_a_record_that_no_line_is_written_for_is_named() -> None:
    assert "DeadLetter" in describe(filled(DeadLetter)).plain


def test_people_see_what_asks_for_them(stream: Consumer, config: Config) -> None:
    text = printed(config)
    assert [word in text for word in ("open", "retrain", "promoted")] == [True] * 3
    assert [word in text for word in ("swap", "anomaly")] == [False] * 2
    assert "s.signals/0@5 is not a signal of ours" in text
    assert len(text.splitlines()) == 4
    assert stream.closed


def test_everything_is_everything(stream: Consumer, config: Config) -> None:
    assert len(printed(config, everything=True).splitlines()) == 6


def test_programs_read_lines_of_json(stream: Consumer, config: Config) -> None:
    lines = [json.loads(line) for line in printed(config, as_json=True).splitlines() if line.startswith("{")]
    assert [(line["type"], line["id"]) for line in lines] == [
        (NAMES[Alert], "id-0"),
        (NAMES[RetrainRequest], "id-1"),
        (NAMES[type(MODEL)], "id-4"),
    ]
    assert lines[0]["data"]["slice"] == "Dongsi"


def test_bad_bytes_are_red(stream: Consumer, config: Config) -> None:
    text = io.StringIO()
    tail_signals(config, Console(file=text, width=200, force_terminal=True, color_system="standard"), follow=False)
    (line,) = [line for line in text.getvalue().splitlines() if "not a signal of ours" in line]
    assert line.startswith("\x1b[31m")


def test_following_goes_on_after_the_end_until_ctrl_c(stream: Consumer, config: Config) -> None:
    tp = TopicPartition(config.topics.signals, 0)
    later = record(tp, 7, msgspec.json.encode(ALERT), [("ce_type", NAMES[Alert].encode())])
    stream.polls += [{}, {tp: [later]}, KeyboardInterrupt()]  # type: ignore[list-item]
    text = io.StringIO()
    tail_signals(config, Console(file=text, width=200), follow=True)
    assert text.getvalue().count("likelihood is lower") == 2
    assert stream.closed


def test_a_topic_that_is_not_there(consumer: Consumer, config: Config) -> None:
    consumer.partitions = [set()]
    with pytest.raises(DriftflowError, match=r"topic s.signals does not exist: start `driftflow worker` once"):
        list(read_signals(config))
