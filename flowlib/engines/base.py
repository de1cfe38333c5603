"""The interface of an engine, and its comparison with the flow before it scores anything: with eager PyTorch where
there is a module, with NumPy in float64 where there are stored weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowlib.errors import EngineError
from flowlib.layouts import Layout
from flowlib.table import Singles

ROWS = 512
"""Rows of the fixed shape of :class:`Padded` engines."""

PARITY_NATS = 1e-4
"""Largest accepted difference from the flow in a row's log-likelihood, nats."""

_WARM_UP_CALLS = 6


class Source(Protocol):
    """What an engine is made of: a :class:`flowlib.flows.Flow`, or stored :class:`flowlib.weights.Weights`."""

    @property
    def d(self) -> int:
        """Features."""

    @property
    def context(self) -> int:
        """Conditioning columns."""

    @property
    def layouts(self) -> list[Layout] | None:
        """Its blocks, where it is made of blocks."""

    @property
    def arrays(self) -> Mapping[str, Any]:
        """Its weights."""

    @property
    def each(self) -> Sequence[Source]:
        """Members of an ensemble."""

    def evaluate(self, features: Singles, context: Singles) -> tuple[Any, Any]:
        """z and ladj of rows."""


class Engine(ABC):
    """A flow made ready for scoring.

    ``engine(features, context)`` takes ``(n, d)`` and ``(n, c)`` float32 in C order, without NaN, and gives
    ``z (n, d)`` and ``ladj (n, d)`` float32. A row's result is the same bits whatever rows are beside it.

    Attributes:
        name: of the registry.
        d: features.
        context: conditioning columns.
        dropped: engines that :func:`flowlib.engines.build` tried and does not use, with the reason.
    """

    name: str

    def __init__(self, d: int, context: int) -> None:
        self.d, self.context = d, context
        self.dropped: dict[str, str] = {}

    def __call__(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        """Score n rows; raises ValueError where shapes or types are not the flow's."""
        if features.ndim != 2 or features.shape[1] != self.d or context.shape != (len(features), self.context):
            raise ValueError(
                f"this flow scores {self.d} features given {self.context} context columns, "
                f"got features {features.shape} and context {context.shape}"
            )
        return self._score(np.ascontiguousarray(features, np.float32), np.ascontiguousarray(context, np.float32))

    @abstractmethod
    def _score(self, features: Singles, context: Singles) -> tuple[Singles, Singles]: ...


class Padded(Engine):
    """An engine that runs ``ROWS`` rows at a time, the last ones padded with zeros.

    Matrix products are not batch-invariant: in another shape a row's result would depend on the rows beside it. Hidden
    layers need a width such as 16, 32, 64 or 128: at 8, 10 or 31 a row's place in the shape matters too
    (``flowlib/FINDINGS.md``).
    """

    def _score(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        n = len(features)
        z, ladj = np.empty((n, self.d), np.float32), np.empty((n, self.d), np.float32)
        for start in range(0, n, ROWS):
            m = min(ROWS, n - start)
            x, c = np.zeros((ROWS, self.d), np.float32), np.zeros((ROWS, self.context), np.float32)
            x[:m], c[:m] = features[start : start + m], context[start : start + m]
            z_padded, ladj_padded = self._run(x, c)
            z[start : start + m], ladj[start : start + m] = z_padded[:m], ladj_padded[:m]
        return z, ladj

    @abstractmethod
    def _run(self, x: Singles, context: Singles) -> tuple[Singles, Singles]:
        """``(ROWS, d)`` and ``(ROWS, c)`` to z and ladj."""


def log_prob_of(z: npt.NDArray[Any], ladj: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Log-likelihood of rows less its constant, ``(n,)`` nats."""
    total: npt.NDArray[np.float64] = (ladj.astype(np.float64) - 0.5 * z.astype(np.float64) ** 2).sum(axis=1)
    return total


def example_rows(d: int, context: int, n: int = ROWS) -> tuple[Singles, Singles]:
    """Seeded rows, distributed like encoded ones, ``(n, d)`` and ``(n, c)``."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, d)).astype(np.float32)
    return x, (generator.random((n, context)) < 0.1).astype(np.float32)


def gap_nats(engine: Engine, flow: Source, features: Singles, context: Singles) -> npt.NDArray[np.float64]:
    """Difference of each row's log-likelihood from the flow's, relative where it is beyond one nat, ``(n,)``.

    Far outside of the data a log-likelihood is millions of nats, of which float32 holds seven digits in any form.
    """
    ours, its = log_prob_of(*engine(features, context)), log_prob_of(*flow.evaluate(features, context))
    return np.abs(ours - its) / np.maximum(1.0, np.abs(its))


FAR = 50.0
"""Scale units at which an engine must still be finite: rows this far outside of the data are scored, not refused."""


def check(engine: Engine, flow: Source, bound: float = PARITY_NATS) -> Engine:
    """Warm an engine up, compare it with the flow, and return it.

    Raises:
        EngineError: when it differs by more than ``bound``, or is not finite far out.
    """
    features, context = example_rows(flow.d, flow.context)
    for _ in range(_WARM_UP_CALLS):
        engine(features, context)
    gap = float(gap_nats(engine, flow, features, context).max())
    if not gap <= bound:
        raise EngineError(f"{engine.name} and the flow differ by {gap:.2e} nats, more than {bound:.0e}: it is not used")
    far = np.where(features > 0, np.float32(FAR), np.float32(-FAR))
    if not all(np.isfinite(part).all() for part in engine(far, context)):
        raise EngineError(f"{engine.name} is not finite {FAR:.0f} scale units from the middle: it is not used")
    return engine
