"""Pours a stream's events onto its topics, and one hostile message in a hundred onto every topic beside them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer

from stream_app.config import Config
from stream_app.kafka.clients import client_settings
from stream_app.stages.partitioning import partition_for, signals_size
from tests.hostile.cases import TOPICS, Case, cases, of_one
from tests.hostile.live import Live, Place
from tests.hostile.world import Genuine

EVERY = 100
"""Rows to one hostile message on each topic."""

_MOST = 30_000
_BYTES_MAX = 15 * 1024 * 1024

Rows = list[tuple[bytes | None, bytes | None]]


@dataclass(slots=True)
class Poured:
    """What was sent.

    Attributes:
        rows: good events.
        hostile: where each hostile message is.
    """

    rows: int = 0
    hostile: dict[Place, Case] = field(default_factory=dict)

    def on(self, topic: str) -> dict[Place, Case]:
        """The hostile messages of one topic."""
        return {place: case for place, case in self.hostile.items() if place[0] == topic}


class Pouring:
    """Sends rows at a pace.

    Args:
        config: the stream, with its partition count.
        live: genuine messages to damage.
        seed: of the mix.
    """

    def __init__(self, config: Config, live: Live, seed: int) -> None:
        self._config, self._live = config, live
        self._chance = random.Random(seed)
        self._refusable = {topic: self._kinds_in_turn(topic, seed) for topic in TOPICS if topic != "events"}
        self._kinds_seen: set[str] = set()
        self.poured = Poured()

    def run(self, rows: Rows, seconds: float, tell: Callable[[str], None]) -> None:
        """Send all rows evenly over a time, with one hostile message on each topic to a hundred of them."""
        asyncio.run(self._run(rows, seconds, tell))

    async def _run(self, rows: Rows, seconds: float, tell: Callable[[str], None]) -> None:
        producer = AIOKafkaProducer(**client_settings(self._config.kafka), linger_ms=5, max_request_size=_BYTES_MAX)
        await producer.start()
        began_s, told_s = time.monotonic(), time.monotonic()
        try:
            for start in range(0, len(rows), EVERY):
                some = rows[start : start + EVERY]
                await self._send_some(producer, some)
                ahead_s = seconds * (start + len(some)) / len(rows) - (time.monotonic() - began_s)
                await asyncio.sleep(max(ahead_s, 0.0))
                if time.monotonic() - told_s > 10:
                    told_s = time.monotonic()
                    tell(f"{self.poured.rows:,} of {len(rows):,} events, {len(self.poured.hostile):,} hostile messages")
        finally:
            await producer.stop()

    async def _send_some(self, producer: AIOKafkaProducer, rows: Rows) -> None:
        topics, n = self._config.topics, self._config.topics.partitions
        for key, value in rows:
            await producer.send(topics.events, value, key=key, partition=partition_for(key, n, self.poured.rows))
            self.poured.rows += 1
        key, value = rows[-1]
        places = {
            topics.events: (partition_for(key, n, 0), self._of_event(value or b"")),
            topics.partials: (self._chance.randrange(n), next(self._refusable["partials"])),
            topics.signals: (self._chance.randrange(signals_size(n, n)), next(self._refusable["signals"])),
            **{getattr(topics, kind): (0, next(self._refusable[kind])) for kind in ("evidence", "actions", "models")},
        }
        for topic, (partition, case) in places.items():
            await self._send_hostile(producer, topic, partition, case)

    async def _send_hostile(self, producer: AIOKafkaProducer, topic: str, partition: int, case: Case) -> None:
        # A compacted topic wants a key, and one of another's would let the broker forget that one's message.
        key = f"hostile-{len(self.poured.hostile)}".encode()
        sent = await producer.send_and_wait(topic, case.value, key=key, partition=partition, headers=list(case.headers))
        self.poured.hostile[topic, partition, sent.offset] = case

    def _of_event(self, value: bytes) -> Case:
        """A kind that has not been sent yet, where there is one, made of an event whose turn it is. Its time stays that
        of the event, or becomes impossible: one that is days ahead makes those behind it late, which is no fault.
        """
        good = Genuine("event", self._fields_read(value), ())
        known = {case.kind: case for case in of_one("events", good, self._chance)}
        possible = [case for case in known.values() if _keeps_time(case, value, self._config.event.time_field)]
        fresh = [case for case in possible if case.kind not in self._kinds_seen]
        case = self._chance.choice(fresh or possible)
        self._kinds_seen.add(case.kind)
        return case

    def _fields_read(self, value: bytes) -> bytes:
        """An event less what nobody looks at: whatever stands there, the event is taken."""
        event = self._config.event
        names = {
            event.time_field,
            *event.numeric,
            *event.categorical,
            *(n for fields in event.slicings for n in fields),
        }
        return json.dumps({name: field for name, field in json.loads(value).items() if name in names}).encode()

    def _kinds_in_turn(self, topic: str, seed: int) -> Iterator[Case]:
        """Cases that must be refused, one kind after the other, again and again."""
        by_kind: dict[str, list[Case]] = {}
        for case in cases(self._live, topic, seed, _MOST):
            if case.usable is False:
                by_kind.setdefault(case.kind, []).append(case)
        while True:
            kinds = list(by_kind)
            self._chance.shuffle(kinds)
            yield from (self._chance.choice(by_kind[kind]) for kind in kinds)


def _keeps_time(case: Case, value: bytes, field: str) -> bool:
    if case.usable is False:
        return True
    try:
        body = json.loads(case.value or b"")
        return isinstance(body, dict) and body.get(field) == json.loads(value)[field]
    except (ValueError, RecursionError):
        return True
