"""Rows that came to nothing, by reason, each reason with its first row as an example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_SHOWN = 3


@dataclass(slots=True)
class Reason:
    """One reason.

    Attributes:
        name: a short code, such as ``late`` or one of :class:`schemas.records.DeadLetter`'s.
        field: the field at fault, or "".
        rows: how many rows went for it.
        example: where the first of them is and what was wrong with it.
        place: of the example, in the order of the rows.
    """

    name: str
    field: str
    rows: int
    example: str
    place: int

    def __str__(self) -> str:
        return f"{self.rows:,} {self.name}{f' in field {self.field!r}' if self.field else ''} ({self.example})"


@dataclass(slots=True)
class Dropped:
    """A tally of reasons.

    >>> went = Dropped()
    >>> for line in 7, 9:
    ...     went.add("bad_time", "at", f"line {line}: 'soon'")
    >>> went.add("late", "", "line 8")
    >>> went.rows, went.says()
    (3, "2 bad_time in field 'at' (line 7: 'soon'), 1 late (line 8)")
    """

    _reasons: dict[tuple[str, str], Reason] = field(default_factory=dict)

    def add(self, name: str, at_field: str, example: str, rows: int = 1, place: int = 0) -> None:
        """Count rows of a reason and field.

        Args:
            name, at_field, example: as in :class:`Reason`.
            rows: how many.
            place: of the example; of several the first place counts, and the first that came.
        """
        reason = self._reasons.setdefault((name, at_field), Reason(name, at_field, 0, example, place))
        reason.rows += rows
        if place < reason.place:
            reason.example, reason.place = example, place

    def __iter__(self) -> Iterator[Reason]:
        """The reasons, those of most rows first."""
        reasons = [reason for reason in self._reasons.values() if reason.rows]
        return iter(sorted(reasons, key=lambda reason: -reason.rows))

    @property
    def rows(self) -> int:
        """Rows that went, whatever the reason."""
        return sum(reason.rows for reason in self._reasons.values())

    def says(self) -> str:
        """The first few reasons in one line, "" where no row went."""
        reasons = list(self)
        more = f", and {len(reasons) - _SHOWN} reasons more" if len(reasons) > _SHOWN else ""
        return ", ".join(map(str, reasons[:_SHOWN])) + more
