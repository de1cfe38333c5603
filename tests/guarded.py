"""Processes that hang or fail in a stated way, under a guard: ``python -m tests.guarded KIND [SECONDS]``."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from stream_app.guard import Guard


async def until_told(guard: Guard) -> None:
    """What an orderly process does."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    guard.on_end(lambda: loop.call_soon_threadsafe(ended.set))
    print("ready", flush=True)
    await ended.wait()


def orderly(guard: Guard) -> None:
    """Ends when it is told to."""
    asyncio.run(until_told(guard))


def beginning(guard: Guard) -> None:
    """Has nothing to stop yet."""
    print("ready", flush=True)
    time.sleep(60)


def blocked(guard: Guard) -> None:
    """The event loop is in a call of C that does not come back, whatever signal comes."""
    lock = threading.Lock()
    lock.acquire()

    async def block() -> None:
        asyncio.get_running_loop().call_later(0.1, lock.acquire)
        guard.step("a call of C")
        await until_told(guard)

    asyncio.run(block())


def silent(guard: Guard) -> None:
    """The same, and there is a pulse."""
    guard.watch("the event loop hangs: it has not come round", 0.5).beat()
    blocked(guard)


def deaf(guard: Guard) -> None:
    """A task does not listen to its cancellation."""

    async def stay() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def run() -> None:
        task = asyncio.ensure_future(stay())
        await until_told(guard)
        guard.step("the event loop")
        assert not task.done()

    asyncio.run(run())


def thread(guard: Guard) -> None:
    """A thread that the interpreter would wait for never ends."""
    threading.Thread(target=time.sleep, args=(60,), name="a sleeper").start()
    asyncio.run(until_told(guard))


def dying(guard: Guard) -> None:
    """A thread ends in an exception."""

    def fail() -> None:
        raise LookupError("no such thing")

    threading.Thread(target=fail, name="a helper", daemon=True).start()
    asyncio.run(until_told(guard))


def error(guard: Guard) -> None:
    """The main thread ends in an exception, and another one hangs."""
    threading.Thread(target=time.sleep, args=(60,), name="a sleeper").start()
    raise OSError(28, "No space left on device", "/x")


def unread(guard: Guard) -> None:
    """Nobody reads standard error, and its pipe is full."""
    os.set_blocking(2, False)
    try:
        while os.write(2, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(2, True)
    blocked(guard)


def main() -> None:
    """Run one of them; none is left behind to print anything."""
    kind, within_s = sys.argv[1], float((sys.argv[2:] or ["2"])[0])
    with Guard(within_s) as guard:
        globals()[kind](guard)
    print("the process goes on", file=sys.stderr)


if __name__ == "__main__":
    main()
