"""Which incident a candidate belongs to: one cause, one thread.

In order: the open incident that its slice came to last, by whatever rule, as long as something new comes to it within
``alerts.join_within`` or its members speak of the same cause (a fault and a drift only where they are about one
column, or began within a day: a sensor that has stopped for weeks is no part of what the season does); the open one
that slices with the same cause came to, or of which a member spoke of it, so lately; the one of all slices together
that is about the same column, or one of drift that slices came to so lately; the one that ended on the same slice
with the same cause so lately; else a new one, if it may open one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowlib.table import DAY_MS
from schemas.pane_layout import TOGETHER
from schemas.records import record_id
from stream_app.stages.judge.candidates import Candidate, Cause
from stream_app.stages.judge.facts import Allowed, PaneFacts
from stream_app.stages.judge.heard import NAMES_MAX, Heard
from stream_app.stages.judge.threads import Thread

OPEN_MAX = 1_000
"""Incidents that may be open at once; beyond, a slice joins the one that a slice came to last."""
ENDED_MAX = 200
"""Incidents that are remembered after their end, of those within ``alerts.join_within``."""
OVER_KEPT = 1_000
"""Members of an open incident that are over and are remembered."""

_MAIN = 0.5


def in_order(candidates: Iterable[tuple[Candidate, Allowed]]) -> list[tuple[Candidate, Allowed]]:
    """Those with most evidence first: what comes out does not depend on how they came in."""
    return sorted(candidates, key=lambda of: (-of[0].statistic * of[0].share, of[0].key))


def main_causes(causes: Sequence[Cause]) -> list[str]:
    """Names of the first cause, and of those with half of its evidence or more: of columns that move together now this
    one comes first on a slice, now that one.
    """
    return list(dict.fromkeys(of.name for of in causes if of.weight >= causes[0].weight * _MAIN))


class Threads:
    """The incidents that are open, and those that ended within ``alerts.join_within``.

    Attributes:
        open, ended: in the order in which they opened, and ended.
    """

    def __init__(self, stream: str, join_within: int) -> None:
        self._stream, self._join_within = stream, join_within
        self.open: list[Thread] = []
        self.ended: list[Thread] = []
        self._of_slice: dict[tuple[str, str], Thread] = {}

    def route(self, heard: Heard, causes: Sequence[Cause], allowed: Allowed, end_ms: int) -> Thread | None:
        """The incident that a candidate, which is in none, belongs to and may join; None where there is none. One that
        has ended is given as it is.

        Args:
            causes: what it may join by, one at least.
            allowed: ``join`` or ``open``.
        """
        names, since_ms = main_causes(causes), end_ms - self._join_within
        found = self._of_slice.get(heard.key[1:])
        if found is not None and found.newest_ms < since_ms and not _speaks(found, names, since_ms):
            found = None
        if found is not None and heard.kind != found.kind and not _goes_with(found, heard, causes):
            found = None  # people have to do something else about it
        found = found or self._with_cause(names, since_ms) or self._with_group(heard, causes, since_ms)
        found = found or self._with_column(heard, causes, since_ms)
        if found is not None or allowed != "open":
            return found
        return self._again(heard, causes[0].name) or (self._newest() if len(self.open) >= OPEN_MAX else None)

    def _with_cause(self, names: Sequence[str], since_ms: int) -> Thread | None:
        for name in names:
            found = [of for of in self.open if name in of.names and of.newest_ms >= since_ms]
            found += [of for of in self.open if _speaks(of, [name], since_ms)]
            if found:
                return max(found, key=lambda of: (of.newest_ms, of.id))
        return None

    def _with_group(self, heard: Heard, causes: Sequence[Cause], since_ms: int) -> Thread | None:
        """The open incident of all slices together that is about the same column, in whatever way; for all slices
        together any that is. The mean of some slices is the spread of all.
        """
        features = {feature for cause in causes for feature in cause.features}
        found = [
            thread
            for thread in self.open
            for member in thread.live
            if TOGETHER in (member.slice, heard.slice)
            and heard.kind == member.kind == "drift"
            and member.heard_ms >= since_ms
            and (not features or not member.features or features & {*member.features})
        ]
        return max(found, key=lambda of: (of.newest_ms, of.id), default=None)

    def _with_column(self, heard: Heard, causes: Sequence[Cause], since_ms: int) -> Thread | None:
        """The open incident of drift that came so lately and is about a column that this drift is about first, in
        whatever way: where columns move together, their dependence shows here and their spread there.
        """
        columns = set(causes[0].features)
        found = [
            thread
            for thread in self.open
            for member in thread.live
            if heard.kind == member.kind == "drift" and thread.newest_ms >= since_ms and columns & {*member.features}
        ]
        return max(found, key=lambda of: (of.newest_ms, of.id), default=None)

    def _again(self, heard: Heard, name: str) -> Thread | None:
        for thread in reversed(self.ended):
            for member in thread.members.values():
                if member.key[1:] == heard.key[1:] and name in member.names:
                    return thread
        return None

    def _newest(self) -> Thread:
        return max(self.open, key=lambda of: (of.newest_ms, of.id))

    def new(self, candidate: Candidate, heard: Heard, facts: PaneFacts, threshold: float, together: int) -> Thread:
        """An incident that a candidate opens; no other has its id, since none of the same slice opens in the same pane.

        Args:
            threshold: evidence that one slice alone opens one with.
            together: candidates of its rule that may open one in this pane.
        """
        model = candidate.model_id
        thread = Thread(
            id=record_id("incident", self._stream, *candidate.key, facts.start_ms, model),
            opened_ms=facts.start_ms,
            begun_ms=facts.end_ms,
            newest_ms=facts.end_ms,
            since_ms=heard.since_ms,
            model_id=model or facts.service,
            kind=candidate.kind,
            opener=candidate.rule,
            threshold=threshold,
            parts=1.0 / candidate.share,
            together=together,
        )
        self.open.append(thread)
        return thread

    def join(self, thread: Thread, heard: Heard, end_ms: int) -> None:
        """A candidate becomes a member, or one again."""
        place = heard.key[1:]
        if self._of_slice.get(place) is not thread:
            thread.slices += 1
            self._of_slice[place] = thread
        thread.members.pop(heard.key, None)
        thread.members[heard.key] = heard
        thread.newest_ms = end_ms
        if not thread.number:  # of those who come later it may be something else that began before
            thread.since_ms = min(thread.since_ms, heard.since_ms)
        thread.names = list(dict.fromkeys([*thread.names, heard.names[0]]))[:NAMES_MAX]

    def _forget_over(self, thread: Thread) -> None:
        over = [key for key, of in thread.members.items() if of.over]
        gone = over[: max(len(over) - OVER_KEPT, 0)]
        for key in gone:
            del thread.members[key]
            thread.dropped += 1
        left = {key[1:] for key in thread.members}
        for place in dict.fromkeys(key[1:] for key in gone):
            if place not in left and self._of_slice.get(place) is thread:
                del self._of_slice[place]

    def reopen(self, thread: Thread, model_id: str, end_ms: int) -> None:
        """An incident that had ended goes on. Slices that have come to another one meanwhile are members there."""
        self.ended.remove(thread)
        thread.ended_ms, thread.begun_ms, thread.model_id, thread.acked_by = -1, end_ms, model_id, ""
        thread.comebacks += 1
        thread.about = []
        self.open.append(thread)
        thread.members = {key: of for key, of in thread.members.items() if key[1:] not in self._of_slice}
        self._of_slice.update(dict.fromkeys((key[1:] for key in thread.members), thread))

    def end(self, thread: Thread, end_ms: int, keep: bool) -> None:
        """An incident is over; ``keep`` where it may come again."""
        self.open.remove(thread)
        thread.ended_ms = end_ms
        self._of_slice = {place: of for place, of in self._of_slice.items() if of is not thread}
        for member in thread.members.values():
            member.causes = []  # what comes again has figures of its own
        if keep:
            self.ended = [*self.ended, thread][-ENDED_MAX:]

    def forget(self, end_ms: int) -> None:
        """Drop what ended too long ago to come again, and members of open incidents that are over, the first ones."""
        for thread in self.open:
            if len(thread.members) > OVER_KEPT:
                self._forget_over(thread)
        self.ended = [of for of in self.ended if end_ms - of.ended_ms <= self._join_within]

    def places(self) -> list[list[str]]:
        """Slicing, slice, and the incident that the slice came to last."""
        return [[*place, thread.id] for place, thread in self._of_slice.items()]

    def restore(self, open_: list[Thread], ended: list[Thread], places: list[list[str]]) -> None:
        """Take threads back, in their order, and :meth:`places`."""
        self.open, self.ended = open_, ended
        by_id = {thread.id: thread for thread in open_}
        self._of_slice = {(slicing, slice_): by_id[id_] for slicing, slice_, id_ in places}


def _goes_with(thread: Thread, heard: Heard, causes: Sequence[Cause]) -> bool:
    """Whether a fault and a drift are one thing: of one slice, and about one column or from one day."""
    members = thread.live or [*thread.members.values()]
    if any(key[1:] != heard.key[1:] for key in thread.members):
        return False
    columns = {feature for cause in causes for feature in cause.features}
    theirs = {feature for member in members for cause in member.causes for feature in cause.features}
    return bool(columns & theirs) or any(abs(heard.since_ms - of.since_ms) <= DAY_MS for of in members)


def _speaks(thread: Thread, names: Sequence[str], since_ms: int) -> bool:
    """Whether a member speaks of one of these causes, or did lately."""
    members = (of for of in thread.members.values() if not of.over)
    return any(of.heard_ms >= since_ms and any(name in of.names for name in names) for of in members)
