"""The consumers of the topics of models and actions: a worker's feeds, without a broker."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec

from flowlib.density import Density
from schemas.incidents import Action
from schemas.records import DeadLetter, ModelNotice
from stream_app.stages.decisions import DECODER, encode
from stream_app.stages.outputs import Outgoing
from stream_app.worker.actions_feed import ActionsFeed
from stream_app.worker.models_feed import ModelsFeed
from tests.hostile.cases import Case
from tests.hostile.checker import Ledger, letter_of
from tests.hostile.world import World
from tests.stages import streams

_GOOD = 1_000_003
"""Number of the good notice: no case has it."""


class Feed:
    """Notices to a worker's feed: the cases, a promoted model and a refused candidate.

    Attributes:
        noted: notices that were handed to the worker.
    """

    partition, first = 0, 7

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.models
        self.noted: list[ModelNotice] = []
        self._behind = [world.notice("refused", _GOOD), world.notice("covered", _GOOD + 1)]

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`."""
        return asyncio.run(self._hand_in(cases))

    async def _hand_in(self, cases: Sequence[Case]) -> Ledger:
        letters: dict[int, DeadLetter] = {}
        taken: set[int] = set()
        noted: list[ModelNotice] = []

        async def on_notice(notice: ModelNotice, density: Density | None) -> None:
            assert (density is not None) == (notice.status == "promoted")
            noted.append(notice)

        async def on_refused(message: Outgoing, _: Any) -> None:
            letter = letter_of(self._world.config, message.value, message.headers)
            letters[letter.offset] = letter

        feed = ModelsFeed(self._world.config, on_notice, on_refused)
        messages = [*((case.value, case.headers) for case in cases), *((g.value, g.headers) for g in self._behind)]
        for offset, (value, headers) in enumerate(messages, self.first):
            before = feed.taken, feed.refused
            await feed._take(record(self.topic, offset, value, headers))
            assert feed.taken + feed.refused == sum(before) + 1, "neither taken nor refused, or both"
            if feed.taken > before[0]:
                taken.add(offset)
        good = {self.first + len(cases), self.first + len(cases) + 1}
        assert good <= taken, f"a good notice was refused: {[letters.get(offset) for offset in good]}"
        assert [notice.sequence for notice in noted[-2:]] == [_GOOD, _GOOD + 1]
        self.noted += noted
        places = {offset - self.first for offset in taken | letters.keys()}
        return {place: letters.get(self.first + place) for place in places}


class Acts:
    """Actions to a worker's feed, and on to JUDGE: the cases, a mark and the end of the incident that there is."""

    partition, first = 0, 7

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.actions
        self._behind = [world.action("mark", "behind"), world.action("accept", "behind")]
        self._evidence = streams.partials_of([message for message in world.judged if message.role == "evidence"])

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`."""
        return asyncio.run(self._hand_in(cases))

    async def _hand_in(self, cases: Sequence[Case]) -> Ledger:
        letters: dict[int, DeadLetter] = {}
        taken: set[int] = set()
        made = streams.pipeline(self._world.config, [self._world.model])
        made.open_judge()
        made.judge(self._evidence[: len(self._evidence) * 3 // 4])
        acted: list[str] = []

        async def on_action(offset: int, action: Action) -> bool:
            decision = made.decide_action(offset, action)
            assert decision is not None
            made.apply(DECODER.decode(encode(decision)))
            acted.append(action.id)
            return True

        async def on_refused(message: Outgoing, _: Any) -> None:
            letter = letter_of(self._world.config, message.value, message.headers)
            letters[letter.offset] = letter

        with tempfile.TemporaryDirectory() as folder:
            state = msgspec.structs.replace(self._world.config.state, dir=folder)
            config = msgspec.structs.replace(self._world.config, state=state)
            feed = ActionsFeed(config, lambda: (), on_action, on_refused)
            messages = [*((case.value, case.headers) for case in cases), *((g.value, g.headers) for g in self._behind)]
            for offset, (value, headers) in enumerate(messages, self.first):
                before = feed.taken, feed.refused
                await feed._take(record(self.topic, offset, value, headers))
                assert feed.taken + feed.refused == sum(before) + 1, "neither taken nor refused, or both"
                if feed.taken > before[0]:
                    taken.add(offset)
        assert len(set(acted)) == len(acted), "one counts twice"
        assert acted[-2:] == [good.document["id"] for good in self._behind], "a good action was refused"
        made.snapshot_judge()
        made.judge(self._evidence)
        return {offset - self.first: letters.get(offset) for offset in taken | letters.keys()}


def record(topic: str, offset: int, value: bytes | None, headers: Any, partition: int = 0) -> Any:
    """A record as a client fetches it."""
    return SimpleNamespace(
        topic=topic,
        partition=partition,
        offset=offset,
        value=value,
        headers=headers,
        key=None,
        timestamp=1_000,
        timestamp_type=0,
    )
