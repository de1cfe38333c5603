"""Tests that may be looked at after every observation, and stopped whenever they have decided.

Both keep the capital of a gambler who bets against a hypothesis. Where it is true the capital is, at every time, one on
average or less, so that it ever reaches ``1 / alpha`` with probability ``alpha`` at most (Ville's inequality), however
often somebody looks. What was lost is not forgotten: the capital is an e-value at any time.

- :class:`MeanBet` takes bounded numbers whose conditional mean is at most ``null``, whatever their distribution and
  dependence else (Waudby-Smith & Ramdas, JRSS B 86, 2024, eq. 26 with the bets of their appendix B.2).
- :class:`RateBet` takes hits among events that come with a rate at most (or at least) ``null``. It mixes likelihood
  ratios over alternatives (Robbins, Ann. Math. Stat. 41, 1970). Hits that come in clumps are counted as fewer events,
  by a design effect.
"""

from __future__ import annotations

import math

import msgspec

_STAKE = 0.5
"""Most of the capital that one bet puts at risk; all of it could be lost for good."""
_PRIOR = 1.0
"""Observations that the first guesses of mean and variance count as."""
_LOG_MAX = 700.0
_RATIOS = (1.25, 1.6, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0)
"""Alternatives of :class:`RateBet`, as multiples of the null; their inverses, and none at all, where it is ``low``."""


class MeanBet(msgspec.Struct):
    """Bets that the mean of numbers in ``[low, high]`` is above ``null``.

    Attributes:
        low, high: bounds; what lies beyond is taken for the bound.
        null: the largest mean of the hypothesis.
        log_capital: nats.
        n, total, squares: numbers so far, and the sums that the bets are made from.

    >>> bet = MeanBet(-1.0, 1.0, 0.0)
    >>> for x in [0.5, 0.4, 0.6, 0.5] * 4:
    ...     bet.take(x)
    >>> bet.e_value > 20
    True
    """

    low: float
    high: float
    null: float
    log_capital: float = 0.0
    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def take(self, x: float) -> None:
        """One more number; raises ValueError where it is none."""
        if math.isnan(x):
            raise ValueError("not a number")
        x = min(max(x, self.low), self.high)
        gain = self._stake() * (x - self.null)
        self.log_capital += math.log1p(gain)
        self.n, self.total = self.n + 1, self.total + x
        self.squares += (x - self.mean) ** 2

    @property
    def mean(self) -> float:
        """Of the numbers so far, drawn towards the null as by one observation."""
        return (self.total + _PRIOR * self.null) / (self.n + _PRIOR)

    @property
    def e_value(self) -> float:
        """The capital, of one at the beginning."""
        return math.exp(min(self.log_capital, _LOG_MAX))

    def _stake(self) -> float:
        """What is bet on the next number, from those before it: about as much as makes the capital grow fastest."""
        width = self.high - self.low
        variance = (self.squares + _PRIOR * width * width / 4.0) / (self.n + _PRIOR)
        edge = self.mean - self.null
        most = _STAKE / (self.null - self.low) if self.null > self.low else math.inf
        return min(max(edge / (variance + edge * edge), 0.0), most)


class RateBet(msgspec.Struct):
    """Bets that hits come more often than ``null`` (``side = "high"``), or more rarely (``"low"``).

    Attributes:
        null: largest, or smallest, rate of the hypothesis, in (0, 1).
        side: ``high`` or ``low``.
        design: how many events count as one independent one, 1 or more.
        hits, events: so far.

    >>> silent, loud = RateBet(0.008, "low"), RateBet(0.0125, "high")
    >>> silent.take(0, 2_000), loud.take(40, 800)
    (None, None)
    >>> silent.e_value > 1_000, loud.e_value > 1_000
    (True, True)
    """

    null: float
    side: str
    design: float = 1.0
    hits: float = 0.0
    events: float = 0.0

    def take(self, hits: int, events: int) -> None:
        """So many hits among so many more events."""
        self.hits += hits / self.design
        self.events += events / self.design

    @property
    def e_value(self) -> float:
        """Mean of the likelihood ratios of the alternatives."""
        logs = [self._log_ratio(rate) for rate in self._alternatives()]
        most = max(logs)
        mean = sum(math.exp(log - most) for log in logs) / len(logs)
        return math.exp(min(most + math.log(mean), _LOG_MAX))

    def _alternatives(self) -> list[float]:
        if self.side == "low":
            return [0.0, *(self.null / ratio for ratio in _RATIOS)]
        return [min(self.null * ratio, (1.0 + self.null) / 2.0) for ratio in _RATIOS]

    def _log_ratio(self, rate: float) -> float:
        misses = (self.events - self.hits) * math.log((1.0 - rate) / (1.0 - self.null))
        if not self.hits:
            return misses
        return misses + self.hits * math.log(rate / self.null) if rate else -math.inf
