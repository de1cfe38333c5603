"""Static members of a consumer group (KIP-345): a worker that is started again under its name has its partitions back
at once, where the broker would otherwise wait until it is sure that the one before is dead.

aiokafka sends no name with heartbeats, and joins anew whenever the broker does not know it any more. Two workers under
one name would take each other's partitions in turns so, for ever: here the one that was replaced ends.

Private names of aiokafka are used here: ``tests/worker/test_membership.py`` fails where these have changed.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import NoError, UnknownMemberIdError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from stream_app.config import KafkaConfig
from stream_app.errors import DriftflowError

_LEGAL = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")


def instance_of(kafka: KafkaConfig) -> str | None:
    """The name of this worker in its group; None where it has none.

    Raises:
        DriftflowError: the environment does not hold one that a broker takes.
    """
    if not kafka.instance_env:
        return None
    name = os.environ.get(kafka.instance_env, "")
    if not _LEGAL.fullmatch(name):
        raise DriftflowError(
            f"the variable {kafka.instance_env} (kafka.instance_env) holds {name[:300]!r}: give each worker a name of "
            "its own there, of letters, digits, '.', '_' and '-'"
        )
    return name


def replaced(kafka: KafkaConfig) -> DriftflowError:
    """Why a worker ends whose membership the broker does not know any more."""
    return DriftflowError(
        f"group {kafka.group} does not know this worker any more: another one has joined it as {instance_of(kafka)!r}, "
        f"or it was not heard of for {kafka.session_timeout.seconds:g} s (kafka.session_timeout); start it again, and "
        f"see that no two workers have one name in {kafka.instance_env}"
    )


def watch(consumer: Any, lost: Callable[[], Awaitable[object]]) -> None:
    """Await ``lost`` once the broker knows this member no more: at a heartbeat, or at the latest where aiokafka, having
    been told so at a commit, would join as a new one. Neither goes on after that.

    Args:
        consumer: aiokafka's, started and in a group.
        lost: ends the worker.
    """
    coordinator, joined = consumer._coordinator, False
    send: Callable[[Any], Awaitable[Any]] = coordinator._send_req

    async def watched(request: Any) -> Any:
        nonlocal joined
        joins = isinstance(request, JoinGroupRequest)
        if joins and joined and request._member_id == JoinGroupRequest.UNKNOWN_MEMBER_ID:
            await _end(lost)
        answer = await send(request)
        if isinstance(request, HeartbeatRequest) and answer.error_code == UnknownMemberIdError.errno:
            await _end(lost)
        joined = joined or (joins and answer.error_code == NoError.errno)
        return answer

    coordinator._send_req = watched


async def _end(lost: Callable[[], Awaitable[object]]) -> None:
    await lost()
    await asyncio.Event().wait()  # until the consumer stops and cancels it
