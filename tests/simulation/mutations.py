"""Faults that somebody might make, put into the code for a run: each has to be found by a checker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec

from stream_app.sinks.delivery import Delivery
from stream_app.stages.batches import RawBatch
from stream_app.stages.score import messages, stage
from stream_app.stages.score.state import ScoreState
from stream_app.stages.score.timing import Timing
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState
from stream_app.worker import kafka_state
from stream_app.worker.deciding import Decider
from stream_app.worker.journal import Journal
from stream_app.worker.logs import Logs
from stream_app.worker.outbox import Outbox
from stream_app.worker.partitions import Partitions
from stream_app.worker.told import Told


@dataclass(frozen=True)
class Mutation:
    """A fault.

    Attributes:
        name: what is done wrong.
        place, attribute, instead: what is replaced; ``instead`` makes the new one of the one that is there.
        kinds: what has to go wrong for it to be seen, words in one.
        found_by: the checkers that have to find it, words in one.
    """

    name: str
    place: Any
    attribute: str
    instead: Callable[[Any], Any]
    kinds: str
    found_by: str

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """For as long as the block runs."""
        with patch.object(self.place, self.attribute, self.instead(vars(self.place)[self.attribute])):
            yield


def _save_first(checkpoint: Any) -> Any:
    async def instead(self: Outbox, last: bool = False) -> None:
        self._save(last)
        await self._await_acknowledgements()
        self._spool_points()
        self._ack_events()

    return instead


def _spool_last(checkpoint: Any) -> Any:
    async def instead(self: Outbox, last: bool = False) -> None:
        await self._await_acknowledgements()
        self._save(last)
        self._at("saved")
        self._spool_points()
        self._ack_events()

    return instead


def _ack_nothing(ack: Any) -> Any:
    def instead(self: Outbox) -> None:
        self._unacked = []

    return instead


def _send_backwards(put: Any) -> Any:
    async def instead(self: Outbox, out: Any, owner: Any, event: Any = None) -> None:
        out.messages = out.messages[::-1]
        await put(self, out, owner, event)

    return instead


def _with_windows(**fields: Any) -> Callable[[Any], Any]:
    return lambda screen: (
        lambda timing, windows, decoded, raw: screen(timing, msgspec.structs.replace(windows, **fields), decoded, raw)
    )


def _turn_back(step: Any) -> Any:
    def instead(self: Any, state: ScoreState, raw: Any, models: Any) -> Any:
        out = step(self, state, raw, models)
        state.timing.closed_ms = max(state.timing.closed_ms - 500, 0)
        return out

    return instead


def _lose_held(to_state: Any) -> Any:
    return lambda self: to_state(self) | {"held": []}


def _count_twice(step: Any) -> Any:
    def instead(self: Any, state: ScoreState, raw: Any, models: Any) -> Any:
        out = step(self, state, raw, models)
        state.counters["windowed"] += len(raw) > 5
        return out

    return instead


def _take_for_written(refusal: Any) -> Any:
    def instead(self: Any, points: Any) -> Any:
        with contextlib.suppress(Exception):
            return refusal(self, points)
        return None

    return instead


def _break(refuse: Any) -> Any:
    def instead(*args: Any) -> None:
        raise LookupError("nobody has thought of that")

    return instead


def _apply_only(apply: Any) -> Any:
    return lambda self, decision: self._pipeline.apply(decision)


def _never(_: Any) -> Any:
    return lambda *args, **kwargs: None


def _all_alike(key: Any) -> Any:
    return lambda name, epoch, rest: key(name, 0, rest)


def _know_no_ids(take: Any) -> Any:
    def instead(self: Journal, record: Any) -> None:
        self._ids.clear()
        take(self, record)

    return instead


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _: lambda *args, **kwargs: value


MUTATIONS = [
    Mutation("saves before the acks", Outbox, "checkpoint", _save_first, "broker_away kill", "partials evidence"),
    Mutation("spools after the head", Outbox, "checkpoint", _spool_last, "kill_between_effects", "points"),
    Mutation("acks nothing", Outbox, "_ack_events", _ack_nothing, "", "drains"),
    Mutation("sends backwards", Outbox, "put", _send_backwards, "", "partials"),
    Mutation("says again", Told, "is_told", _always(False), "unacknowledged", "told_once"),
    Mutation("skips nothing", RawBatch, "since", lambda _: lambda self, offset: self, "kill", "conservation"),
    Mutation("reads from commits", Partitions, "next_offset", _never, "kill", "conservation"),
    Mutation("forgets heads", Partitions, "replays_until", _never, "kill", "sent_once"),
    Mutation("writes no decision", Decider, "_apply", _apply_only, "swap", "signals"),
    Mutation("closes early", stage, "screen", _with_windows(lateness=0), "", "state"),
    Mutation("opens too many", stage, "screen", _with_windows(max_open_panes=99), "", "bounds"),
    Mutation("turns the clock back", stage.ScoreStage, "step", _turn_back, "", "watermark closed_panes"),
    Mutation("counts twice", stage.ScoreStage, "step", _count_twice, "", "conservation"),
    Mutation("loses the held", Timing, "to_state", _lose_held, "rebalances kill", "state"),
    Mutation("hides bad events", messages, "dead_letters", _always([]), "", "dead_letters"),
    Mutation("drops what no sink took", Delivery, "_refusal", _take_for_written, "sink_fails", "points"),
    Mutation("says no loss", Logs, "_say_gone", _never, "retention", "losses"),
    Mutation("hears of no gap", Logs, "note_gone", _never, "eaten", "losses"),
    Mutation("waits for no new source", Decider, "join", _never, "grown", "losses"),
    Mutation("writes as former owners do", kafka_state, "_key", _all_alike, "topics_store kill", "recovery"),
    Mutation("counts lines twice", Journal, "_take", _know_no_ids, "topics_store sent_twice", "decisions"),
    Mutation("sees no other topic", Logs, "check", _always(False), "made_anew", "losses"),
    Mutation("takes markers twice", WatchState, "mark", _always(True), "", "evidence"),
    Mutation("fails at junk", WatchStage, "_refuse", _break, "junk_between_stages", "ends_for_a_reason"),
    Mutation("hears nobody", Decider, "may_act", _always(False), "actions", "decisions"),
]
