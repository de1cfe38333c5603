"""``driftflow dead-letters``: what was refused, and why; one of them with all that is known; what a replay does."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from schemas.intake import Refusal, Topic, take_in
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.reading import reader
from stream_app.operators.letters.originals import Gone, Original, originals
from stream_app.operators.letters.present import Present, Verdict
from stream_app.operators.letters.reading import TOPICS, Found, Letters, Wanted, one_letter, read_letters
from stream_app.operators.letters.replaying import Plan, replay
from stream_app.terminal import printable, utc

_SHOWN_BYTES = 4_096
_DETAIL_CHARS = 100
_ID_CHARS = 8


def show_letters(config: Config, wanted: Wanted, limit: int, out: Console, as_json: bool = False) -> None:
    """Print the newest dead letters that are meant, a line each, and how many there are by reason.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    letters = read_letters(config, wanted, limit, newest=True)
    for found in letters.found:
        if as_json:
            out.file.write(msgspec.json.encode(_plain(found)).decode() + "\n")
        else:
            out.print(_line(found), soft_wrap=True)
    if not as_json:
        for sentence in _summary(letters):
            out.print(Text(sentence, "dim"), soft_wrap=True)


def _plain(found: Found) -> dict[str, object]:
    letter = msgspec.structs.asdict(found.letter)
    del letter["body"]
    return {"at_ms": found.at_ms, **letter}


def _line(found: Found) -> Text:
    letter = found.letter
    detail = printable(f"{letter.field}: {letter.detail}" if letter.field else letter.detail)
    detail = detail if len(detail) <= _DETAIL_CHARS else f"{detail[: _DETAIL_CHARS - 1]}…"
    return Text.assemble(
        (f"{_when(found.at_ms)}  ", "dim"),
        f"{letter.id[:_ID_CHARS]}  ",
        (f"{letter.reason:<15} ", "bold"),
        f"{printable(found.place)}  {detail}",
    )


def _when(at_ms: int) -> str:
    return utc(at_ms) if at_ms >= 0 else "----------------"


def _summary(letters: Letters) -> Iterator[str]:
    if not letters.counts:
        yield "no dead letter is meant by this"
    by_topic: dict[str, list[str]] = {}
    for (topic, reason), n in letters.counts.most_common():
        by_topic.setdefault(topic, []).append(f"{n:,} {reason}")
    for topic, reasons in by_topic.items():
        yield printable(f"{topic}: {', '.join(reasons)}")
    if letters.left_out:
        yield f"{letters.left_out:,} older ones are not listed: --limit shows more"
    if letters.strange:
        yield f"{letters.strange:,} other messages on the topic are no dead letters of this stream"


# One of them ---------------------------------------------------------------------------------------------------------


def explain(config: Config, name: str, out: Console, as_json: bool = False) -> None:
    """Print one dead letter: what was wrong, its body (not where fields are sensitive), and what it would be now.

    Args:
        config: the stream, as it is now.
        name: the first characters of its id, or the place of its message, ``topic/partition@offset``.
        out: where to print.
        as_json: one JSON object, the body as base64.

    Raises:
        DriftflowError: it is none or several of them, or the broker does not answer.
    """
    found, letters = one_letter(config, name)
    original, verdict = _now(config, found, letters.refused.get(found.letter.partition, ()))
    may_show = not config.event.sensitive
    if as_json:
        body = original.value if isinstance(original, Original) else original.beginning
        plain = {
            **_plain(found),
            "body": body if may_show else None,
            "body_from": original.source if isinstance(original, Original) else "",
            "gone": original.why if isinstance(original, Gone) else "",
            "now": None if verdict is None else msgspec.to_builtins(_dict(verdict)),
        }
        out.file.write(msgspec.json.encode(plain).decode() + "\n")
        return
    for sentence in _told(config, found, original, verdict, may_show):
        out.print(printable(sentence), soft_wrap=True, markup=False)


def _dict(verdict: Verdict) -> dict[str, object]:
    return {name: getattr(verdict, name) for name in ("fate", "reason", "field", "detail", "time_ms")}


def _now(config: Config, found: Found, refused: Collection[int]) -> tuple[Original | Gone, Verdict | None]:
    """The message, and what would be made of it; None where nobody has it any more."""
    letter = found.letter
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client, letter.topic) as (consumer, partitions):
        place = next((tp for tp in partitions if tp.partition == letter.partition), None)
        if place is None:
            return Gone(f"topic {letter.topic} has no partition {letter.partition} any more", letter.body), None
        (original,) = originals(config, consumer, place, [letter])
        if isinstance(original, Gone):
            return original, None
        if letter.topic == config.topics.events:
            (verdict,) = Present(config).in_time(consumer, place, [original.value], refused)
            return original, verdict
    return original, _taken_in(config, letter.topic, original)


