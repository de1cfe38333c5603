"""Every check of a flow fails on a flow with its fault, and passes one without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flowlib.checks import FLOW_CHECKS, FlowMaker, check_flow
from flowlib.checks.flows import (
    check_baked,
    check_base_of_samples,
    check_context,
    check_density,
    check_far_out,
    check_gradients,
    check_hyperparameters,
    check_inverse,
    check_jacobian,
    check_sample_seed,
    check_samples,
    check_seed,
    check_single_precision,
    check_smallest,
)
from flowlib.flows import Maf


class Small(Maf):
    """A sound flow, to put faults into."""

    def __init__(self, d: int, context: int, generator: torch.Generator, **settings: Any) -> None:
        super().__init__(d, context, generator, **({"blocks": 2, "hidden": 16} | settings))


class WrongLadj(Small):
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        z, ladj = super().forward(x, context)
        return z, ladj + 0.01


class WrongInverse(Small):
    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        return super().inverse(z, context) + 1e-3


class Deaf(Small):
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x, torch.zeros_like(context))


class Endless(Small):
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        z, ladj = super().forward(x, context)
        return torch.where(x.abs() > 50, torch.inf, z), ladj


class Periodic(Small):
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(torch.sin(x), context)


class Imprecise(Small):
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward((x + 1e6) - 1e6, context)


class OtherBake(Small):
    def bake(self) -> nn.Module:
        return Small(self.d, self.context, torch.Generator().manual_seed(5)).bake()


class Unscriptable(Small):
    def bake(self) -> nn.Module:
        return Expanded(super().bake())


class Expanded(nn.Module):
    """The same function, in a form that TorchScript does not take."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, context: Tensor) -> Any:
        return self.module(**{"x": x, "context": context})


class NeedsContext(Small):
    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        z, ladj = super().forward(x, context)
        return z + 0 * context.mean(dim=1, keepdim=True), ladj


class DrawsTooWide(Small):
    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        return 1.2 * super().sample(context, generator)


class DrawsOnce(Small):
    """One normal draw for all features of a row."""

    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            return self.inverse(torch.randn(len(context), 1, generator=generator).expand(-1, self.d).clone(), context)


class DrawsByItself(Small):
    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(context, torch.Generator().manual_seed(int(torch.randint(2**40, ()))))


class DrawsTheSame(Small):
    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(context, torch.Generator().manual_seed(0))


class DrawsWithoutContext(Small):
    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        return super().sample(torch.zeros_like(context), generator)


class Unseeded(Small):
    def __init__(self, d: int, context: int, generator: torch.Generator, **settings: Any) -> None:
        super().__init__(d, context, torch.Generator().manual_seed(int(torch.randint(2**40, ()))), **settings)


class Seeded(Small):
    def __init__(self, d: int, context: int, generator: torch.Generator, **settings: Any) -> None:
        super().__init__(d, context, torch.Generator().manual_seed(0), **settings)


class Frozen(Small):
    def objective(self, x: Tensor, context: Tensor) -> Tensor:
        return super().objective(x, context).detach()


class Idle(Small):
    def __init__(self, d: int, context: int, generator: torch.Generator, **settings: Any) -> None:
        super().__init__(d, context, generator, **settings)
        self.idle = nn.Parameter(torch.ones(1))


class Turned(Small):
    """Rebuilt it takes features with the other sign."""

    def __init__(self, d: int, context: int, generator: torch.Generator, turned: int = 0, **settings: Any) -> None:
        super().__init__(d, context, generator, **settings)
        self.turned = turned

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(-x if self.turned else x, context)

    def hyperparameters(self) -> dict[str, int]:
        return super().hyperparameters() | {"turned": 1}


class Forgets(Small):
    def hyperparameters(self) -> dict[str, int]:
        return super().hyperparameters() | {"hidden": 9}


class Mistaken(Small):
    def hyperparameters(self) -> dict[str, int]:
        return super().hyperparameters() | {"width": 9}


FAULTS: list[tuple[Callable[[FlowMaker], None], FlowMaker, str]] = [
    (check_jacobian, WrongLadj, r"ladj does not sum to log \|det dz/dx\|"),
    (check_inverse, WrongInverse, "inverse does not undo forward"),
    (check_density, WrongLadj, "one feature integrates to 1.01"),
    (check_context, Deaf, r"does not reach z of features \[0\] of 1"),
    (check_far_out, Endless, "forward is not finite 60 scale units out"),
    (check_far_out, Periodic, "likelier"),
    (check_single_precision, Imprecise, "loses too many digits"),
    (check_baked, OtherBake, r"bake\(\) is another function"),
    (check_baked, Unscriptable, "the flow cannot be compiled: .*keyword-arg expansion is not supported"),
    (check_smallest, NeedsContext, "the flow cannot be compiled: .* differ by nan nats"),
    (check_samples, DrawsTooWide, "samples of one feature do not follow the density"),
    (check_base_of_samples, DrawsTooWide, "z of samples is not standard normal"),
    (check_base_of_samples, DrawsOnce, "z of samples is correlated"),
    (check_sample_seed, DrawsByItself, "the same generator gives other samples"),
    (check_sample_seed, DrawsTheSame, "another generator gives the same samples"),
    (check_sample_seed, DrawsWithoutContext, "another context gives the same samples"),
    (check_seed, Unseeded, "the same generator gives other weights"),
    (check_seed, Seeded, "another generator gives the same weights"),
    (check_gradients, Frozen, "depends on no parameter"),
    (check_gradients, Idle, "no finite gradient for idle"),
    (check_hyperparameters, Forgets, "do not rebuild the flow"),
    (check_hyperparameters, Turned, "rebuild is another function"),
    (check_hyperparameters, Mistaken, "unexpected keyword argument 'width'"),
]


@pytest.mark.parametrize(
    ("check", "flow", "match"), FAULTS, ids=[f"{check.__name__}-{flow.__name__}" for check, flow, _ in FAULTS]
)
def test_a_check_finds_its_fault(check: Callable[[FlowMaker], None], flow: FlowMaker, match: str) -> None:
    check(Small)
    with pytest.raises(AssertionError, match=match):
        check(flow)


def test_every_check_has_a_fault_to_find() -> None:
    assert {check for check, _, _ in FAULTS} == set(FLOW_CHECKS)


def test_a_flow_is_checked_by_all_of_them() -> None:
    check_flow(Small)
    with pytest.raises(AssertionError, match="the same generator gives other weights"):
        check_flow(Unseeded)
