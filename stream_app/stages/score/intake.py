"""What becomes of the events of a source partition, watched: shares of bad ones beyond what is tolerated are told.

A channel for each kind of bad row, and of rejects for each reason, over consecutive rows (:mod:`.shares`): it needs no
pane that closes, so that a stream of bad events alone is told too. All of it is a function of the records in their
order, in the snapshot, and repeated by a replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from flowlib.table import Ints
from stream_app.stages.score.shares import Bets, Change, Share

RULE = "intake"
"""Rule of these incidents; no rule of a configuration has its name."""

DETECTORS = ("rejected", "late", "held", "duplicate", "coerced", "unscorable", "unknown_field")
"""What their ``detector`` may be."""

REASONS_MAX = 16
"""Reasons of rejects with a channel of their own; those beyond share one."""

OTHERS, JUMP = "others", "jump"
RECENT_MAX = 16
"""Bad rows of a kind that are remembered, for what a message says of fields and times."""

NO_TIME = -1
_NO_ROWS: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one bad row: the field at fault or "", in words what is wrong, and its event time, or −1."""

    field: str = ""
    detail: str = ""
    time_ms: int = NO_TIME


class Recent(NamedTuple):
    """A bad row that is remembered: the field at fault or "", its event time or −1, and its offset."""

    field: str
    time_ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class Bad:
    """The bad rows of one kind in a batch.

    Attributes:
        detector: one of :data:`DETECTORS`.
        reason: of rejects, their reason; of ``held``, :data:`JUMP` or ""; else "".
        rows: ``(m,)`` places in the batch, ascending.
        sample: a number below m to what is known of that row.
        looked: ``(k,)`` the rows that were looked at at all, ascending; None for every one. What is looked at in some
            rows only occurs in every batch, if with none.
        forced: ``(j,)`` those of the rows at which an incident opens whatever the evidence; None for none.
    """

    detector: str
    reason: str
    rows: Ints
    sample: Callable[[int], Sample]
    looked: Ints | None = None
    forced: Ints | None = None

    @property
    def looked_at(self) -> Ints:
        """``(k,)``; no rows where every one is looked at."""
        return _NO_ROWS if self.looked is None else self.looked


@dataclass(frozen=True, slots=True)
class Told:
    """A message about one kind of bad rows.

    Attributes:
        row: of the batch.
        detector, reason: as in :class:`Bad`.
        change: what the evidence came to.
        clock_ms: how far the partition's event time had come, or −1.
        opened_ms: how far it had when the incident opened, or −1.
        recent: the last few bad rows, oldest first.
        detail: what is wrong with the last one, in words.
        number: of this message among those of the incident, from 1 on.
        worst: the largest share of bad rows that was told of it, this message included.
        before: the largest that was told before; 0 with the first message.
    """

    row: int
    detector: str
    reason: str
    change: Change
    clock_ms: int
    opened_ms: int
    recent: tuple[Recent, ...]
    detail: str
    number: int
    worst: float
    before: float

    @property
    def field(self) -> tuple[str, float]:
        """The field that half of the last few bad rows or more have at fault, and their share; "" where none is."""
        name, n = Counter(one.field for one in self.recent).most_common(1)[0]
        return (name, n / len(self.recent)) if 2 * n >= len(self.recent) else ("", 0.0)

    @property
    def times_ms(self) -> tuple[int, int] | None:
        """The first and the last event time of the last few bad rows; None where none has any."""
        times = [one.time_ms for one in self.recent if one.time_ms != NO_TIME]
        return (min(times), max(times)) if times else None


@dataclass(slots=True)
class _Kind:
    """What is remembered of one kind of bad rows."""

    share: Share = field(default_factory=Share)
    recent: list[Recent] = field(default_factory=list)
    detail: str = ""
    opened_ms: int = NO_TIME
    number: int = 0
    worst: float = 0.0

    def tell(self, opens: bool, share: float) -> tuple[int, float, float]:
        """Count a message that tells of a share: its number, the largest share so far, and that before."""
        before = 0.0 if opens else self.worst
        self.number, self.worst = 1 if opens else self.number + 1, max(before, share)
        return self.number, self.worst, before


