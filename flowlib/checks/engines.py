"""Checks of an engine: parity with eager PyTorch, the same bits in any batch, extremes, and its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowlib.checks.examples import require
from flowlib.engines import PARITY_NATS, ROWS, Builder, Engine
from flowlib.engines.base import FAR, gap_nats
from flowlib.flows import Flow
from flowlib.table import Singles

Z_BOUND = 1e-4
"""Largest difference of z from eager PyTorch, relative where z is beyond 1."""


def check_engine(make: Builder, flow: Flow) -> None:
    """Every one of :data:`ENGINE_CHECKS` on the engine of a flow, which building must leave unchanged.

    Args:
        make: builds the engine.
        flow: in evaluation mode, single precision.

    Raises:
        AssertionError: a sentence on the first fault.
    """
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    engine = make(flow)
    after = flow.state_dict()
    changed = [name for name, value in before.items() if not value.equal(after[name])]
    require(not changed, f"building the engine changed {', '.join(changed)} of the flow: it must work on a copy")
    for check in ENGINE_CHECKS:
        check(engine, flow)


def example_singles(flow: Flow, n: int) -> tuple[Singles, Singles]:
    """Seeded features ``(n, d)`` and context ``(n, c)`` in single precision."""
    generator = np.random.default_rng(7)
    features = generator.standard_normal((n, flow.d)).astype(np.float32)
    return features, (generator.random((n, flow.context)) < 0.3).astype(np.float32)


def check_parity(engine: Engine, flow: Flow) -> None:
    """Log-likelihoods and z are those of eager PyTorch, for any number of rows."""
    for n in (0, 1, 7, ROWS - 1, ROWS + 1):
        features, context = example_singles(flow, n)
        z, ladj = engine(features, context)
        for name, part in {"z": z, "ladj": ladj}.items():
            right = part.shape == features.shape and part.dtype == np.float32
            require(right, f"{name} is {part.dtype} {part.shape}, expected float32 {features.shape}")
        gap = float(gap_nats(engine, flow, features, context).max(initial=0.0))
        require(
            gap <= PARITY_NATS, f"{n} rows differ from eager PyTorch by up to {gap:.1e} nats, more than {PARITY_NATS}"
        )
        eager, _ = flow.evaluate(features, context)
        gap = float((np.abs(z - eager) / np.maximum(1.0, np.abs(eager))).max(initial=0.0))
        require(gap <= Z_BOUND, f"z of {n} rows differs from eager PyTorch by up to {gap:.1e}, more than {Z_BOUND}")


def check_batches(engine: Engine, flow: Flow) -> None:
    """A row's result is the same bits, whatever rows are beside it."""
    features, context = example_singles(flow, 2 * ROWS + 76)
    whole = engine(features, context)
    generator = np.random.default_rng(7)
    for n in (1, 2, 3, 5, 7, 97, ROWS - 1, ROWS, ROWS + 1):
        rows = generator.permutation(len(features))[:n]
        for name, part, full in zip(("z", "ladj"), engine(features[rows], context[rows]), whole, strict=True):
            different = int((part != full[rows]).any(axis=1).sum())
            require(
                not different, f"{different} of {n} rows have other bits of {name} than beside all {len(features)} rows"
            )


def check_extremes(engine: Engine, flow: Flow) -> None:
    """Rows fifty scale units out have finite results, as near to eager PyTorch as single precision allows."""
    features, context = example_singles(flow, 64)
    features[::2] = np.where(features[::2] > 0, np.float32(FAR), np.float32(-FAR))
    finite = all(np.isfinite(part).all() for part in engine(features, context))
    require(finite, f"results are not finite {FAR:.0f} scale units out")
    gap, bound = float(gap_nats(engine, flow, features, context).max()), 10 * PARITY_NATS
    require(
        gap <= bound,
        f"{FAR:.0f} scale units out rows differ by {gap:.1e} of their log-likelihood, more than {bound:.0e}",
    )


def check_shapes(engine: Engine, flow: Flow) -> None:
    """Arrays of another shape raise ValueError."""
    d, context = flow.d, flow.context
    for shapes in (
        ((4, d + 1), (4, context)),
        ((4, d), (3, context)),
        ((4, d), (4, context + 1)),
        ((d,), (1, context)),
    ):
        try:
            engine(*(np.zeros(shape, np.float32) for shape in shapes))
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(f"shapes {shapes} raise {type(error).__name__}, expected ValueError") from error
        raise AssertionError(f"shapes {shapes} are scored by an engine of {d} features and {context} context columns")


def check_layouts(engine: Engine, flow: Flow) -> None:
    """Arrays in another memory order or in double precision give the same bits."""
    features, context = example_singles(flow, 9)
    expected = engine(features, context)
    layouts: dict[str, Any] = {
        "in Fortran order": np.asfortranarray(features),
        "in double precision": features.astype(np.float64),
        "with a stride": np.repeat(features, 2, axis=0)[::2],
    }
    for layout, same in layouts.items():
        equal = all(np.array_equal(ours, theirs) for ours, theirs in zip(engine(same, context), expected, strict=True))
        require(equal, f"features {layout} have other results than in C order")


ENGINE_CHECKS: tuple[Callable[[Engine, Flow], None], ...] = (
    check_parity,
    check_batches,
    check_extremes,
    check_shapes,
    check_layouts,
)
