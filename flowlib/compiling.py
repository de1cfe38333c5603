"""The only file that says ``torch.jit``: a flow compiled for scoring, checked against eager before it is used.

Rows are scored in one fixed, padded shape: matrix products are not batch-invariant, so in any other way a row's result
would depend on how events arrived.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from flowlib.flows import Flow

Singles = npt.NDArray[np.float32]

ROWS = 512
PARITY_NATS = 1e-4
_WARM_UP_CALLS = 6


class CompileError(RuntimeError):
    """The compiled flow does not agree with the eager one."""


class Engine:
    """A compiled flow. ``engine(features, context)`` → ``z (n, d)`` and ``ladj (n, d)``, float32."""

    def __init__(self, module: Any, d: int, context: int) -> None:
        self._module = module
        self._x = torch.zeros(ROWS, d)
        self._context = torch.zeros(ROWS, context)

    def __call__(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        """Score n rows, ``(n, d)`` and ``(n, c)``, in chunks of the fixed shape."""
        n = len(features)
        z, ladj = (np.empty(features.shape, dtype=np.float32) for _ in range(2))
        with torch.inference_mode():
            for start in range(0, n, ROWS):
                m = min(ROWS, n - start)
                x, c = self._x.clone(), self._context.clone()
                x[:m] = torch.from_numpy(np.ascontiguousarray(features[start : start + m]))
                c[:m] = torch.from_numpy(np.ascontiguousarray(context[start : start + m]))
                out, part = self._module(x, c)
                z[start : start + m], ladj[start : start + m] = out[:m].numpy(), part[:m].numpy()
        return z, ladj


def compile_flow(flow: Flow) -> Engine:
    """Script, freeze and warm up a flow.

    Raises:
        CompileError: when the result differs from eager by more than 1e-4 nats on seeded rows.
    """
    baked = flow.bake().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.freeze(torch.jit.script(baked))
    engine = Engine(module, flow.d, flow.context)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, flow.d, generator=generator)
    c = (torch.rand(ROWS, flow.context, generator=generator) < 0.1).float()
    for _ in range(_WARM_UP_CALLS):
        z, ladj = engine(x.numpy(), c.numpy())
    with torch.inference_mode():
        z_eager, ladj_eager = flow(x, c)
    nll = (0.5 * z.astype(np.float64) ** 2 - ladj).sum(1)
    eager = (0.5 * z_eager.double() ** 2 - ladj_eager).sum(1)
    # Relative beyond one nat: on rows far outside the data both forms lose the same float32 digits.
    gap = float((np.abs(nll - eager.numpy()) / np.maximum(1.0, np.abs(nll))).max())
    if not gap <= PARITY_NATS:
        raise CompileError(
            f"compiled and eager differ by {gap:.2e}, more than {PARITY_NATS:.0e}: the model is not used"
        )
    return engine
