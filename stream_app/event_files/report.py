"""What became of a file's rows before anybody could look at them as events."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stream_app.errors import DriftflowError
from stream_app.stages.dropped import Dropped


@dataclass(slots=True)
class Report:
    """Filled while a file is read.

    Attributes:
        unit: what ``number`` counts, from 1: ``line`` of the file, or ``row`` where it has no lines.
        number: where the row begins that was handed on last.
        rows: rows handed on.
        dropped: rows that cannot be read, by what is wrong with them.
        ends_early: why the file was not read to its end, or "".
    """

    unit: str = "line"
    number: int = 0
    rows: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    ends_early: str = ""

    def place(self, number: int) -> str:
        """A place in the file, in words."""
        return f"{self.unit} {number:,}"

    def unreadable(self, number: int, what: str, why: str) -> None:
        """Count a row that cannot be read.

        Args:
            number: where it begins.
            what: what is wrong, in a word or two.
            why: the same of this row, in full.
        """
        self.dropped.add(f"unreadable: {what}", "", f"{self.place(number)}: {why}")

    def check(self, path: str | Path) -> None:
        """Raise the DriftflowError of a file that ends early; to be called once what was there has been used."""
        if self.ends_early:
            raise DriftflowError(
                f"{path} ends early ({self.ends_early}): the {self.rows:,} rows before were used, get the whole file"
            )
