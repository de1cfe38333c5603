"""The interface of an engine, and its comparison with eager PyTorch before it scores anything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from flowlib.errors import EngineError
from flowlib.flows import Flow
from flowlib.table import Singles

ROWS = 512
"""Rows of the fixed shape of :class:`Padded` engines."""

PARITY_NATS = 1e-4
"""Largest accepted difference from eager PyTorch in a row's log-likelihood, nats."""

_WARM_UP_CALLS = 6


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


class ModuleEngine(Padded):
    """A callable on tensors, run in the fixed shape."""

    def __init__(self, name: str, module: Any, d: int, context: int, device: str = "cpu") -> None:
        super().__init__(d, context)
        self.name, self._module, self._device = name, module, device

    def _run(self, x: Singles, context: Singles) -> tuple[Singles, Singles]:
        with torch.inference_mode():
            z, ladj = self._module(torch.from_numpy(x).to(self._device), torch.from_numpy(context).to(self._device))
            return z.cpu().numpy(), ladj.cpu().numpy()


def log_prob_of(z: npt.NDArray[Any], ladj: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Log-likelihood of rows less its constant, ``(n,)`` nats."""
    total: npt.NDArray[np.float64] = (ladj.astype(np.float64) - 0.5 * z.astype(np.float64) ** 2).sum(axis=1)
    return total


def example_rows(d: int, context: int, n: int = ROWS) -> tuple[Singles, Singles]:
    """Seeded rows, distributed like encoded ones, ``(n, d)`` and ``(n, c)``."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    return x.numpy(), (torch.rand(n, context, generator=generator) < 0.1).float().numpy()


def eager_of(flow: Flow, features: Singles, context: Singles) -> tuple[Singles, Singles]:
    """z and ladj by eager PyTorch."""
    with torch.inference_mode():
        z, ladj = flow(torch.from_numpy(features), torch.from_numpy(context))
        return z.numpy(), ladj.numpy()


def gap_nats(engine: Engine, flow: Flow, features: Singles, context: Singles) -> npt.NDArray[np.float64]:
    """Difference of each row's log-likelihood from eager PyTorch, relative where it is beyond one nat, ``(n,)``.

    Far outside of the data a log-likelihood is millions of nats, of which float32 holds seven digits in any form.
    """
    ours, eager = log_prob_of(*engine(features, context)), log_prob_of(*eager_of(flow, features, context))
    return np.abs(ours - eager) / np.maximum(1.0, np.abs(eager))


FAR = 50.0
"""Scale units at which an engine must still be finite: rows this far outside of the data are scored, not refused."""


def check(engine: Engine, flow: Flow, bound: float = PARITY_NATS) -> Engine:
    """Warm an engine up, compare it with eager PyTorch, and return it.

    Raises:
        EngineError: when it differs by more than ``bound``, or is not finite far out.
    """
    features, context = example_rows(flow.d, flow.context)
    for _ in range(_WARM_UP_CALLS):
        engine(features, context)
    gap = float(gap_nats(engine, flow, features, context).max())
    if not gap <= bound:
        raise EngineError(f"{engine.name} and eager differ by {gap:.2e} nats, more than {bound:.0e}: it is not used")
    far = np.where(features > 0, np.float32(FAR), np.float32(-FAR))
    if not all(np.isfinite(part).all() for part in engine(far, context)):
        raise EngineError(f"{engine.name} is not finite {FAR:.0f} scale units from the middle: it is not used")
    return engine
