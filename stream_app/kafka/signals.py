"""``driftflow signals``: what the stream has said, for people."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from schemas.incidents import Incident, SilencedIncident, StrangeEvents
from schemas.intake import TYPES, RawHeaders, Refusal, header_map, take_in
from schemas.pane_layout import TOGETHER
from schemas.records import Activation, EventAnomaly, Health, ModelNotice, Record, RetrainRequest, ServiceChange
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.incident_lines import KINDS, OVER, STYLES, Form, bounded, is_over, short
from stream_app.kafka.clients import client_settings
from stream_app.kafka.in_time import in_time
from stream_app.kafka.isolation import reading
from stream_app.kafka.probes import require_reachable
from stream_app.kafka.reading import follow as follow_on
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.types import ConsumerRecord
from stream_app.terminal import utc

log = logging.getLogger(__name__)

IsTrusted = Callable[[Record, bytes, RawHeaders], bool]
"""Whether a record that has to be signed is signed by a key that is trusted here; True for every other."""

_BRIEF = (StrangeEvents, RetrainRequest, ModelNotice, ServiceChange, Health)
_STYLES = {
    "promoted": "bold green",
    "refused": "yellow",
    "waiting": "bold yellow",
    "rollback": "bold red",
    "failing": "bold red",
    "ok": "green",
}
_SAID = {"open": "has opened", "update": "goes on", "strange": "tells of strange events"}
_SAID |= {state: f"is {words}" for state, words in OVER.items()}
"""State to how a sentence has it, where it has it in other words."""
_UNTRUSTED = "(not signed by a key trusted here)"
_JSON_MAX = 1_000_000
_NAMED_MAX = 20


def tail_signals(
    config: Config,
    out: Console,
    is_trusted: IsTrusted = lambda *_: True,
    *,
    follow: bool = True,
    form: Form = "table",
    everything: bool = False,
) -> None:
    """Print the signals from the topic's beginning; Ctrl-C ends it. What is no signal is a line too.

    Args:
        config: the stream.
        out: where to print.
        is_trusted: what is not is marked.
        follow: go on with what comes, after the topic's end.
        form: ``table``, columns for people; ``line``, a sentence each; ``json``, an object a line, where ``refused`` is
            why a message is no signal. Each is one line for whatever reads a pipe.
        everything: reminders, silenced incidents, event anomalies and activations too, and that there are signals of a
            kind not known here.
    """
    try:
        for message in read_signals(config, follow):
            signal = take_in("signals", config.stream, message.value, message.headers)
            if not (everything or _is_news(message, signal)):
                continue
            if form == "json":
                _put_json(out, message, signal, is_trusted)
            else:
                _put_text(out, message, signal, is_trusted, describe if form == "table" else sentence)
    except KeyboardInterrupt:
        return


def _is_news(message: ConsumerRecord, signal: Record | Refusal) -> bool:
    """Whether people have to see it."""
    match signal:
        case SilencedIncident():
            return False
        case Incident():
            return signal.reason != "reminder"
        case Refusal():
            return not _of_later(message)
    return isinstance(signal, _BRIEF)


def _of_later(message: ConsumerRecord) -> bool:
    """Whether a message says that it is of a kind which is not known here: a later version's, say."""
    kind = header_map(message.headers).get("ce_type")
    return kind is not None and kind.decode("utf-8", "replace") not in TYPES


def read_signals(config: Config, follow: bool = False) -> Iterator[ConsumerRecord]:
    """Every record of the signals topic, outside any consumer group: those that are there in the order of their times,
    each partition's in its own; then, where it is to ``follow``, as they come.

    Raises:
        DriftflowError: there is no such topic, the broker does not answer, or a record cannot be read.
    """
    topic = config.topics.signals
    require_reachable(config.kafka)
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: start `driftflow worker` once, it creates the topics")
        consumer.assign(partitions)
        yield from in_time(read_to_end(consumer))
        if follow:
            yield from follow_on(consumer, log.warning)


