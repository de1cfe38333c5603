"""``driftflow signals``: what the stream has said, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.text import Text

from schemas.codecs import DecodeError, decode_event
from schemas.records import Activation, Alert, EventAnomaly, ModelNotice, Record, RetrainRequest
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end
from stream_app.terminal import utc

_BRIEF = (Alert, RetrainRequest, ModelNotice)
_STYLES = {"open": "bold red", "update": "yellow", "resolve": "green", "promoted": "bold green", "refused": "yellow"}


def tail_signals(
    config: Config, out: Console, *, follow: bool = True, as_json: bool = False, everything: bool = False
) -> None:
    """Print the signals from the topic's beginning; Ctrl-C ends it."""
    try:
        for message in read_signals(config, follow):
            _print(message, out, as_json, everything)
    except KeyboardInterrupt:
        return


def read_signals(config: Config, follow: bool = False) -> Iterator[Any]:
    """Every record of the signals topic, outside any consumer group; partitions in turn, each in order.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    topic = config.topics.signals
    consumer = KafkaConsumer(
        **client_settings(config.kafka, config.root), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            raise DriftflowError(
                f"topic {topic} does not exist yet: start `driftflow worker` once, it makes the topics"
            )
        consumer.assign([TopicPartition(topic, partition) for partition in sorted(partitions)])
        yield from read_to_end(consumer)
        while follow:
            for records in consumer.poll(timeout_ms=1_000).values():
                yield from records
    finally:
        consumer.close()


def _print(message: Any, out: Console, as_json: bool, everything: bool) -> None:
    try:
        record = decode_event(message.value, message.headers)
    except DecodeError as error:
        out.print(Text(f"{message.topic}/{message.partition}@{message.offset} is not a signal of ours: {error}", "red"))
        return
    if record is None or not (everything or isinstance(record, _BRIEF)):
        return
    if as_json:
        headers = dict(message.headers)
        line = {
            "type": headers["ce_type"].decode(),
            "id": headers["ce_id"].decode(),
            "data": msgspec.to_builtins(record),
        }
        out.file.write(msgspec.json.encode(line).decode() + "\n")
        out.file.flush()
    else:
        out.print(describe(record))


def describe(record: Record) -> Text:
    """One line for a person."""
    when, state, what, rest = _parts(record)
    line = Text.assemble((f"{when}  ", "dim"), (f"{state:<9}", _STYLES.get(state, "")), " ", (what, "bold"))
    return line.append(f"  {rest}") if rest else line


def _parts(record: Record) -> tuple[str, str, str, str]:
    match record:
        case Alert():
            return utc(record.pane_end_ms), record.state, f"{record.slice} {record.rule}", record.summary
        case RetrainRequest():
            rows = sum(part.end - part.start for part in record.train)
            where = ", ".join(record.slices)
            return (
                utc(record.requested_pane_ms),
                "retrain",
                record.reason,
                f"{rows:,} rows asked for; drifted: {where}",
            )
        case ModelNotice():
            return utc(record.created_ms), record.status, record.model_id, record.reason
        case Activation():
            where = f"scores partition {record.partition} from here on"
            return utc(record.pane_start_ms), "swap", record.model_id, where
        case EventAnomaly():
            blame = ", ".join(f"{b.feature} {b.weight:.0%} ({b.detail})" for b in record.blame)
            return utc(record.event_time_ms), "anomaly", record.slice, f"p = {record.p_value:.2g}: {blame}"
    return "", type(record).__name__, "", ""
