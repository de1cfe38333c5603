"""Follows the topic of what people say: accept, acknowledge, silence. Only what an operator's key has signed counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from schemas.incidents import Action
from schemas.intake import Refusal, header_map, take_in
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.logs import look
from stream_app.kafka.types import ConsumerRecord, TopicPartition
from stream_app.models.keys import Trust
from stream_app.models.signing import signature_fault
from stream_app.worker.feeds import Feed, OnRefused
from stream_app.worker.reports import Reports
from stream_app.worker.topic_ids import TopicIds

log = logging.getLogger(__name__)

PART = "actions feed"

_NAME = "actions"
"""Of the file with the id of the topic."""
_LOOK_S = 5.0
_OF_SERVICE = ("pin", "rollback")
"""Verbs that may name a model which nothing is known of."""
_SOURCE = "ce_source"
_SHOWN_MAX = 200

OnAction = Callable[[int, Action], Awaitable[bool]]
"""Takes an action with its offset; False where JUDGE is not here any more."""


class ActionsFeed(Feed):
    """Reads the actions topic from its beginning, outside any consumer group, for as long as JUDGE is here.

    An action is known by its id: one that comes again, by a retry, from a copy of the topic or on one that was made
    anew, is no news.

    Args:
        config: the stream.
        decided: ids of the actions that were taken in before, each with why nothing follows from it, "" where something
            may; None where JUDGE is not here.
        on_action: awaited for each genuine action that was not.
        on_refused, beat: see :class:`~stream_app.worker.feeds.Feed`.
        mention: takes a part's name and a line for the status.
    """

    def __init__(
        self,
        config: Config,
        decided: Callable[[], Mapping[str, str] | None],
        on_action: OnAction,
        on_refused: OnRefused,
        beat: Callable[[], None] = lambda: None,
        mention: Callable[[str, str], None] = lambda part, text: None,
    ) -> None:
        reports = Reports(config, "actions", "Action", "Nothing follows from it.")
        super().__init__(config, config.topics.actions, Trust.of_actions(config), reports, on_refused, beat)
        self._ids, self._decided, self._on_action, self._mention = TopicIds(config), decided, on_action, mention
        self._known: set[str] = set()
        self._left = False
        self._looked_s = -_LOOK_S
        self._anew = False

    async def _goes_on(self) -> bool:
        if self._left or self._decided() is None:
            return False
        if time.monotonic() - self._looked_s >= _LOOK_S:
            await self._look()
        return True

    async def _look(self) -> None:
        """Notice a topic that was made anew: its actions are new ones unless their ids are known."""
        place = TopicPartition(self._topic, 0)
        try:
            found = (await asyncio.to_thread(look, self._config, [place])).get(place)
        except DriftflowError:  # the client says so, if it stays away
            return
        self._looked_s = time.monotonic()
        known, now = self._ids.get(_NAME), found.topic_id if found else ""
        if now and now != known:
            self._ids.keep(_NAME, now)
        if known and now and now != known:
            text = (
                f"the topic was deleted and made again (its id was {known}, and is {now}): it is read from its start; "
                "what was taken in before stays, and does not count twice"
            )
            log.error("%s: %s", self._topic, text)
            self._mention(f"log {self._topic}", text)
            self._anew = True

    def _is_to_begin_again(self) -> bool:
        return self._anew or super()._is_to_begin_again()

    def _begin(self) -> None:
        if self._anew:
            self._reports.forget()
        self._known, self._left, self._anew = set(self._decided() or ()), False, False
        super()._begin()

    async def _taken(self, record: ConsumerRecord) -> Refusal | None:
        action = take_in("actions", self._config.stream, record.value, record.headers)
        if isinstance(action, Refusal):
            return action
        assert isinstance(action, Action)
        assert record.value is not None
        refusal = signature_fault(record.value, record.headers, self._trusted()) or self._stranger(record)
        if refusal is None and action.id not in self._known and not self._left:
            self._known.add(action.id)
            self._left = not await self._on_action(record.offset, action)
        return refusal or self._without_effect(action)

    def _without_effect(self, action: Action) -> Refusal | None:
        """Why nothing follows from what an operator's key has signed: by decision, so that nothing ever will."""
        why = (self._decided() or {}).get(action.id) if action.verb in _OF_SERVICE else None
        return Refusal("not_accepted", "model", why) if why else None

    def _stranger(self, record: ConsumerRecord) -> Refusal | None:
        """Why a message is from none who may say something; a key may sign other messages too."""
        source = header_map(record.headers).get(_SOURCE, b"")[:_SHOWN_MAX].decode("utf-8", "replace")
        operator = f"/driftflow/{self._config.stream}/operator"
        if source == operator or source.startswith(f"{operator}/"):
            return None
        return Refusal("not_accepted", _SOURCE, f"it says it is from {source or 'nobody'}, and only {operator} may act")
