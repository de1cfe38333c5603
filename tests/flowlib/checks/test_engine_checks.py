"""Every check of an engine fails on an engine with its fault, and passes one without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from flowlib.checks import ENGINE_CHECKS, check_engine, loosened
from flowlib.checks.engines import check_batches, check_extremes, check_layouts, check_parity, check_shapes
from flowlib.engines import Engine, build
from flowlib.flows import Flow, Maf


def a_flow() -> Flow:
    return loosened(Maf(3, 2, torch.Generator().manual_seed(1), blocks=2, hidden=16), 0.1)


class Faulty(Engine):
    """A sound engine, to put faults into."""

    name = "faulty"

    def __init__(self, flow: Flow) -> None:
        super().__init__(flow.d, flow.context)
        self.sound = build(flow, "torchscript")

    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        return self.sound(features, context)


class Off(Faulty):
    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        z, ladj = self.sound(features, context)
        return z, ladj + np.float32(1e-2 / self.d)


class OtherBase(Faulty):
    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        z, ladj = self.sound(features, context)
        return -z, ladj


class DoublePrecision(Faulty):
    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        z, ladj = self.sound(features, context)
        return z.astype(np.float64), ladj


class SeesTheBatch(Faulty):
    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        z, ladj = self.sound(features, context)
        return z, ladj + np.float32(1e-6 * (len(features) % 7))


class Overflows(Faulty):
    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        z, ladj = self.sound(features, context)
        return np.where(np.abs(features) > 40, np.inf, z).astype(np.float32), ladj


class Saturates(Faulty):
    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        z, ladj = self.sound(features, context)
        return np.clip(z, -20, 20), ladj


class TakesAnyShape(Faulty):
    def __call__(self, features: Any, context: Any) -> tuple[Any, Any]:
        return features, features


class RefusesOtherwise(Faulty):
    def __call__(self, features: Any, context: Any) -> tuple[Any, Any]:
        raise RuntimeError("a crash of the kernel")


class ReadsMemory(Faulty):
    def __call__(self, features: Any, context: Any) -> tuple[Any, Any]:
        in_memory = np.frombuffer(features.tobytes("A"), features.dtype).reshape(features.shape)
        return super().__call__(in_memory, context)


FAULTS: list[tuple[Callable[[Engine, Flow], None], type[Faulty], str]] = [
    (check_parity, Off, "1 rows differ from eager PyTorch by up to .* nats, more than 0.0001"),
    (check_parity, OtherBase, "z of 1 rows differs from eager PyTorch"),
    (check_parity, DoublePrecision, r"z is float64 \(0, 3\), expected float32 \(0, 3\)"),
    (check_batches, SeesTheBatch, "rows have other bits of ladj than beside all 1100 rows"),
    (check_extremes, Overflows, "not finite 50 scale units out"),
    (check_extremes, Saturates, "50 scale units out rows differ by"),
    (check_shapes, TakesAnyShape, r"shapes \(\(4, 4\), \(4, 2\)\) are scored"),
    (check_shapes, RefusesOtherwise, "raise RuntimeError, expected ValueError"),
    (check_layouts, ReadsMemory, "features in Fortran order have other results"),
]


@pytest.mark.parametrize(
    ("check", "engine", "match"), FAULTS, ids=[f"{check.__name__}-{engine.__name__}" for check, engine, _ in FAULTS]
)
def test_a_check_finds_its_fault(check: Callable[[Engine, Flow], None], engine: type[Faulty], match: str) -> None:
    flow = a_flow()
    check(Faulty(flow), flow)
    with pytest.raises(AssertionError, match=match):
        check(engine(flow), flow)


def test_every_check_has_a_fault_to_find() -> None:
    assert {check for check, _, _ in FAULTS} == set(ENGINE_CHECKS)


def test_an_engine_is_checked_by_all_of_them() -> None:
    check_engine(Faulty, a_flow())
    with pytest.raises(AssertionError, match="differ from eager"):
        check_engine(Off, a_flow())


def test_an_engine_that_changes_its_flow_is_found() -> None:
    def changing(flow: Flow) -> Engine:
        with torch.no_grad():
            next(flow.parameters()).add_(1.0)
        return Faulty(flow)

    with pytest.raises(AssertionError, match=r"building the engine changed blocks\.0\.net\.0\.weight of the flow"):
        check_engine(changing, a_flow())
