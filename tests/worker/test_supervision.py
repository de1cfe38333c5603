"""A part that fails is started again where the table says so, and ends the worker where it does not."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from stream_app.errors import DriftflowError
from stream_app.guard import Guard
from stream_app.worker.supervision import POLICIES, Parts, sentences_only, watch_loop
from tests.worker.making import in_a_loop

ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"


@pytest.fixture
def guard() -> Guard:
    """One that ends nothing."""
    return Guard(60.0)


@pytest.fixture
def parts(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Parts that are tried again at once."""
    monkeypatch.setattr("stream_app.worker.supervision._BACKOFF_S", 0.0)
    return Parts(guard)


@in_a_loop
async def test_what_loses_the_broker_is_tried_again_until_it_works(
    parts: Parts, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    tries, works = 0, asyncio.Event()

    async def run() -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise KafkaConnectionError("away")
        assert parts.failing == {"models feed": parts.failing["models feed"]}
        parts.beat("models feed")
        works.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.INFO):
        task = asyncio.ensure_future(parts.keep("models feed", run))
        await works.wait()
    task.cancel()
    assert (tries, parts.failing, guard.failure) == (4, {}, None)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "models feed",
        "models feed works again",
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LookupError("no such thing"), "models feed failed: LookupError: no such thing at "),
        (DriftflowError("the key is damaged"), "models feed failed: the key is damaged; the worker ends so that"),
        (None, "models feed failed: it ended although nobody had told it to;"),
    ],
)
@in_a_loop
async def test_any_other_end_of_a_part_ends_the_worker(
    parts: Parts, guard: Guard, error: Exception | None, said: str
) -> None:
    async def run() -> None:
        if error is not None:
            raise error

    await parts.keep("models feed", run)
    assert (guard.failure or "").startswith(said)
    assert parts.ending


@in_a_loop
async def test_an_agent_that_raises_ends_the_worker_and_one_that_is_cancelled_does_not(
    parts: Parts, guard: Guard
) -> None:
    async def agent(error: BaseException) -> None:
        raise error

    watched = parts.watched("score", agent)
    with pytest.raises(asyncio.CancelledError):
        await watched(asyncio.CancelledError())
    assert guard.failure is None
    with pytest.raises(LookupError):
        await watched(LookupError())
    assert (guard.failure or "").startswith("score failed: LookupError at ")


Raise = Callable[[], None]


@pytest.mark.parametrize(
    ("error", "ends"), [(LookupError("x"), True), (KafkaConnectionError(), False), (OSError(), False)]
)
@in_a_loop
async def test_a_callback_that_raises_ends_the_worker_unless_a_connection_is_lost(
    parts: Parts, guard: Guard, error: Exception, ends: bool
) -> None:
    def fail() -> None:
        raise error

    watch_loop(asyncio.get_running_loop(), parts)
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (guard.failure is not None) == ends


def test_fausts_errors_are_one_line_and_none_while_the_process_ends(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("faust.app.base")
    with caplog.at_level(logging.ERROR), sentences_only(guard):
        try:
            raise LookupError("x")
        except LookupError:
            log.exception("Commit failed")
            log.exception("[^App]: Crashed reason=%r", "x")
        guard.fail("enough")
        log.error("Error while stopping")
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [("Commit failed", None)]


def test_the_table_of_the_guide_names_every_part() -> None:
    table = ARCHITECTURE.read_text().partition("## When something fails")[2].partition("\n## ")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    by_the_guard = {"monitor"}  # a thread of its own
    assert set(POLICIES) | by_the_guard == {name for cell in first for name in re.findall("`(.+?)`", cell)}
