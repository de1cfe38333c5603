"""The pure consumers: SCORE and WATCH, as the worker runs them, without a broker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.codecs import decode_event
from schemas.incidents import Incident
from schemas.records import DeadLetter
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score.intake import RULE
from stream_app.stages.score.state import COUNTERS
from tests.hostile.cases import Case
from tests.hostile.checker import Ledger, letter_of
from tests.hostile.world import World
from tests.stages import streams

_GOOD = [streams.event(90_000 + i, 1_000 + i) for i in range(3)]


class Score:
    """Events through SCORE, and what comes of them through WATCH."""

    partition, first = 0, 2

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.events

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`."""
        values = [streams.event(2_000, 900), streams.event(2_500, 901), *(case.value for case in cases), *_GOOD]
        offsets = np.arange(len(values))
        made, out = self._run(offsets, values)
        letters = self._letters(out.messages)
        good = {0, 1, *range(self.first + len(cases), len(values))}
        assert not good & letters.keys(), f"a good event was refused: {[letters[n] for n in good & letters.keys()]}"
        counted = made.score_states[0].counters
        assert counted["received"] == len(values) == sum(counted[name] for name in COUNTERS if name != "received")
        assert counted["rejected"] == len(letters)
        self._compare(offsets, values, letters, out)
        return {place: letters.get(self.first + place) for place in range(len(cases))}

    def _run(self, offsets: np.ndarray, values: list[bytes | None]) -> tuple[Pipeline, Outputs]:
        made = streams.pipeline(self._world.config, [self._world.model], sources=2)
        out = made.score(RawBatch(self.topic, self.partition, offsets.astype(np.int64), values))
        sent = streams.channels(out.messages)
        for q in range(2):
            watched = streams.watch_all(made, q, sent.get(("partials", q), []), size=100)
            assert not watched.refused, f"WATCH refuses what SCORE has sent: {watched.refused[0]}"
        return made, out

    def _letters(self, messages: list[Outgoing]) -> dict[int, DeadLetter]:
        letters = [letter_of(self._world.config, m.value, m.headers) for m in messages if m.role == "dead_letters"]
        assert len({letter.offset for letter in letters}) == len(letters), "two dead letters of one event"
        return {letter.offset: letter for letter in letters}

    def _compare(
        self, offsets: np.ndarray, values: list[bytes | None], letters: dict[int, DeadLetter], out: Outputs
    ) -> None:
        """What was refused has had no effect, but that the time of an event that can be read counts: one that cannot
        be scored closes panes, and many far ahead in a row move the clock.
        """
        timed = ("far_future", "unscorable")
        keep = [n for n in offsets if n not in letters or letters[n].reason in timed]
        _, clean = self._run(np.array(keep), [values[n] for n in keep])
        assert _others(clean.messages) == _others(out.messages), "what was refused has changed what was sent"


def _others(messages: list[Outgoing]) -> list[Outgoing]:
    """All but what is said of refused rows: their dead letters, and incidents of many."""
    return [message for message in messages if message.role != "dead_letters" and not _is_of_intake(message)]


def _is_of_intake(message: Outgoing) -> bool:
    record = decode_event(message.value, message.headers) if message.role == "signals" else None
    return isinstance(record, Incident) and record.rules == [RULE]


class Watch:
    """Partials through WATCH: half of what SCORE has sent, the cases, the rest."""

    partition = 0

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.partials
        history = streams.partials_of(world.partials)
        self._before, self._after = history[: len(history) // 2], history[len(history) // 2 :]
        self.first = len(self._before)
        self._clean = self._run([])

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`."""
        messages = [PartialMessage(self.first + n, case.value, case.headers) for n, case in enumerate(cases)]
        made, out = self._run(messages)
        letters = [letter_of(self._world.config, m.value, m.headers) for m in out.messages if m.role == "dead_letters"]
        by_offset = {letter.offset: letter for letter in letters}
        state = made.watch_states[0]
        assert len(by_offset) == len(letters) == state.refused == len(out.refused)
        handed = len(self._before) + len(messages) + len(self._after)
        assert (state.next_offset, state.taken + state.refused) == (handed, handed), "WATCH waits, or has lost count"
        if state.refused == len(cases):
            assert _others(out.messages) == _others(self._clean[1].messages), "what was refused has had an effect"
            assert out.points == self._clean[1].points, "what was refused has changed the points"
        return {place: by_offset.get(self.first + place) for place in range(len(cases))}

    def _run(self, cases: list[PartialMessage]) -> tuple[Pipeline, Outputs]:
        made = streams.pipeline(self._world.config, [self._world.model])
        later = [message._replace(offset=message.offset + len(cases)) for message in self._after]
        return made, made.watch(0, [*self._before, *cases, *later])


class Judge:
    """Evidence through JUDGE: half of what WATCH has sent, the cases, the rest."""

    partition = 0

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.evidence
        history = streams.partials_of([message for message in world.judged if message.role == "evidence"])
        self._before, self._after = history[: len(history) // 2], history[len(history) // 2 :]
        self.first = len(self._before)
        self._clean = self._run([])

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`."""
        messages = [PartialMessage(self.first + n, case.value, case.headers) for n, case in enumerate(cases)]
        made, out = self._run(messages)
        letters = [letter_of(self._world.config, m.value, m.headers) for m in out.messages if m.role == "dead_letters"]
        by_offset = {letter.offset: letter for letter in letters}
        state = made.judge_state
        assert state is not None
        assert len(by_offset) == len(letters) == state.refused == len(out.refused)
        handed = len(self._before) + len(messages) + len(self._after)
        assert (state.next_offset, state.taken + state.refused) == (handed, handed), "JUDGE has lost count"
        assert not made.missing_for_judge(), "JUDGE waits for a model that nobody has decided on"
        made.snapshot_judge()
        if state.refused == len(cases):
            assert _others(out.messages) == _others(self._clean[1].messages), "what was refused has had an effect"
            assert out.points == self._clean[1].points, "what was refused has changed the points"
        return {place: by_offset.get(self.first + place) for place in range(len(cases))}

    def _run(self, cases: list[PartialMessage]) -> tuple[Pipeline, Outputs]:
        made = streams.pipeline(self._world.config, [self._world.model])
        made.open_judge()
        later = [message._replace(offset=message.offset + len(cases)) for message in self._after]
        return made, made.judge([*self._before, *cases, *later])
