"""What became of a file's rows before anybody could look at them as events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream_app.errors import DriftflowError, TooManyDropped
from stream_app.stages.dropped import Dropped
from stream_app.terminal import printable

_SHOWN = 20


def _nobody_knows() -> None:
    return None


@dataclass(slots=True)
class Report:
    """Filled while a file is read.

    Attributes:
        unit: what ``number`` counts, from 1: ``line`` of the file, or ``row`` where it has no lines.
        number: where the row begins that was handed on last.
        rows: rows handed on.
        lost: rows that cannot be read.
        dropped: rows that came to nothing, by what is wrong with them; whoever uses the rows adds to it.
        ends_early: why the file was not read to its end, or "".
        taken: says how much of the file was taken so far, None where nobody knows.
    """

    unit: str = "line"
    number: int = 0
    rows: int = 0
    lost: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    ends_early: str = ""
    taken: Callable[[], float | None] = _nobody_knows

    @property
    def total(self) -> int:
        """Rows in the file, as far as it was read."""
        return self.rows + self.lost

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
        self.lost += 1
        self.dropped.add(f"unreadable: {what}", "", f"{self.place(number)}: {why}")

    def tell(self, out: Console, most: int = _SHOWN) -> None:
        """Print what was dropped and why, if anything: so many reasons at most."""
        if not self.dropped.rows:
            return
        table = Table("dropped", "rows", "share", "the first of them", box=None)
        reasons = list(self.dropped)
        for reason in reasons[:most]:
            name = f"{reason.name} ({reason.field})" if reason.field else reason.name
            cells = name, f"{reason.rows:,}", f"{reason.rows / self.total:.2%}", reason.example
            table.add_row(*(Text(printable(cell)) for cell in cells))
        if out.is_terminal:
            out.print(table)
        else:  # nobody's columns: a reason is a line
            rows = zip(*(column.cells for column in table.columns), strict=True)
            for line in (("dropped", "rows", "share", "the first of them"), *rows):
                out.print("  ".join(map(str, line)), soft_wrap=True, markup=False, highlight=False)
        if len(reasons) > most:
            out.print(f"and {len(reasons) - most:,} reasons more")

    def check(self, path: str | Path, max_dropped: float) -> None:
        """To be called once all that could be read has been used.

        Args:
            path: the file, or what else was read.
            max_dropped: share of its rows that may be dropped.

        Raises:
            TooManyDropped: more were: with the reasons.
            DriftflowError: it ended early.
        """
        self.check_end(path)
        n = self.dropped.rows
        if n > max_dropped * self.total:
            raise TooManyDropped(
                f"{n:,} of {self.total:,} rows of {path} were dropped, {n / self.total:.2%}, and --max-dropped is "
                f"{max_dropped:.2%}: {self.dropped.says()}"
            )

    def check_all(self, path: str | Path) -> None:
        """Raise DriftflowError where any row cannot be read, or the file ended early."""
        if self.lost:
            raise DriftflowError(f"{path} cannot be read whole: {self.dropped.says()}")
        self.check_end(path)

    def check_end(self, path: str | Path) -> None:
        """Raise DriftflowError where the file ended early."""
        if self.ends_early:
            raise DriftflowError(
                f"{path} ends early ({self.ends_early}): the {self.rows:,} rows before were used, get the whole file"
            )
