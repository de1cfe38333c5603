"""What the stream has said, as people and programs read it."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition
from rich.console import Console

from schemas.incidents import Incident, StrangeEvents
from schemas.intake import TYPES, take_in
from schemas.pane_layout import TOGETHER
from schemas.records import Activation, Blame, DeadLetter, EventAnomaly, OffsetRange, Record, RetrainRequest
from stream_app.config import Config, KafkaConfig
from stream_app.errors import DriftflowError
from stream_app.kafka.signals import describe, read_signals, sentence, tail_signals
from tests.kafka.fakes import Consumer
from tests.people import HOUR_MS, incident, silenced, strange
from tests.worker.making import make_config, notice, record

NAMES = {kind: name for name, kind in TYPES.items()}


def filled(record_type: type[Record], /, **fields: Any) -> Any:
    """A record of the stream ``s`` with what the test does not name left empty."""
    known = {"stream": "s", "pooled": False, "body": b""}
    lists, numbers = ("blame", "slices", "alerts", "train"), ("_ms", "partition", "offset", "size")
    for field in msgspec.structs.fields(record_type):
        if field.required and field.name not in known:
            is_number = field.name.endswith(numbers) or field.name in ("threshold", "log_prob", "p_value")
            known[field.name] = [] if field.name in lists else 0 if is_number else ""
    names = {field.name for field in msgspec.structs.fields(record_type)}
    return record_type(**{name: value for name, value in {**known, **fields}.items() if name in names})


INCIDENT = incident()
FAULT = incident(state="resolve", reason="ended", kind="fault", severity="info", summary="Dongsi: PM2.5 is back")
REMINDER = incident(number=2, state="update", reason="reminder", summary="Dongsi: still so")
SILENCED = silenced(INCIDENT)
STRANGE = strange()
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
Headers = list[tuple[str, bytes | None]]


@pytest.fixture
def config() -> Config:
    return make_config("127.0.0.1:9092", "s")


@pytest.fixture
def stream(consumer: Consumer, config: Config) -> Consumer:
    """A signals topic with one of each, and bytes that are none."""
    tp = TopicPartition(config.topics.signals, 0)
    sent = (INCIDENT, RETRAIN, SWAP, ANOMALY, MODEL, STRANGE, SILENCED, REMINDER)
    said = [(msgspec.json.encode(one), NAMES[type(one)]) for one in sent]
    said += [(b"junk", NAMES[Incident]), (b"{}", "of.a.newer.version")]
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
        (INCIDENT, "1970-01-02 06:00  open      critical drift 0f1e2d3c  Dongsi: TEMP is lower"),
        (FAULT, "1970-01-02 06:00  resolve   info data fault 0f1e2d3c  Dongsi: PM2.5 is back"),
        (SILENCED, "1970-01-02 06:00  open      critical drift 0f1e2d3c, silenced (abcdefgh)  Dongsi: TEMP is lower"),
        (STRANGE, "1970-01-01 01:00  strange   5e5e5e5e  3 events are like nothing the model knows"),
        (
            msgspec.structs.replace(RETRAIN, slices=[TOGETHER]),
            "1970-01-01 01:00  retrain   drift  1,500 rows asked for; drifted: all slices together",
        ),
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
    assert [word in text for word in ("open", "retrain", "promoted", "strange ")] == [True] * 4
    assert [word in text for word in ("swap", "anomaly", "silenced", "still so")] == [False] * 4
    assert "s.signals/0@8 is not a signal of ours: JSON is malformed" in text
    assert len(text.splitlines()) == 5, "a later version's kind is no news"
    assert stream.closed


def test_everything_is_everything(stream: Consumer, config: Config) -> None:
    text = printed(config, everything=True)
    assert len(text.splitlines()) == 10
    assert "s.signals/0@9 is not a signal of ours: header ce_type is b'of.a.newer.version'" in text


def test_programs_read_lines_of_json(stream: Consumer, config: Config) -> None:
    lines = [json.loads(line) for line in printed(config, form="json").splitlines()]
    assert [(line["type"], line["id"], line["trusted"]) for line in lines[:3]] == [
        (NAMES[Incident], "id-0", True),
        (NAMES[RetrainRequest], "id-1", True),
        (NAMES[type(MODEL)], "id-4", True),
    ]
    assert lines[0]["data"]["summary"].startswith("Dongsi")
    assert lines[3]["type"] == NAMES[StrangeEvents]
    assert [(line["refused"], line["topic"], line["partition"], line["offset"]) for line in lines[4:]] == [
        ("undecodable", "s.signals", 0, 8)
    ]


@pytest.mark.parametrize(
    ("signal", "line"),
    [
        (INCIDENT, "1970-01-02 06:00 UTC: critical drift 0f1e2d3c has opened: Dongsi: TEMP is lower."),
        (FAULT, "1970-01-02 06:00 UTC: info data fault 0f1e2d3c is over, as it was before: Dongsi: PM2.5 is back."),
        (SWAP, "1970-01-01 02:00 UTC: m1 swap: scores partition 3 from here on."),
        (ANOMALY, "1970-01-01 01:00 UTC: Dongsi anomaly: p = 0.00012: CO 75% (7 sd above)"),
    ],
)
def test_every_record_has_a_sentence(signal: Record, line: str) -> None:
    assert sentence(signal).plain == line


@pytest.mark.parametrize("form", ["table", "line", "json"])
def test_no_line_is_wrapped_in_a_pipe(stream: Consumer, config: Config, form: Any) -> None:
    text = io.StringIO()
    tail_signals(config, Console(file=text, width=20), follow=False, form=form)
    assert len(text.getvalue().splitlines()) == 5


def test_a_broker_that_is_not_there_is_said_at_once(config: Config, port: int) -> None:
    dead = msgspec.structs.replace(config, kafka=KafkaConfig(bootstrap=[f"127.0.0.1:{port}"]))
    with pytest.raises(DriftflowError, match=rf"cannot be reached: 127.0.0.1:{port}: Connection refused; check kafka"):
        list(read_signals(dead))


@pytest.mark.parametrize("form", ["table", "line", "json"])
def test_what_no_key_trusted_here_has_signed_is_marked(stream: Consumer, config: Config, form: Any) -> None:
    asked: list[type[Record]] = []

    def is_trusted(signal: Record, value: bytes, headers: Any) -> bool:
        assert take_in("signals", "s", value, headers) == signal
        asked.append(type(signal))
        return not isinstance(signal, RetrainRequest)

    lines = printed(config, is_trusted=is_trusted, form=form).splitlines()
    marked = [line for line in lines if "(not signed by a key trusted here)" in line or '"trusted":false' in line]
    assert asked == [Incident, RetrainRequest, type(MODEL), StrangeEvents]
    assert len(marked) == 1
    assert "Gucheng" in marked[0]


GARBAGE: list[tuple[bytes | None, Headers | None]] = [
    (None, [("ce_type", NAMES[Incident].encode())]),
    (b"junk", []),
    (b"junk", None),
    (msgspec.json.encode(INCIDENT), [("ce_type", None)]),
    (msgspec.json.encode(msgspec.structs.replace(INCIDENT, stream="another")), [("ce_type", NAMES[Incident].encode())]),
    (
        msgspec.json.encode(msgspec.structs.replace(INCIDENT, pane_end_ms=10**18)),
        [("ce_type", NAMES[Incident].encode())],
    ),
    (b"[" * 100_000, [("ce_type", NAMES[Incident].encode())]),
    (b"{}", [("ce_type", NAMES[DeadLetter].encode())]),
]


@pytest.mark.parametrize(
    "options", [{}, {"form": "json"}, {"form": "line"}, {"everything": True}, {"form": "json", "everything": True}]
)
@pytest.mark.parametrize(("value", "headers"), GARBAGE)
def test_garbage_is_one_line_and_what_is_behind_it_is_printed(
    consumer: Consumer, config: Config, value: bytes | None, headers: Headers | None, options: dict[str, bool]
) -> None:
    tp = TopicPartition(config.topics.signals, 0)
    good: Headers = [("traceparent", None), ("ce_type", NAMES[Incident].encode())]
    rows = [record(tp, 0, value, headers), record(tp, 1, msgspec.json.encode(INCIDENT), good)]
    consumer.polls, consumer.ends = [{tp: rows}], {tp: 2}
    first, second = printed(config, **options).splitlines()
    assert len(first) < 1_000
    assert "TEMP is lower" in second
    if options.get("form") == "json":
        assert json.loads(first)["refused"]


def test_no_line_is_endless_and_nothing_in_it_moves_the_cursor() -> None:
    wild = "\x1b[2J\r\nfake line" + "x" * 16_000
    request = msgspec.structs.replace(RETRAIN, slices=["n" * 900] * 5_000)
    for signal in (msgspec.structs.replace(INCIDENT, summary=wild), request):
        line = describe(signal).plain
        assert len(line) < 5_000
        assert all(sign.isprintable() for sign in line)
    assert "and 4,980 more" not in line, "it is cut before that"
    short = msgspec.structs.replace(RETRAIN, slices=[f"n{n}" for n in range(5_000)])
    assert describe(short).plain.endswith("n18, n19 and 4,980 more")


def test_a_line_of_json_is_whole_or_says_why_it_is_not_there(consumer: Consumer, config: Config) -> None:
    tp = TopicPartition(config.topics.signals, 0)
    huge = msgspec.json.encode(msgspec.structs.replace(RETRAIN, slices=["n" * 900] * 5_000))
    row = record(tp, 0, huge, [("ce_type", NAMES[RetrainRequest].encode())])
    consumer.polls, consumer.ends = [{tp: [row]}], {tp: 1}
    line = json.loads(printed(config, form="json"))
    assert (line["refused"], line["offset"]) == ("too_large", 0)


def test_bad_bytes_are_red(stream: Consumer, config: Config) -> None:
    text = io.StringIO()
    tail_signals(config, Console(file=text, width=200, force_terminal=True, color_system="standard"), follow=False)
    (line,) = [line for line in text.getvalue().splitlines() if "not a signal of ours" in line]
    assert line.startswith("\x1b[31m")


def test_following_goes_on_after_the_end_until_ctrl_c(stream: Consumer, config: Config) -> None:
    tp = TopicPartition(config.topics.signals, 0)
    later = record(tp, 10, msgspec.json.encode(INCIDENT), [("ce_type", NAMES[Incident].encode())])
    stream.polls += [{tp: [later]}, KeyboardInterrupt()]  # type: ignore[list-item]
    text = io.StringIO()
    tail_signals(config, Console(file=text, width=200), follow=True)
    assert text.getvalue().count("TEMP is lower") == 2
    assert stream.closed


def test_a_topic_that_is_not_there(consumer: Consumer, config: Config) -> None:
    consumer.partitions = [set()]
    with pytest.raises(DriftflowError, match=r"topic s.signals does not exist: start `driftflow worker` once"):
        list(read_signals(config))
