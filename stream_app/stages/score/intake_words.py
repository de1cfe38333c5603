"""Incidents of the intake: what is wrong with the events, how many, since which offset, and what to look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.incidents import EXAMPLES_MAX, Example, Finding, Incident
from schemas.names import text_name
from schemas.records import Blame, record_id
from stream_app.config import Config
from stream_app.stages.links import links
from stream_app.stages.score.intake import JUMP, NO_TIME, RULE, Recent, Told
from stream_app.stages.score.shares import OPEN

_CRITICAL, _WARNING = 0.5, 0.1
"""Shares of bad events from which on an incident is so severe."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_WHAT = {
    "late": "came late, after their panes had closed",
    "held": "show that others are dated too far ahead (windows.max_future), which are held back",
    "duplicate": "have an id that came before",
    "coerced": "were read leniently",
    "unscorable": "cannot be scored",
    "unknown_field": "that were looked at have a field under another name",
}
_LOOK = {
    "not_json": "Look at what the producer sends (event.format)",
    "wrong_type": "Look at what the producer sends, or at event.numeric, event.categorical and event.policy",
    "not_msgpack": "Look at what the producer sends (event.format)",
    "not_avro": "Look at what the producer sends, or at the schema that it is read by (event.avro_schema)",
    "wrong_length": "Look at what the producer sends, or at event.layout",
    "schema_registry": "Look at the serializer of the producer (event.format)",
    "unknown_schema": "Look at the serializer of the producer, or at schema_registry.url",
    "missing_time": "Look at event.time_field",
    "bad_time": "Look at event.time_format and event.timezone, or at the producer",
    "far_future": "Look at the clock of the producer, or at windows.max_future",
    "tombstone": "Look at who deletes by key on this topic",
    "too_large": "Look at the producer, or at event.max_bytes",
    "late": "It is a backfill, or a producer that is behind; they are in no window: see windows.lateness",
    "held": "Look at the clock of the producer; they are judged again when the others have come as far",
    "duplicate": "Look at a producer that sends twice, or at event.id_field",
    "coerced": "Look at what the producer sends, or say in event.policy what is meant",
    "unscorable": "Look at the dead letters and at the producer",
    "unknown_field": "Look at the producer, or at event.numeric, event.categorical and event.slicings",
}
_SECONDS = "They look like seconds that are read as milliseconds: look at the producer, or at event.time_format"
_ELSE = "Look at the dead letters and at the producer"
_STATE = {"open": "", "update": "still so: ", "resolve": "no longer so: "}


