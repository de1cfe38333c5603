"""A worker, trainer or console in a process in which one function fails, hangs or does half of its work."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import io
import os
import sqlite3
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import aiokafka.errors
import kafka.errors
import msgspec

import stream_app.cli
import stream_app.console.server
import stream_app.trainer.process
import stream_app.worker.logs
import stream_app.worker.process
from stream_app.worker import supervision
from tests.forked import begin, command, write_to

ERRORS: dict[str, Any] = {
    "disk full": lambda: OSError(28, "No space left on device"),
    "input/output error": lambda: OSError(5, "Input/output error"),
    "database full": lambda: sqlite3.OperationalError("database or disk is full"),
    "database locked": lambda: sqlite3.OperationalError("database is locked"),
    "database damaged": lambda: sqlite3.DatabaseError("database disk image is malformed"),
    "bug": lambda: RuntimeError("nobody has thought of this"),
    "key error": lambda: KeyError("x"),
    "the thread's end": lambda: SystemExit(3),
    "no memory": lambda: MemoryError(),
    "aiokafka": lambda: aiokafka.errors.KafkaConnectionError("the broker is away"),
    "kafka-python": lambda: kafka.errors.KafkaConnectionError("the broker is away"),
    "timeout": lambda: TimeoutError("timed out"),
}
"""What a function may raise, by name; ``hang`` and ``half`` are the other two ways."""


class Plan(msgspec.Struct, frozen=True):
    """What to run and what is to fail.

    Attributes:
        folder: of the stream: ``driftflow.toml``, ``armed`` (the fault begins when this file is there) and ``fired``
            (the process writes there when it began, by the monotonic clock).
        command: words of the command line.
        log: file for the output.
        target: ``module:name`` or ``module:Class.name`` of the function; ``sql:FILE:STATEMENT`` of an SQLite file; or
            ``open:PART`` of the path of a file that :mod:`stream_app.disk` writes. Empty for no fault.
        how: a name of :data:`ERRORS`, ``hang``, ``half``, or ``ends`` (returns at once).
        where: must be in the text of the arguments.
        times: so often; -1 is always.
        hang_s: what counts as hung in this process; None for what the product says.
    """

    folder: str
    command: list[str]
    log: str
    target: str = ""
    how: str = ""
    where: str = ""
    times: int = -1
    hang_s: float | None = None


def start(plan: Plan) -> BaseProcess:
    """A process of its own."""
    return begin(_run, msgspec.json.encode(plan))


def _run(encoded: bytes) -> None:
    plan = msgspec.json.decode(encoded, type=Plan)
    write_to(plan.log, plan.log)
    if plan.hang_s is not None:
        stream_app.worker.process.STALL_S, stream_app.worker.logs.LOOK_S = plan.hang_s, 0.5
        for part, policy in supervision.POLICIES.items():
            if policy.silent_s is not None:
                supervision.POLICIES[part] = supervision.Policy(policy.again, plan.hang_s)
    if plan.target:
        _Injector(plan).install()
    command(plan.command)


class _Injector:
    """Puts the fault into the function that a plan names."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._left = plan, plan.times
        self._armed, self._fired = Path(plan.folder) / "armed", Path(plan.folder) / "fired"

    def install(self) -> None:
        """From now on the function fails, once it is armed."""
        kind, _, rest = self._plan.target.partition(":")
        if kind == "sql":
            self._into_sqlite(*rest.split(":"))
        elif kind == "open":
            importlib.import_module("stream_app.disk").open = self._opening(rest)  # type: ignore[attr-defined]
        else:
            self._into_function(kind, rest)

    def _fires(self, *arguments: Any) -> bool:
        if not self._left or (self._plan.where and self._plan.where not in str(arguments)) or not self._armed.exists():
            return False
        self._left -= 1
        if not self._fired.exists():
            self._fired.write_text(str(time.monotonic()))
        return True

    def _fail(self) -> None:
        if self._plan.how == "hang":
            threading.Event().wait()
        if self._plan.how in ERRORS:
            raise ERRORS[self._plan.how]()

    def _into_function(self, module: str, name: str) -> None:
        *outer, last = name.split(".")
        owner = functools.reduce(getattr, outer, importlib.import_module(module))
        setattr(owner, last, self._wrapped(getattr(owner, last)))

    def _wrapped(self, function: Any) -> Any:
        if inspect.isasyncgenfunction(function):

            async def generate(*args: Any, **kwargs: Any) -> Any:
                if self._fires(*args, kwargs):
                    await self._fail_later()
                async for item in function(*args, **kwargs):
                    yield item

            return functools.wraps(function)(generate)
        if inspect.iscoroutinefunction(function):

            async def later(*args: Any, **kwargs: Any) -> Any:
                if self._fires(*args, kwargs):
                    await self._fail_later()
                return await function(*args, **kwargs)

            return functools.wraps(function)(later)

        def now(*args: Any, **kwargs: Any) -> Any:
            if self._fires(*args, kwargs):
                self._fail()
                if self._plan.how == "ends":
                    return None
            return function(*args, **kwargs)

        return functools.wraps(function)(now)

    async def _fail_later(self) -> None:
        if self._plan.how == "hang":
            await asyncio.Event().wait()
        self._fail()

    def _into_sqlite(self, file: str, statement: str) -> None:
        injector, connect = self, sqlite3.connect

        class Faulty(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> Any:
                if statement in sql and injector._fires():
                    injector._fail()
                return super().execute(sql, *parameters)

            def executemany(self, sql: str, rows: Any) -> Any:
                if statement in sql and injector._fires():
                    rows = list(rows)
                    super().executemany(sql, rows[: len(rows) // 2])
                    injector._fail()
                return super().executemany(sql, rows)

        def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
            faulty = {"factory": Faulty} if file in str(path) else {}
            return connect(path, *args, **{**kwargs, **faulty})

        sqlite3.connect = opened

    def _opening(self, part: str) -> Any:
        """``open`` for writing, of which half is written before the disk is full."""
        injector = self

        class Half(io.FileIO):
            def write(self, blob: Any) -> int:
                super().write(blob[: len(blob) // 2])
                raise ERRORS["disk full"]()

        def opened(file: Any, mode: str = "r", **kwargs: Any) -> Any:
            name = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else str(file)
            if "r" not in mode and part in name:
                with contextlib.suppress(OSError):
                    if injector._fires():
                        return Half(file, mode.replace("b", ""), **kwargs)
            return open(file, mode, **kwargs)

        return opened