def _put_text(
    out: Console,
    message: ConsumerRecord,
    signal: Record | Refusal,
    is_trusted: IsTrusted,
    words: Callable[[Record], Text],
) -> None:
    if isinstance(signal, Refusal):
        place = f"{message.topic}/{message.partition}@{message.offset}"
        line = Text(bounded(f"{place} is not a signal of ours: {signal.detail}"), "red")
    else:
        line = words(signal)
        if not is_trusted(signal, message.value or b"", message.headers):
            line.append(f"  {_UNTRUSTED}", "red")
    out.print(line, soft_wrap=not out.is_terminal)  # one line each for whatever reads the pipe


def _put_json(out: Console, message: ConsumerRecord, signal: Record | Refusal, is_trusted: IsTrusted) -> None:
    place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
    if isinstance(signal, Refusal):
        line = msgspec.json.encode({"refused": signal.reason, "detail": signal.detail, **place})
    else:
        headers = header_map(message.headers)
        kind, event_id = (headers.get(name, b"").decode("utf-8", "replace") for name in ("ce_type", "ce_id"))
        trusted = is_trusted(signal, message.value or b"", message.headers)
        line = msgspec.json.encode({"type": kind, "id": event_id, "trusted": trusted, "data": signal})
        if len(line) > _JSON_MAX:
            detail = f"its line would have {len(line):,} bytes, and no more than {_JSON_MAX:,} are printed"
            line = msgspec.json.encode({"refused": "too_large", "detail": detail, **place})
    out.file.write(line.decode() + "\n")
    out.file.flush()


def describe(signal: Record) -> Text:
    """One line for a person: when, what kind, what it is about, and the rest."""
    when, state, what, rest = _parts(signal)
    what = bounded(what)
    line = Text.assemble((f"{when}  ", "dim"), (f"{state:<9}", _style(signal, state)), " ", (what, "bold"))
    return line.append(f"  {bounded(rest)}") if rest else line


def sentence(signal: Record) -> Text:
    """The same as a sentence."""
    when, state, what, rest = _parts(signal)
    head = " ".join(filter(None, [what, _SAID.get(state, state)]))
    words = ": ".join(bounded(part) for part in (f"{when} UTC" if when else "", head, rest) if part)
    return Text(words if words.endswith((".", "!", "?", ")")) else f"{words}.")


def _style(signal: Record, state: str) -> str:
    if isinstance(signal, Incident):
        return "green" if is_over(signal) else STYLES[signal.severity]
    return _STYLES.get(state, "")


def _first(names: list[str]) -> str:
    rest = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {rest:,} more" if rest > 0 else "")


def _parts(signal: Record) -> tuple[str, str, str, str]:
    match signal:
        case Incident():
            silenced = f", silenced ({short(signal.silenced_by)})" if isinstance(signal, SilencedIncident) else ""
            what = f"{signal.severity} {KINDS[signal.kind]} {short(signal.id)}{silenced}"
            return utc(signal.pane_end_ms), signal.state, what, signal.summary
        case StrangeEvents():
            return utc(signal.pane_end_ms), "strange", short(signal.id), signal.summary
        case RetrainRequest():
            rows = sum(part.end - part.start for part in signal.train)
            slices = _first(["all slices together" if name == TOGETHER else name for name in signal.slices])
            asked = f"{rows:,} rows asked for; drifted: {slices}"
            return utc(signal.requested_pane_ms), "retrain", signal.reason, asked
        case ModelNotice():
            return utc(signal.created_ms), signal.status, signal.model_id, signal.reason
        case ServiceChange():
            return utc(signal.pane_end_ms), signal.verb, signal.model_id, f"{signal.why} ({signal.by})"
        case Health():
            return utc(signal.since_ms), signal.state, signal.part, f"{signal.says or 'works again'} ({signal.source})"
        case Activation():
            where = f"scores partition {signal.partition} from here on"
            return utc(signal.pane_start_ms), "swap", signal.model_id, where
        case EventAnomaly():
            blame = _first([f"{b.feature} {b.weight:.0%} ({b.detail})" for b in signal.blame])
            return utc(signal.event_time_ms), "anomaly", signal.slice, f"p = {signal.p_value:.2g}: {blame}"
    return "", type(signal).__name__, "", ""