def incident(config: Config, topic: str, partition: int, told: Told) -> Incident:
    """The incident about one kind of bad rows of a source partition: of no slice, so that it has no members."""
    change, (name, weight) = told.change, told.field
    pane, says = int(config.windows.pane), sentence(config, topic, partition, told)
    start, opened = (max(time_ms, 0) // pane * pane for time_ms in (told.clock_ms, told.opened_ms))
    place = (topic, partition, told.detector, told.reason, change.opened, change.before)  # a topic may be made anew
    incident_id, is_jump, over = record_id(RULE, config.stream, *place), told.reason == JUMP, change.state == "resolve"
    tolerated, share = config.event.tolerated, change.hits / change.rows
    finding = Finding(
        detector=told.detector,
        feature=name,
        weight=weight if name else 1.0,
        direction="up",
        measure="event time" if is_jump else "share",
        seen=None if is_jump else share,
        expected=None if is_jump else tolerated,
        events=change.rows,
        says=says,
    )
    return Incident(
        id=incident_id,
        stream=config.stream,
        number=told.number,
        state=change.state,
        reason=_reason(told),
        kind="fault",
        severity=severity(told, told.worst),
        rules=[RULE],
        detector=told.detector,
        feature=name,
        members=[],
        member_count=0,
        slice_count=0,
        since_ms=max(told.opened_ms, 0),
        opened_pane_ms=opened,
        pane_start_ms=start,
        pane_end_ms=start + pane,
        events=change.rows,
        share=share,
        statistic=change.statistic,
        threshold=OPEN,
        evidence=f"likelihood ratio of a larger share than {_percent(tolerated)} (event.tolerated), in rows between "
        "false alarms",
        promise=f"while {_percent(tolerated)} of the events or fewer are so (event.tolerated), {OPEN:,.0f} events of a "
        "source partition or more lie between two incidents on average",
        findings=[finding],
        examples=[_example_of(topic, partition, told, one) for one in reversed(told.recent[-EXAMPLES_MAX:])],
        marks=[],
        model_id="",
        cause_id=record_id(f"{RULE}-cause", config.stream, topic, told.detector, told.reason),
        links=links(config, incident_id, opened, start + pane),
        next="" if over else "It ends by itself, by evidence, when this is no longer so; no model is asked for.",
        summary=f"all events: {says}",
    )


def severity(told: Told, share: float) -> str:
    """By the share of events that are bad; a stream that has slept may be as it should be."""
    if told.reason == JUMP:
        return "info"
    return "critical" if share >= _CRITICAL else "warning" if share >= _WARNING else "info"


def _reason(told: Told) -> str:
    if told.change.state != "update":
        return "opened" if told.change.state == "open" else "ended"
    return "reminder" if severity(told, told.worst) == severity(told, told.before) else "severity"


def _example_of(topic: str, partition: int, told: Told, bad: Recent) -> Example:
    """A bad row; one without an event time has that of the stream when it came."""
    return Example(
        topic=topic,
        partition=partition,
        offset=bad.offset,
        event_time_ms=max(told.clock_ms if bad.time_ms == NO_TIME else bad.time_ms, 0),
        slice="",
        p_value=1.0,
        blame=[Blame(feature=bad.field, weight=1.0)] if bad.field else [],
    )


def sentence(config: Config, topic: str, partition: int, told: Told) -> str:
    """What has happened, in words."""
    change, where = told.change, f"{topic}/{partition}"
    what = _WHAT.get(told.detector) or f"are rejected as {told.reason}"
    counted = f"{change.hits:,} of {change.rows:,} events since {where}@{change.since} {what}{_times(told)}"
    if told.reason == JUMP:
        counted = f"the event time of {where} has jumped {told.detail} at @{change.until}"
        if change.state == "resolve":
            return f"{where} goes on where its event time had jumped {told.detail} at @{change.until}."
        return f"{_STATE[change.state]}{counted}. The stream has slept, or look at the clock of the producer."
    example = f": {_example(told)}" if told.detail else ""
    if change.state == "resolve":
        return f"{_STATE['resolve']}{counted}, the last at @{change.until}."
    look = _SECONDS if _are_seconds(told) else _LOOK.get(told.reason or told.detector, _ELSE)
    share = f"{_percent(change.hits / change.rows)} where {_percent(config.event.tolerated)} is tolerated"
    end = "" if example.endswith("?") else "."
    return f"{_STATE[change.state]}{counted}, {share}, such as @{change.until}{example}{end} {look}."


def _example(told: Told) -> str:
    """What is wrong with the last one, and with which of its fields."""
    name, detail = told.recent[-1].field if told.recent else "", told.detail.removesuffix(".")
    of_field = told.detector == "rejected" and name and repr(name) not in detail
    return text_name(f"{name}: {detail}" if of_field else detail)


def _times(told: Told) -> str:
    """When the last few were, where that is what matters."""
    if told.detector not in ("late", "held") or told.times_ms is None:
        return ""
    first, last = (_utc(time_ms) for time_ms in told.times_ms)
    then = f" when event time was at {_utc(told.clock_ms)}" if told.clock_ms != NO_TIME else ""
    return f" (dated {first} to {last}{then})"


def _are_seconds(told: Told) -> bool:
    """Whether late events are a thousandth of event time."""
    if told.detector != "late" or told.times_ms is None:
        return False
    return 0.9 * told.clock_ms < 1_000 * told.times_ms[1] < 1.1 * told.clock_ms


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _utc(time_ms: int) -> str:
    return f"{_EPOCH + timedelta(milliseconds=time_ms):%Y-%m-%d %H:%M}"
