"""What an encoder makes of a table: the inputs of a flow."""

from __future__ import annotations

from dataclasses import dataclass

from flowlib.table import Bools, Floats, Ints, Singles


@dataclass(frozen=True)
class Encoded:
    """Model inputs of n rows.

    Attributes:
        features: ``(n, d)`` float32 within the limits, 0 where missing.
        context: ``(n, c)`` float32: d missing indicators, one-hot categories, clock, row of the slice.
        ladj: ``(n, d)`` float64: log |d feature / d raw| + log p(present), or log p(missing) + ½ log 2π where missing.
        tail_nats: ``(n, d)`` float64 ≥ 0, to be subtracted from the log-likelihood of values beyond their limit.
        category_log_prob: ``(n, k)`` float64, smoothed.
        levels: ``(n, k)`` int64 code of each category; one more than the last known level for those never seen.
        codes: ``(n,)`` int64 code of the slice, 0 for never seen or rare.
        missing: ``(n, d)`` bool.
        scorable: ``(n,)`` bool; the other columns mean nothing where it is False.
    """

    features: Singles
    context: Singles
    ladj: Floats
    tail_nats: Floats
    category_log_prob: Floats
    levels: Ints
    codes: Ints
    missing: Bools
    scorable: Bools

    @property
    def has_tails(self) -> bool:
        """Whether a value lies beyond its limit."""
        rows = self.tail_nats if self.tail_nats.strides[0] else self.tail_nats[:1]  # one row may stand for all
        return bool(rows.any())