def _taken_in(config: Config, topic: str, original: Original) -> Verdict | None:
    """What the consumer of a topic of ours would say first; signatures, and what it knows of the stream, aside."""
    role = next((role for role in TOPICS if getattr(config.topics, role) == topic), None)
    if role is None or original.source != "topic":
        return None
    record = take_in(_role(role), config.stream, original.value, original.headers)
    if isinstance(record, Refusal):
        return Verdict("refused", record.reason, record.field, record.detail)
    return Verdict("taken in")


def _role(role: str) -> Topic:
    assert role != "events"
    return role  # type: ignore[return-value]


def _told(
    config: Config, found: Found, original: Original | Gone, verdict: Verdict | None, may_show: bool
) -> Iterator[str]:
    letter = found.letter
    yield f"dead letter {letter.id}, written {_when(found.at_ms)} UTC"
    yield f"{found.place}: {letter.reason}{f', field {letter.field}' if letter.field else ''}"
    yield f"  {letter.detail}"
    if isinstance(original, Gone):
        yield f"its message is gone: {original.why}"
    else:
        where = "as it stands on the topic" if original.source == "topic" else "as the dead letter carries it"
        size = "a tombstone" if original.value is None else f"{letter.size:,} bytes"
        yield f"its message: {size}, {where}; sha256 {letter.sha256}"
    body = (original.value if isinstance(original, Original) else original.beginning) or b""
    if not may_show:
        yield f"  its body is not shown (event.sensitive): whoever may see it reads {found.place}"
    elif body:
        yield "  " + body[:_SHOWN_BYTES].decode(errors="backslashreplace") + ("…" if len(body) > _SHOWN_BYTES else "")
    yield _words(verdict)


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return "what would be made of it now cannot be said"
    if verdict.fate == "refused":
        field = f", field {verdict.field}" if verdict.field else ""
        return f"now it would be refused, {verdict.reason}{field}: {verdict.detail}"
    if verdict.time_ms is None:
        return "now it would be taken in, if its signature and the rest of the stream fit"
    return f"now it would be an event of {utc(verdict.time_ms)}: {_FATES[verdict.fate]}"


_FATES = {
    "on time": "sent again it would be scored and windowed",
    "late": "sent again it would be late, counted and in no window: its pane is closed",
    "duplicate": "sent again it would be dropped: an event with its id has come",
    "held": "sent again it would wait until the stream comes near its time",
}

# A replay ------------------------------------------------------------------------------------------------------------


def show_replay(config: Config, wanted: Wanted, limit: int, really: bool, out: Console, as_json: bool = False) -> None:
    """Send events again, or say what would come of it.

    Raises:
        DriftflowError: nothing can be sent, or the broker did not take all.
    """
    plan = replay(config, wanted, limit, really)
    if as_json:
        out.file.write(msgspec.json.encode({**msgspec.to_builtins(plan), "dry_run": not really}).decode() + "\n")
    else:
        for sentence in plan_words(config, plan, really):
            out.print(printable(sentence), soft_wrap=True, markup=False)
    if not plan.events and plan.gone and plan.gone == plan.letters:
        raise DriftflowError(f"nothing can be sent again: {plan.why_gone[0]}")


def plan_words(config: Config, plan: Plan, really: bool) -> Iterator[str]:
    """A plan in sentences."""
    would = "" if really else "would be "
    yield f"{plan.letters:,} dead letters are meant: {plan.events:,} can be read now" + _counted(
        plan.refused, "still cannot"
    )
    if plan.before:
        yield f"{plan.before:,} were sent again before, and are left out"
    for why in plan.why_gone:
        yield f"gone ({plan.gone:,} in all): {why}"
    for topic, n in plan.others.items():
        yield f"{n:,} are of {topic}: only events are sent again (models and actions are read anew at each start)"
    for fate, n in plan.fates.items():
        yield f"  {n:,} {would}{_COMES[fate]}"
    if plan.fates["late"]:
        yield (
            "late ones move no window that is closed: to have it as it would have been, let a worker with this "
            "configuration read the topic from its beginning, with a kafka.group, topics and a state.dir of its own"
        )
    if plan.left:
        yield f"{plan.left:,} more are left for the next call (--limit)"
    if really:
        yield f"{plan.sent:,} events were sent again to {config.topics.events}"
    elif plan.events:
        yield "nothing was sent: --yes sends them; let every worker have this configuration first"


_COMES = {
    "on time": "on time, scored and windowed",
    "late": "late: counted, in no window",
    "duplicate": "dropped: events with their ids have come",
    "held": "held until the stream comes near their time",
}


def _counted(counts: dict[str, int], words: str) -> str:
    total = sum(counts.values())
    if not total:
        return ""
    return f", {total:,} {words} ({', '.join(f'{n:,} {reason}' for reason, n in sorted(counts.items()))})"
