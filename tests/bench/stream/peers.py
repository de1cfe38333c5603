"""The peers, each a process of its own: ``python -m tests.bench.stream.peers PATH PLAN`` prints what it took.

All of them read the same JSON bodies with the same typed decoder (msgspec, without the time and the slice) and score
by the same flow. None keeps windows, slices, calibration or state: what they do is what one would write by hand in an
hour. Processor time counts from a tenth of the events on, so that no start-up is in it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from flowlib.engines.torchscript import script
from flowlib.flows import FLOWS, Flow
from flowlib.table import Singles

WARM = 0.1
"""Share of the events before the clock starts."""


class Plan(msgspec.Struct):
    """What a peer does: so many events of a topic with d numbers."""

    bootstrap: str
    topic: str
    partitions: int
    d: int
    events: int
    state_dir: str


class Took(msgspec.Struct):
    """Processor seconds and seconds for so many events, and the memory at the end."""

    events: int
    cpu_s: float
    wall_s: float
    rss_mib: float
    grown_mib: float = 0.0
    """How much more memory it has at the end than at the beginning."""


class Meter:
    """Counts events; prints and ends the process with the last one."""

    def __init__(self, plan: Plan) -> None:
        self._left, self._warm = plan.events, int(plan.events * (1 - WARM))
        self._from: tuple[int, float, float] | None = None

    def add(self, n: int) -> None:
        """So many more were scored."""
        self._left -= n
        if self._from is None and self._left <= self._warm:
            self._from = self._left, time.process_time(), time.perf_counter()
        if self._left <= 0:
            assert self._from is not None
            counted, cpu_s, wall_s = self._from
            took = Took(counted - self._left, time.process_time() - cpu_s, time.perf_counter() - wall_s, rss_mib())
            os.write(1, msgspec.json.encode(took) + b"\n")
            os._exit(0)


def rss_mib(pid: int | str = "self", peak: bool = True) -> float:
    """The most memory that a process has had, or what it has, MiB (``ru_maxrss`` would count that of the process that
    started it).
    """
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM" if peak else "VmRSS")).split()[1]) / 1024


def flow_of(d: int) -> Flow:
    """An untrained flow of the default kind and size."""
    return FLOWS["maf"](d, 0, torch.Generator().manual_seed(0)).eval()


def decoder(d: int) -> Callable[[bytes], Any]:
    """Bodies to structs of d floats."""
    body = msgspec.defstruct("Body", [(f"x{j}", float) for j in range(d)], gc=False)
    return msgspec.json.Decoder(body).decode


def rows_of(bodies: list[Any]) -> Singles:
    """Structs as a matrix."""
    return np.array([msgspec.structs.astuple(body) for body in bodies], dtype=np.float32)


class Scripted:
    """The flow as a frozen TorchScript module."""

    def __init__(self, d: int) -> None:
        self._module, self._nothing = script(flow_of(d).bake()), torch.zeros((0, 0))
        for n in (1, 1, 512, 512, 1, 512):
            self(np.zeros((n, d), np.float32))

    def __call__(self, rows: Singles) -> Any:
        with torch.inference_mode():
            return self._module(torch.from_numpy(rows), torch.zeros((len(rows), 0)))


def flow_alone(plan: Plan) -> None:
    """The engine that agents use, on batches of 512 rows that are there already."""
    from flowlib.engines import build

    engine, meter = build(flow_of(plan.d), "auto"), Meter(plan)
    rows = np.random.default_rng(0).standard_normal((512, plan.d)).astype(np.float32)
    context = np.zeros((512, 0), np.float32)
    while True:
        engine(rows, context)
        meter.add(512)


def aiokafka_loop(plan: Plan) -> None:
    """aiokafka's getmany, a lean decoder, the engine that agents use; no windows."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from flowlib.engines import build

    async def run() -> None:
        engine, decode, meter = build(flow_of(plan.d), "auto"), decoder(plan.d), Meter(plan)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=plan.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign([TopicPartition(plan.topic, p) for p in range(plan.partitions)])
        await consumer.seek_to_beginning()
        while True:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=4000)).values():
                rows = rows_of([decode(record.value) for record in records])
                engine(rows, np.zeros((len(rows), 0), np.float32))
                meter.add(len(rows))

    asyncio.run(run())


def _faust(plan: Plan, agent: Callable[[Any, Any], Any]) -> None:
    import faust
    from faust.worker import Worker

    app = faust.App(
        f"{plan.topic}-faust-{os.getpid()}",
        broker=f"kafka://{plan.bootstrap}",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        consumer_auto_offset_reset="earliest",
        datadir=plan.state_dir,
    )
    topic = app.topic(plan.topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    app.agent(topic, name="score")(agent)
    Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()


def faust_per_event(plan: Plan) -> None:
    """A plain agent."""
    score, decode, meter = Scripted(plan.d), decoder(plan.d), Meter(plan)

    async def agent(stream: Any) -> None:
        async for value in stream:
            score(rows_of([decode(value)]))
            meter.add(1)

    _faust(plan, agent)


def faust_take(plan: Plan) -> None:
    """A plain agent that takes 512 events at a time."""
    score, decode, meter = Scripted(plan.d), decoder(plan.d), Meter(plan)

    async def agent(stream: Any) -> None:
        async for values in stream.take(512, within=1.0):
            score(rows_of([decode(value) for value in values]))
            meter.add(len(values))

    _faust(plan, agent)


def _quix(plan: Plan, each: Callable[[bytes], object]) -> None:
    from quixstreams import Application

    app = Application(
        broker_address=plan.bootstrap,
        consumer_group=f"{plan.topic}-quix-{os.getpid()}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=plan.state_dir,
        loglevel="ERROR",
    )
    topic = app.topic(plan.topic, value_deserializer="bytes", key_deserializer="bytes")
    app.dataframe(topic).apply(each)
    app.run()


def quix_per_event(plan: Plan) -> None:
    """Quix Streams, a function for each event."""
    score, decode, meter = Scripted(plan.d), decoder(plan.d), Meter(plan)

    def each(value: bytes) -> None:
        score(rows_of([decode(value)]))
        meter.add(1)

    _quix(plan, each)


def quix_batched(plan: Plan) -> None:
    """Quix Streams, with batches of 512 gathered by hand."""
    score, decode, meter = Scripted(plan.d), decoder(plan.d), Meter(plan)
    waiting: list[Any] = []

    def each(value: bytes) -> None:
        waiting.append(decode(value))
        if len(waiting) == 512:
            score(rows_of(waiting))
            waiting.clear()
            meter.add(512)

    _quix(plan, each)


PEERS: dict[str, Callable[[Plan], None]] = {
    "flow alone": flow_alone,
    "aiokafka loop": aiokafka_loop,
    "Faust": faust_per_event,
    "Faust take(512)": faust_take,
    "Quix Streams": quix_per_event,
    "Quix Streams batched": quix_batched,
}
"""By the names of the rows."""


if __name__ == "__main__":
    torch.set_num_threads(1)
    PEERS[sys.argv[1]](msgspec.json.decode(sys.argv[2], type=Plan))
