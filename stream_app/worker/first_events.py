"""Looks once, beside the agents, whether a stream's first events have the fields that the configuration names.

What was found to be there is written down: a field that disappears later is a matter of incidents, not of this.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from stream_app.config import Config
from stream_app.disk import write_durably
from stream_app.errors import DriftflowError
from stream_app.guard import described
from stream_app.kafka.first_events import look_at_first
from stream_app.stages.score.first_events import FieldsMissing, FirstEvents, fields_of
from stream_app.worker.supervision import Parts

log = logging.getLogger(__name__)

PART = "first events"
_PAUSE_S, _PAUSE_S_MAX = 0.5, 30.0


def judged_path(config: Config) -> Path:
    """Where it is written down of which fields the first events were judged."""
    return config.path(config.state.dir) / "first-events.json"


async def judge_first(config: Config, parts: Parts) -> None:
    """Wait until the first events can be judged, and judge them; nothing where that was done before for these fields.

    Raises:
        FieldsMissing: none of them has one of the fields.
        DriftflowError: it cannot be written down.
    """
    path, fields = judged_path(config), _written(config)
    if not config.event.first_events or _is_written(path, fields):
        return
    warned, pause_s = False, _PAUSE_S
    while (first := await _look(config, parts)) is None or not first.enough:
        warned = warned or (first is not None and _warns(config, first))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)
    if not _is_written(path, fields):  # by another worker meanwhile
        first.check()
        write_durably(path, fields)


async def _look(config: Config, parts: Parts) -> FirstEvents | None:
    """What is there by now; None where the broker does not answer, which is said."""
    try:
        first = await asyncio.to_thread(look_at_first, config)
    except DriftflowError as error:
        if PART not in parts.failing:
            log.warning("%s: %s; they are looked at again, and the rest goes on", PART, described(error))
        parts.note(PART, described(error))
        return None
    parts.note(PART, "")
    return first


def _warns(config: Config, first: FirstEvents) -> bool:
    """Say early, of a tenth of the events that judge, what may become of it; whether that was said."""
    if first.seen * 10 < config.event.first_events:
        return False
    try:
        first.check()
    except FieldsMissing as error:
        log.warning("%s; the worker ends where it is the same of %d", error, config.event.first_events)
    return True


def _written(config: Config) -> bytes:
    return msgspec.json.encode({"topic": config.topics.events, "fields": sorted(fields_of(config.event))})


def _is_written(path: Path, fields: bytes) -> bool:
    """What cannot be read is as lost: the events are judged again."""
    try:
        return path.read_bytes() == fields
    except OSError:
        return False
