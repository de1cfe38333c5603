"""Bets on a mean over panes that resemble their neighbours: the weather of an hour is that of the hour before.

A bet wants numbers whose mean, given all that came before, is no larger than the null. Means of single panes are no
such numbers where one pane foretells the next: of 100 models that are no better 40 would win. Means of blocks of panes
nearly are, where blocks are long enough. How long is told by the correlation of neighbours, as far as that is known:
all lengths are betted on, and the one that is long enough by now decides.
"""

from __future__ import annotations

import msgspec

from flowlib.anytime import MeanBet

LENGTHS = (1, 2, 4, 8, 16, 32, 64)
"""Panes of a block."""
PANES_MIN = 20
"""Before so many panes nothing is known of how they are correlated, and nothing is decided."""
_PER_TIME = 0.5
"""Blocks are so many times as long as the correlation adds to a pane: simulated (``tests/trainer/shadow``)."""
_LARGEST = 0.99


class BlockBet(msgspec.Struct):
    """Bets that the mean of numbers in ``[-bound, bound]`` is above ``null``.

    Attributes:
        bets: one for each of :data:`LENGTHS`.
        open: sum of the block that is not full, of each.
        n, total, squares, products: numbers so far, their sum, that of their squares, and that of neighbours' products.
        last: the last number.
    """

    bets: list[MeanBet]
    open: list[float]
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    last: float = 0.0

    @classmethod
    def of(cls, bound: float, null: float) -> BlockBet:
        """A bet of which nothing has been seen."""
        return cls([MeanBet(-bound, bound, null) for _ in LENGTHS], [0.0] * len(LENGTHS))

    def take(self, x: float) -> None:
        """One more number."""
        self.products += x * self.last if self.n else 0.0
        self.n, self.total, self.squares, self.last = self.n + 1, self.total + x, self.squares + x * x, x
        for place, length in enumerate(LENGTHS):
            self.open[place] += x
            if self.n % length == 0:
                self.bets[place].take(self.open[place] / length)
                self.open[place] = 0.0

    @property
    def length(self) -> int:
        """Panes of the blocks that count now."""
        return LENGTHS[self._place]

    @property
    def e_value(self) -> float:
        """Of the bet that counts now; 1 before anything is known of the correlation."""
        return self.bets[self._place].e_value if self.n >= PANES_MIN else 1.0

    @property
    def _place(self) -> int:
        wanted = _PER_TIME * (_times(self._correlation) - 1.0)
        return next((place for place, length in enumerate(LENGTHS) if length >= wanted), len(LENGTHS) - 1)

    @property
    def _correlation(self) -> float:
        """Of neighbours, less what a short series makes it too small by (Kendall, Biometrika 41, 1954)."""
        if self.n < 2:
            return 0.0
        mean = self.total / self.n
        variance = self.squares / self.n - mean * mean
        if variance <= 1e-12:
            return 0.0
        found = (self.products / (self.n - 1) - mean * mean) / variance
        return min(max(found + (1.0 + 4.0 * found) / self.n, 0.0), _LARGEST)


def _times(correlation: float) -> float:
    """How many numbers count as one independent one."""
    return (1.0 + correlation) / (1.0 - correlation)
