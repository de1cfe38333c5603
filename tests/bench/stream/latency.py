"""Latency: from the moment an event is handed to a producer until its signal can be read.

Events come at a share of what one worker takes; ten a second of them are so strange that each becomes a signal (with
``event_rule.publish``). Producer, broker, worker and reader share the machine, so that at a large share it is the
machine that is measured: figures of one with few processors are upper ends.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

from stream_app.kafka.clients import client_settings
from tests.bench.stream import ours
from tests.bench.stream.world import World

WARM_S, SECONDS, EVERY_S, TICK_S = 3.0, 20.0, 0.1, 0.01
PATIENCE_S = 60.0
STRANGE = 60.0
"""Every number of a strange event."""
_PUBLISH = "[event_rule]\npublish = true\n"


def measure(world: World, capacity: float) -> dict[str, float]:
    """``{events_per_s, signals, p50_ms, p99_ms}`` of an empty stream to which so many events a second are sent."""
    world.begin(0, _PUBLISH)
    reader, workers = _Reader(world), ours.start(world)
    try:
        reader.start()
        sent, events, took_s = _produce(world, capacity)
        until = time.monotonic() + PATIENCE_S
        while len(reader.seen) < len(sent) and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        reader.done.set()
        ours.stop(workers)
    took_ms = np.array(
        [(reader.seen[i] - at) * 1e3 for i, at in sent.items() if i in reader.seen and at >= reader.warm]
    )
    if not len(took_ms):
        raise RuntimeError(f"no signal was read of {len(sent)} strange events")
    return {
        "events_per_s": round(events / took_s),
        "signals": len(took_ms),
        "unread": len(sent.keys() - reader.seen.keys()),
        "p50_ms": round(float(np.percentile(took_ms, 50)), 1),
        "p99_ms": round(float(np.percentile(took_ms, 99)), 1),
    }


class _Reader(threading.Thread):
    """Reads the signals of source partition 0.

    Attributes:
        seen: offset of a strange event to when its signal was read.
        warm: events that were sent before do not count: until the first signal the worker was starting.
        done: set to end it.
    """

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self._world, self.seen, self.done, self.warm = world, dict[int, float](), threading.Event(), float("inf")

    def run(self) -> None:
        config = self._world.config
        consumer = KafkaConsumer(**client_settings(config.kafka), fetch_max_wait_ms=20, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(config.topics.signals, 0)])
        while not self.done.is_set():
            for records in consumer.poll(timeout_ms=100).values():
                now = time.time()
                for record in records:
                    self._take(msgspec.json.decode(record.value), now)
        consumer.close()

    def _take(self, record: dict[str, Any], now: float) -> None:
        if "offset" in record and "p_value" in record:
            self.warm = min(self.warm, now + WARM_S)
            self.seen.setdefault(int(record["offset"]), now)


def _produce(world: World, rate: float) -> tuple[dict[int, float], int, float]:
    """Send events at a rate; offset of each strange one to when it was handed over, how many in all, seconds."""
    producer, sent, i = world.producer(), dict[int, float](), 0
    bodies, began, next_strange = world.bodies(), time.time(), 0.0
    while (now := time.time() - began) < 2 * WARM_S + SECONDS:
        while i < now * rate:
            body = next(bodies)
            if now >= next_strange:
                sent[i], next_strange = time.time(), now + EVERY_S
                body = msgspec.json.encode(msgspec.json.decode(body) | dict.fromkeys(world.features, STRANGE))
            world.hand_over(producer, body)
            i += 1
        producer.poll(0)
        time.sleep(TICK_S)
    producer.flush()
    return sent, i, time.time() - began
