"""``driftflow signals``: what the stream has said, for people."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from schemas.codecs import DecodeError, decode_event
from schemas.intake import header_map
from schemas.records import Activation, Alert, EventAnomaly, ModelNotice, Record, RetrainRequest
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.types import ConsumerRecord
from stream_app.terminal import utc

_BRIEF = (Alert, RetrainRequest, ModelNotice)
_STYLES = {"open": "bold red", "update": "yellow", "resolve": "green", "promoted": "bold green", "refused": "yellow"}


def tail_signals(
    config: Config, out: Console, *, follow: bool = True, as_json: bool = False, everything: bool = False
) -> None:
    """Print the signals from the topic's beginning; Ctrl-C ends it.

    Args:
        config: the stream.
        out: where to print.
        follow: go on with what comes, after the topic's end.
        as_json: one JSON object a line, in place of text for people.
        everything: event anomalies and activations too.
    """
    try:
        for message in read_signals(config, follow):
            _print(message, out, as_json, everything)
    except KeyboardInterrupt:
        return


def read_signals(config: Config, follow: bool = False) -> Iterator[ConsumerRecord]:
    """Every record of the signals topic, outside any consumer group; partitions in turn, each in order.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    topic = config.topics.signals
    with reader(client_settings(config.kafka, config.root), topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: start `driftflow worker` once, it creates the topics")
        consumer.assign(partitions)
        yield from read_to_end(consumer)
        while follow:
            for records in consumer.poll(timeout_ms=1_000).values():
                yield from records


def _print(message: ConsumerRecord, out: Console, as_json: bool, everything: bool) -> None:
    try:
        signal = decode_event(message.value, message.headers)
    except DecodeError as error:
        out.print(Text(f"{message.topic}/{message.partition}@{message.offset} is not a signal of ours: {error}", "red"))
        return
    if signal is None or not (everything or isinstance(signal, _BRIEF)):
        return
    if as_json:
        out.file.write(_json_line(signal, header_map(message.headers)) + "\n")
        out.file.flush()
    else:
        out.print(describe(signal), soft_wrap=not out.is_terminal)  # one line each for whatever reads the pipe


def _json_line(signal: Record, headers: dict[str, bytes]) -> str:
    kind, event_id = headers["ce_type"].decode(), headers.get("ce_id", b"").decode(errors="replace")
    return msgspec.json.encode({"type": kind, "id": event_id, "data": msgspec.to_builtins(signal)}).decode()


def describe(signal: Record) -> Text:
    """One line for a person: when, what kind, what it is about, and the rest."""
    when, state, what, rest = _parts(signal)
    line = Text.assemble((f"{when}  ", "dim"), (f"{state:<9}", _STYLES.get(state, "")), " ", (what, "bold"))
    return line.append(f"  {rest}") if rest else line


def _parts(signal: Record) -> tuple[str, str, str, str]:
    match signal:
        case Alert():
            return utc(signal.pane_end_ms), signal.state, f"{signal.slice} {signal.rule}", signal.summary
        case RetrainRequest():
            rows = sum(part.end - part.start for part in signal.train)
            asked = f"{rows:,} rows asked for; drifted: {', '.join(signal.slices)}"
            return utc(signal.requested_pane_ms), "retrain", signal.reason, asked
        case ModelNotice():
            return utc(signal.created_ms), signal.status, signal.model_id, signal.reason
        case Activation():
            where = f"scores partition {signal.partition} from here on"
            return utc(signal.pane_start_ms), "swap", signal.model_id, where
        case EventAnomaly():
            blame = ", ".join(f"{b.feature} {b.weight:.0%} ({b.detail})" for b in signal.blame)
            return utc(signal.event_time_ms), "anomaly", signal.slice, f"p = {signal.p_value:.2g}: {blame}"
    return "", type(signal).__name__, "", ""
