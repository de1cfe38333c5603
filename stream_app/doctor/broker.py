"""What the broker says: rights and topics, a sample of real events, how far behind the group is."""

from __future__ import annotations

import time
from collections.abc import Iterator

from stream_app.config import Config
from stream_app.doctor.findings import Finding, fault, ok, warning
from stream_app.doctor.topic import Sampled, sample_topic
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.preflight import Check, preflight
from stream_app.kafka.retrying import told
from stream_app.setup.pacing import in_words
from stream_app.setup.rejected import Tried
from stream_app.setup.times import NONE
from stream_app.stages.score.event_time import time_parser
from stream_app.stages.score.first_events import FirstEvents
from stream_app.stages.score.json_bodies import object_of
from stream_app.stages.score.paths import finder
from stream_app.stages.score.rejects import Undecodable
from stream_app.terminal import utc

SAMPLE = 2_000
_AHEAD_MS = 60_000
_OLD_PANES = 24
_LAG_S = 60.0
_LAST = 20
"""So many events of each partition, all rejected, are an upstream that is broken."""


def look_at_broker(config: Config) -> Iterator[Finding]:
    """Look at the broker layer by layer, as worker and trainer would; nothing is changed there."""
    checks = preflight(config, "worker")
    if all(check.ok for check in checks):
        known = {check.name for check in checks}
        checks += [check for check in preflight(config, "trainer") if not check.ok or check.name not in known]
    yield from _grouped(checks)


def _grouped(checks: list[Check]) -> Iterator[Finding]:
    """Rights that are there in one line, the others each by itself."""
    rights = [check for check in checks if check.name.startswith("may ")]
    for check in checks:
        if check.ok and check not in rights:
            yield ok(check.name, check.detail)
        elif not check.ok:
            yield fault(check.name, check.detail, check.remedy)
    if rights and all(check.ok for check in rights):
        yield ok("permissions", f"worker and trainer may read, write and join what they need ({len(rights)} rights)")


def sampled(config: Config) -> Sampled | Finding:
    """The newest events of the topic, or why there are none."""
    topic = config.topics.events
    try:
        found = sample_topic(config.kafka, config.root, topic, SAMPLE)
    except DriftflowError as error:
        return fault("events", str(error))
    if not found.records:
        was = (
            f"all {max(found.ends.values(), default=0):,} are deleted" if any(found.ends.values()) else "none came yet"
        )
        return warning(
            "events", f"topic {topic} is empty: {was}", "look at the producer, or send a file: driftflow produce"
        )
    return found


def look_at_events(config: Config, found: Sampled) -> Iterator[Finding]:
    """Decode the newest events as a worker would."""
    bodies = [record.value for record in found.records]
    if config.event.format == "avro":
        yield ok("events", f"{found.total:,} on {found.partitions} partitions; Avro is not looked into here")
        return
    tried = Tried(config)
    tried.take(bodies)
    rows = f"the newest {tried.rows:,} of {found.total:,} events on {found.partitions} partitions"
    if tried.is_broken:
        yield fault("events", tried.says("of the newest events"), "mend the configuration or the producer")
        return
    if config.event.format == "json":
        first = FirstEvents(config.event, object_of)
        first.take(bodies)
        try:
            first.check()
        except DriftflowError as error:
            yield fault("fields", str(error))
    if (lost := _newest_lost(config, found)) and tried.rejected:
        yield fault("events", lost, "mend the producer: `driftflow dead-letters list` shows what arrives")
    elif tried.rejected > config.event.tolerated * tried.rows:
        yield warning("events", tried.says("of the newest events"), "`driftflow dead-letters list` shows them")
    elif tried.coerced > config.event.tolerated * tried.rows:
        says = f"{tried.coerced:,} of {rows} are read leniently: numbers as text, say"
        yield warning("events", says, "let the producer send numbers; until then an incident says so")
    else:
        few = f", {tried.rejected} of them rejected" if tried.rejected else ""
        yield ok("events", f"{rows} can be read{few}")
    yield from _clock(config, found)


def _newest_lost(config: Config, found: Sampled) -> str:
    """What is wrong with the last events of every partition, where all of them are rejected; "" else."""
    by_partition: dict[int, list[bytes | None]] = {}
    for record in found.records:
        by_partition.setdefault(record.partition, []).append(record.value)
    last = Tried(config)
    for bodies in by_partition.values():
        last.take(bodies[-_LAST:])
    return last.says("of the last events of each partition") if last.rejected == last.rows else ""


def _clock(config: Config, found: Sampled) -> Iterator[Finding]:
    """Event time and the broker's time, beside this machine's clock."""
    now_ms, newest_ms = time.time_ns() // 1_000_000, _newest(config, found)
    written_ms = max(record.timestamp or 0 for record in found.records)
    if written_ms > now_ms + _AHEAD_MS:
        ahead = in_words(written_ms - now_ms)
        yield warning("clock", f"records were written {ahead} after this machine's now", "set the clocks by NTP")
    if newest_ms == NONE:
        return
    says, behind = f"the newest event is of {utc(newest_ms)} UTC", now_ms - newest_ms
    if -behind > config.windows.ahead_ms:
        remedy = "look at the producer's clock, and at event.time_format and event.timezone"
        yield warning("clock", f"{says}, {in_words(-behind)} ahead of this machine's clock", remedy)
    elif behind > _OLD_PANES * config.windows.pane:
        says = f"{says}, {in_words(behind)} ago: nothing new arrives, or a history is being replayed"
        yield warning("clock", says, "look at the producer, where the stream should be live")
    else:
        yield ok("clock", f"{says}, {in_words(max(behind, 0))} ago")


def _newest(config: Config, found: Sampled) -> int:
    """Newest time among the events, NONE where it is not in JSON."""
    if config.event.format != "json":
        return NONE
    find, parse, newest = finder(config.event.time_field), time_parser(config.event), NONE
    for record in found.records:
        try:
            newest = max(newest, parse(find(object_of(record.value or b""))))
        except Undecodable:
            continue
    return newest


def look_at_group(config: Config, found: Sampled) -> Finding:
    """How far the workers' group has come on the events topic."""
    from kafka.admin import KafkaAdminClient  # after the preflight has said whether one answers

    group, topic = config.kafka.group, config.topics.events
    try:
        admin = KafkaAdminClient(**client_settings(config.kafka, config.root), request_timeout_ms=10_000)
        try:
            offsets = admin.list_group_offsets(group).get(group, {})
        finally:
            admin.close()
    except Exception as error:  # kafka-python raises what it likes
        return warning("lag", f"the broker does not say how far group {group} is: {told(error)}")
    done = {tp.partition: max(meta.offset, 0) for tp, meta in offsets.items() if tp.topic == topic}
    if not done:
        remedy = "start `driftflow worker`; one that runs reads on once there is a model"
        return warning("lag", f"group {group} has read nothing of {topic} yet", remedy)
    lag = sum(max(end - max(done.get(p, 0), found.begins[p]), 0) for p, end in found.ends.items())
    says = f"group {group} is {lag:,} events behind on {topic}"
    recent = [record.timestamp or 0 for record in found.records]
    rate = len(recent) / max((max(recent) - min(recent)) / 1000, 1.0)
    if lag > max(rate * _LAG_S, 1_000):
        return warning(
            "lag", says, "start more workers, up to one a partition, or wait where a history is caught up on"
        )
    return ok("lag", says)