@dataclass(slots=True)
class Intake:
    """The evidence of one source partition.

    Attributes:
        rows: received so far.
        kinds: by detector, and of rejects by reason.
    """

    rows: int = 0
    kinds: dict[tuple[str, str], _Kind] = field(default_factory=dict)

    def take(self, bets: Bets, offsets: Ints, clock_ms: Ints, bad: Sequence[Bad]) -> list[Told]:
        """Take the rows of a batch in.

        Args:
            bets: of the tolerated share.
            offsets, clock_ms: ``(n,)``; how far event time had come after each row, −1 where no event has said it yet.
            bad: kinds that occur in it, each at most once.

        Returns:
            What is to be told, in the order of the rows.
        """
        told: list[Told] = []
        occurring = self._grouped(bad)
        for key, of_kind in occurring.items():
            if key not in self.kinds and (len(of_kind.rows) or len(of_kind.looked_at)):
                self.kinds[key] = _Kind(Share(rows=self.rows if of_kind.looked is None else 0))
        for key in self.kinds:
            told += self._take_kind(bets, offsets, clock_ms, key, occurring.get(key, Bad(*key, _NO_ROWS, _nothing)))
        self.rows += len(offsets)
        return sorted(told, key=lambda one: (one.row, one.detector, one.reason))

    def _grouped(self, bad: Sequence[Bad]) -> dict[tuple[str, str], Bad]:
        """Kinds by key, in the order of their first rows; reasons beyond the bound become one."""
        known = {reason for detector, reason in self.kinds if detector == "rejected"}
        grouped: dict[tuple[str, str], Bad] = {}
        for one in sorted((one for one in bad if len(one.rows) or one.looked is not None), key=_first_row):
            reason = one.reason
            if one.detector == "rejected" and reason not in known:
                reason = reason if len(known - {OTHERS}) < REASONS_MAX else OTHERS
                known.add(reason)
            key = one.detector, reason
            grouped[key] = _joined(grouped[key], one) if key in grouped else one
        return grouped

    def _take_kind(self, bets: Bets, offsets: Ints, clock_ms: Ints, key: tuple[str, str], bad: Bad) -> list[Told]:
        kind = self.kinds[key]
        rows = np.arange(len(offsets)) if bad.looked is None else bad.looked
        hit = np.zeros(len(offsets), dtype=bool)
        hit[bad.rows] = True
        forced = None
        if bad.forced is not None and len(bad.forced):
            forced = np.zeros(len(offsets), dtype=bool)
            forced[bad.forced] = True
        told = []
        for change in kind.share.take(bets, hit[rows], offsets[rows], None if forced is None else forced[rows]):
            row = int(rows[change.row])
            recent, detail = _recent(kind, bad, row, offsets)
            if change.state == "open":
                kind.opened_ms = int(clock_ms[row])
            number, worst, before = kind.tell(change.state == "open", change.hits / change.rows)
            times = int(clock_ms[row]), kind.opened_ms
            told.append(Told(row, *key, change, *times, recent, detail, number, worst, before))
        recent, kind.detail = _recent(kind, bad, len(offsets), offsets)
        kind.recent = list(recent)
        return told

    def to_state(self) -> dict[str, Any]:
        """Plain values, for a snapshot."""
        kinds = [
            [*key, kind.share.to_state(), kind.recent, kind.detail, kind.opened_ms, kind.number, kind.worst]
            for key, kind in sorted(self.kinds.items())
        ]
        return {"rows": self.rows, "kinds": kinds}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Intake:
        """Inverse of :meth:`to_state`."""
        kinds = {
            (detector, reason): _Kind(Share.from_state(share), [Recent(*one) for one in recent], *rest)
            for detector, reason, share, recent, *rest in state["kinds"]
        }
        return cls(state["rows"], kinds)


def _nothing(i: int) -> Sample:
    raise IndexError(i)


def _first_row(bad: Bad) -> tuple[int, str, str]:
    return int(bad.rows[0]) if len(bad.rows) else -1, bad.detector, bad.reason


def _joined(one: Bad, other: Bad) -> Bad:
    """Rejects of two reasons as one kind."""
    rows = np.concatenate([one.rows, other.rows])
    order = np.argsort(rows, kind="stable")
    split = len(one.rows)

    def sample(i: int) -> Sample:
        at = int(order[i])
        return one.sample(at) if at < split else other.sample(at - split)

    return Bad(one.detector, OTHERS, rows[order], sample)


def _recent(kind: _Kind, bad: Bad, row: int, offsets: Ints) -> tuple[tuple[Recent, ...], str]:
    """The last few bad rows up to a row of the batch, and what is wrong with the last of them."""
    end = int(np.searchsorted(bad.rows, row, side="right"))
    new = range(max(end - RECENT_MAX, 0), end)
    samples = [bad.sample(i) for i in new]
    at = offsets[bad.rows[new.start : end]].tolist()
    recent = [Recent(one.field, one.time_ms, offset) for one, offset in zip(samples, at, strict=True)]
    return tuple([*kind.recent, *recent][-RECENT_MAX:]), samples[-1].detail if samples else kind.detail
