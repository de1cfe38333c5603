"""What has to hold of every run, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from schemas.codecs import Partial
from schemas.incidents import Incident
from schemas.intake import header_map, take_in
from schemas.records import DeadLetter, PaneClosed
from stream_app.kafka.types import TopicPartition
from stream_app.stages.decisions import Acted, Activated, Joined, PassedOver
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import judge_signals
from stream_app.worker.losses import SEVERITIES
from tests.simulation.broker import Record
from tests.simulation.cast import WIDTH
from tests.simulation.consumer import BUFFERED
from tests.simulation.producer import PENDING_MAX
from tests.simulation.reference import Reference, reference
from tests.simulation.world import World, unsigned

Headers = Sequence[tuple[str, bytes | None]]
Found = Iterator[str]
"""What is wrong, in words."""


def drains(world: World, _: Reference) -> Found:
    """All that was produced is done with: it is at once where the run ends in time."""
    yield from world.remaining


def ends_for_a_reason(world: World, _: Reference) -> Found:
    """No worker ends by itself unless something was wrong with its disk or its broker, or it was believed dead."""
    disk, broker = ("no space left", "cannot be written"), ("has not acknowledged", "check the broker")
    known = (*disk, *broker, "not whole any more", "has taken")
    for machine in world.machines:
        if machine.ended and not any(why in machine.ended.lower() for why in known):
            yield f"{machine.name} has ended: {machine.ended}"


def conservation(world: World, _: Reference) -> Found:
    """Each event that there was to score is counted once."""
    for partition in range(len(world.segments) if world.final else 0):
        assert world.final is not None
        there = sum(len(segment.values) for segment in world.segments[partition])
        counters = world.final.score_states[partition].counters
        if counters["received"] != there:
            yield f"source partition {partition}: {there} events were there, and {counters['received']} are counted"
        if counters["received"] != sum(counters.values()) - counters["received"]:
            yield f"source partition {partition}: {counters}"


def state(world: World, expected: Reference) -> Found:
    """A worker that started now would go on from the very state of the run in which nothing went wrong."""
    for partition in range(len(world.segments) if world.final else 0):
        assert world.final is not None
        if world.final.snapshot_score(partition) != expected.pipeline.snapshot_score(partition):
            yield f"the state of source partition {partition} is another one"


def signals(world: World, expected: Reference) -> Found:
    """The same messages to people and to the trainer, in the same order on each partition."""
    topic = world.config.topics.signals
    for tp in world.broker.partitions(topic):
        sent = [_said(one.value, one.headers) for one in expected.sent("signals", tp.partition)]
        there = [record for record in world.broker.logs[tp].records if not _is_of_logs(record)]
        yield from _differs(f"{topic}/{tp.partition}", _once(there), sent)


def dead_letters(world: World, expected: Reference) -> Found:
    """Each event that is none has its letter; each message that is none too; and nobody else."""
    topics, sent = world.config.topics, {_id(one.headers) for one in expected.sent("dead_letters", 0)}
    letters = {}
    for record in world.broker.all_of(topics.dead_letters):
        letter = take_in("dead_letters", world.config.stream, record.value, record.headers)
        assert isinstance(letter, DeadLetter)
        letters[_id(record.headers)] = letter
    of_events = {name for name, letter in letters.items() if letter.topic == topics.events}
    if of_events != sent:
        yield f"{len(of_events - sent)} letters too many, {len(sent - of_events)} too few"
    others = Counter((one.topic, one.partition, one.offset) for name, one in letters.items() if name not in of_events)
    if others != Counter(world.junk):
        yield f"of messages between the stages: {others} instead of {world.junk}"


def partials(world: World, expected: Reference) -> Found:
    """Each source partition says the same to WATCH, in the same order: so no closed pane opens again."""
    yield from _by_sender(world, expected, "partials", WIDTH)


def evidence(world: World, expected: Reference) -> Found:
    """Each partials partition says the same to JUDGE, in the same order."""
    yield from _by_sender(world, expected, "evidence", 1)


def _by_sender(world: World, expected: Reference, role: str, width: int) -> Found:
    topic = getattr(world.config.topics, role)
    for partition in range(width):
        place, junk = (
            TopicPartition(topic, partition),
            {offset for *tp, offset in world.junk if tp == [topic, partition]},
        )
        records = [record for record in world.broker.logs[place].records if record.offset not in junk]
        there = list(dict.fromkeys((record.value, tuple(record.headers)) for record in records))
        left = set(there)
        for sender, messages in expected.messages[role, partition].items():
            sent = [(message.value, message.headers) for message in messages]
            mine = set(sent)
            left -= mine
            if [one for one in there if one in mine] != sent:
                yield f"{topic}/{partition}: what {sender} says is another thing, or in another order"
        if left:
            yield f"{topic}/{partition}: {len(left)} messages that nobody should have sent"


def closed_panes(world: World, _: Reference) -> Found:
    """A source partition says nothing of a pane that it has closed."""
    for tp in world.broker.partitions(world.config.topics.partials):
        closed: dict[int, int] = {}
        seen: set[bytes | None] = set()
        for record in world.broker.logs[tp].records:
            if record.value in seen:
                continue
            seen.add(record.value)
            partial = take_in("partials", world.config.stream, record.value, record.headers)
            if not isinstance(partial, Partial):
                continue
            if partial.pane_end_ms <= closed.get(partial.partition, 0):
                yield f"{tp.topic}/{tp.partition}@{record.offset}: pane {partial.pane_start_ms} was closed"
            if isinstance(partial, PaneClosed):
                closed[partial.partition] = partial.pane_end_ms


def points(world: World, expected: Reference) -> Found:
    """The sink has the same points, each once."""
    known = {(point.measurement, point.tags, point.time_ms): point.fields for point in expected.points}
    there = {key: fields for key, fields in world.sink.points.items() if key[0] != "models"}
    there = {key: fields for key, fields in there.items() if dict(fields).get("detector") not in SEVERITIES}
    for key in sorted(known.keys() | there.keys(), key=repr):
        if known.get(key) != there.get(key):
            yield f"{key} is {there.get(key)} instead of {known.get(key)}"
    if len(known) != len(expected.points):
        yield "two points of one run have the same key"


def told_once(world: World, _: Reference) -> Found:
    """People are told everything once; a worker that was given up and goes on may say it a second time."""
    place = TopicPartition(world.config.topics.signals, judge_signals(WIDTH))
    ids = Counter(_id(record.headers) for record in world.broker.logs[place].records)
    if not world.group.expelled and any(number > 1 for number in ids.values()):
        yield f"{ids}"


def sent_once(world: World, expected: Reference) -> Found:
    """What a head knows to have been sent is not sent again; but one who was given up may do so, and a client."""
    if world.group.expelled or "sent_twice" in world.scenario.kinds:
        return
    for (role, partition), by_sender in expected.messages.items():
        tp = TopicPartition(getattr(world.config.topics, role), partition)
        before: dict[tuple[Any, ...], list[Record]] = {}
        for record in world.broker.logs[tp].records:
            said = record.value, unsigned(record.headers)
            sent = before.setdefault(said, [])
            if sent and record.timestamp >= world.anew_at and _times(by_sender, said) > 1:
                # The letters of two events are the same where these have the same bytes, and the same offset of two
                # topics: what was said of the former one is no reason not to say it of the other one.
                sent[:] = [one for one in sent if one.timestamp >= world.anew_at]
            if sent and _is_known(world, sent, record, _sender(role, by_sender, said, partition)):
                yield f"{tp.topic}/{tp.partition}@{record.offset} was sent before, and a head knew of it"
            sent.append(record)


def _times(by_sender: dict[int, list[Outgoing]], said: tuple[Any, ...]) -> int:
    """How often a message is to be said."""
    return sum((one.value, one.headers) == said for sent in by_sender.values() for one in sent)


def _is_known(world: World, sent: list[Record], again: Record, name: str) -> bool:
    """Whether one who has sent a message has kept a head after that, and before it came again."""
    return any(
        of == name and by == record.producer and record.timestamp < at <= again.timestamp
        for of, by, at in world.heads
        for record in sent
    )


def _sender(role: str, by_sender: dict[int, list[Outgoing]], said: tuple[Any, ...], partition: int) -> str:
    """Whose head is about a message; "" where nobody should have sent it."""
    stage = {"partials": "source", "evidence": "watch", "dead_letters": "source"}.get(role, "source")
    if role == "signals" and partition == judge_signals(WIDTH):
        stage = "judge"
    found = [sender for sender, sent in by_sender.items() if said in {(one.value, one.headers) for one in sent}]
    return f"{stage}-{found[0]}" if found else ""


def decisions(world: World, _: Reference) -> Found:
    """What was decided was decided once, and all that people said was taken in."""
    acted = [one.action.id for one in world.decisions if isinstance(one, Acted)]
    if sorted(acted) != sorted(world.actions):
        yield f"{acted} were taken in, and {world.actions} were said"
    others = Counter(repr(one) for one in world.decisions if isinstance(one, Activated | PassedOver | Joined))
    yield from (f"{one} was decided {number} times" for one, number in others.items() if number > 1)


def losses(world: World, _: Reference) -> Found:
    """Incidents say what retention has deleted unread, with its offsets, and that a topic was made anew."""
    records = [one for one in world.broker.all_of(world.config.topics.signals) if _is_of_logs(one)]
    signals = [take_in("signals", world.config.stream, one.value, one.headers) for one in records]
    incidents = [one for one in signals if isinstance(one, Incident)]
    said = [*world.said, *(one.summary for one in incidents)]
    for tp, first, end in world.lost:
        if not any(f"deleted the offsets {first:,} to {end:,}" in text for text in said):
            yield f"nobody says that {tp.topic}/{tp.partition} has lost {first} to {end}: {said}"
        if not any(one.detector == "retention" for one in incidents):
            yield f"no incident tells that {tp.topic}/{tp.partition} has lost something: {said}"
    for what in ("made_anew", "grown"):
        if any(one.detector == what for one in incidents) != (world.scenario.interlude == what):
            yield f"an incident tells that the topic is {what}, or does not: {said}"


def bounds(world: World, _: Reference) -> Found:
    """Queues stay within their bounds."""
    for machine in world.machines:
        waited = max((stream.most for stream in machine.consumer.streams.values()), default=0) if machine.begun else 0
        if waited > BUFFERED or machine.app.most_pending > PENDING_MAX:
            yield f"{machine.name}: {waited} composites, {machine.app.most_pending} messages"


CHECKERS: list[Callable[[World, Reference], Found]] = [
    drains,
    ends_for_a_reason,
    conservation,
    state,
    signals,
    dead_letters,
    partials,
    evidence,
    closed_panes,
    points,
    told_once,
    sent_once,
    decisions,
    losses,
    bounds,
]


def check(world: World) -> list[str]:
    """All that is wrong with a run that has ended, each with the checker that says so."""
    found = [f"{checker}: {text}" for checker, text in world.trouble]
    expected = reference(world.config, world.decisions, world.segments)
    return found + [f"{checker.__name__}: {text}" for checker in CHECKERS for text in checker(world, expected)]


def _said(value: bytes | None, headers: Headers) -> tuple[bytes, bytes | None, tuple[Any, ...]]:
    """A message without its signature: each worker may have a key of its own."""
    return _id(headers), value, unsigned(headers)


def _id(headers: Headers) -> bytes:
    return header_map(headers).get("ce_id", b"")


def _is_of_logs(record: Record) -> bool:
    """Whether a signal tells of what a log has lost: that is no function of the events."""
    return header_map(record.headers).get("ce_source", b"").endswith(b"/worker")


def _once(records: Iterable[Record]) -> list[tuple[bytes, bytes | None, tuple[Any, ...]]]:
    return list(dict.fromkeys(_said(record.value, record.headers) for record in records))


def _differs(where: str, there: list[Any], sent: list[Any]) -> Found:
    if there != sent:
        ids = [one[0] for one in there], [one[0] for one in sent]
        what = (
            "the same ids with other bytes" if ids[0] == ids[1] else f"{len(ids[0])} messages instead of {len(ids[1])}"
        )
        yield f"{where}: {what}, from number {_first_difference(there, sent)} on"


def _first_difference(there: list[Any], sent: list[Outgoing]) -> int:
    pairs = zip(there, sent, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(there), len(sent)))
