"""A small worker for the contract tests, a process of its own: writes down every row it sees, then acks."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import faust
import msgspec
from faust.worker import Worker

from stream_app.worker import batch_transport, sending
from stream_app.worker.fetching import Columns


class Plan(msgspec.Struct):
    """What the worker does."""

    bootstrap: str
    group: str
    topic: str
    out: str
    plain: bool = False
    """A plain Faust agent, one record at a time, for the ratio."""
    raise_at: int = -1
    """Raise at this composite (counted from 0)."""
    pause_s: float = 0.0
    """Time spent on each composite."""
    echo: str = ""
    """Topic that every chunk is acknowledged to, through the app's producer."""
    max_chunk: int = 500
    drop_fetch: bool = False
    """Drop what the first fetch brings, as a rebalance that comes at that moment would."""


def make_app(plan: Plan) -> faust.App:
    """The app with its transport and agent."""
    app = faust.App(
        plan.group,
        broker=f"kafka://{plan.bootstrap}",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=4096 if plan.plain else 16,
        broker_commit_interval=0.5,
        broker_max_poll_records=4000,
        broker_session_timeout=6,
        broker_heartbeat_interval=2,
        consumer_auto_offset_reset="earliest",
        datadir=os.path.dirname(plan.out) + f"/data-{os.getpid()}",
        processing_guarantee="at_least_once",
    )
    out = os.open(plan.out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    (plain_agent if plan.plain else batch_agent)(app, plan, out)
    return app


def write(out: int, *fields: Any) -> None:
    """One line, in one system call."""
    os.write(out, (" ".join(map(str, fields)) + "\n").encode())


def batch_agent(app: faust.App, plan: Plan, out: int) -> None:
    """Composites, noack and explicit ack."""
    seen = 0

    async def assigned(tps: set[Any]) -> None:
        await asyncio.sleep(0.05)
        write(out, "assigned", *sorted(tp.partition for tp in tps))

    async def revoked(tps: set[Any]) -> None:
        write(out, "revoked", *sorted(tp.partition for tp in tps))

    transport = batch_transport.install(
        app, [plan.topic], plan.max_chunk, columns=Columns([plan.topic]), on_assigned=assigned, on_revoked=revoked
    )
    if plan.drop_fetch:
        transport.Consumer = dropping(out)

    @app.agent(batch_transport.batch_topic(app, plan.topic))
    async def rows(stream: Any) -> None:
        nonlocal seen
        async for event in stream.noack().events():
            seen += 1
            if seen - 1 == plan.raise_at:
                raise RuntimeError("poison")
            chunk, tp = event.value, event.message.tp
            if plan.pause_s:
                await asyncio.sleep(plan.pause_s)
            if plan.echo:
                await (await sending.send(app, plan.echo, b"k", b"%d" % len(chunk), headers=[("n", b"1")]))
            tombstones = sum(record.value is None for record in chunk)
            write(out, "rows", tp.partition, chunk[0].offset, chunk[-1].offset, len(chunk), tombstones)
            await stream.ack(event)


def dropping(out: int) -> type[batch_transport.BatchConsumer]:
    """A consumer that treats its first records as fetched before a rebalance."""

    class Dropping(batch_transport.BatchConsumer):
        dropped = False

        async def _wait_next_records(self, timeout: float) -> Any:
            records, active = await super()._wait_next_records(timeout)
            if records and not self.dropped:
                self.dropped = True
                self._epoch += 1
                write(out, "dropped", sum(map(len, records.values())))
            return records, active

    return Dropping


def plain_agent(app: faust.App, plan: Plan, out: int) -> None:
    """What Faust does by itself."""

    @app.agent(app.topic(plan.topic, value_type=bytes, value_serializer="raw", key_serializer="raw"))
    async def rows(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            if message.offset % 500 == 499:
                write(out, "rows", message.partition, message.offset - 499, message.offset, 500, 0)


def run(plan: Plan) -> None:
    """In this process, which ends."""
    Worker(make_app(plan), loglevel="INFO").execute_from_commandline()
