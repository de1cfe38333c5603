"""A flow as it is stored: family, hyperparameters and arrays. PyTorch builds it once something needs the module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flowlib import layouts, plain
from flowlib.layouts import LAYOUTS, Layout
from flowlib.table import Singles

if TYPE_CHECKING:  # PyTorch takes 190 MiB and most of a second
    from flowlib.flows import Flow


@dataclass(frozen=True)
class Weights:
    """A flow that may not have been built.

    Attributes:
        family: of :data:`flowlib.flows.FLOWS`.
        sizes: hyperparameters.
        arrays: of its ``state_dict``, by name.
    """

    family: str
    sizes: Mapping[str, int]
    arrays: Mapping[str, Any]

    @classmethod
    def of(cls, family: str, flow: Flow) -> Weights:
        """Of a flow, whose weights are shared."""
        weights = cls(family, flow.hyperparameters(), flow.arrays)
        weights.__dict__["flow"] = flow
        return weights

    @property
    def d(self) -> int:
        """Features."""
        return self.sizes["d"]

    @property
    def context(self) -> int:
        """Conditioning columns."""
        return self.sizes["context"]

    @cached_property
    def flow(self) -> Flow:
        """The module, by PyTorch.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: there is no such family, or the arrays are not its.
        """
        from flowlib.flows.stored import flow_of

        return flow_of(self.family, self.sizes, self.arrays)

    @cached_property
    def each(self) -> list[Weights]:
        """The members of an ensemble; none of any other family."""
        if self.family != "ensemble":
            return []
        sizes, members = dict(self.sizes), self.sizes["members"]
        del sizes["members"]
        if not sizes["blocks"]:
            del sizes["blocks"]
        families = [family for bit, family in enumerate(layouts.MEMBERS) if members >> bit & 1]
        return [Weights(family, sizes, _part(self.arrays, f"flows.{i}.")) for i, family in enumerate(families)]

    @cached_property
    def layouts(self) -> list[Layout] | None:
        """Its blocks; None where the family is not made of blocks.

        Raises:
            KeyError, TypeError, ValueError: the arrays are not those of such a flow.
        """
        if self.family not in LAYOUTS:
            return None
        blocks = layouts.of(self.family, self.sizes)
        wanted = {name: shape for k, block in enumerate(blocks) for name, shape in _shapes(k, block)}
        found = {name: array.shape for name, array in self.arrays.items()}
        if found != wanted or any(array.dtype != "float32" for array in self.arrays.values()):
            raise ValueError(f"the weights are not those of a flow of family {self.family} and these sizes")
        return blocks

    def check(self) -> Weights:
        """The same; raises as :attr:`flow` does where the arrays are not those of such a flow."""
        for weights in self.each or [self]:
            if weights.layouts is None:
                _ = weights.flow
        if self.each and sum(len(one.arrays) for one in self.each) != len(self.arrays):
            raise ValueError("the weights are not those of an ensemble of these members")
        return self

    def evaluate(self, features: Singles, context: Singles) -> tuple[Any, Any]:
        """z and ladj ``(n, d)`` as exactly as they are at hand: in float64 by NumPy, else by eager PyTorch."""
        if self.each:
            return plain.combined(*zip(*(one.evaluate(features, context) for one in self.each), strict=True))
        if self.layouts is None:
            return self.flow.evaluate(features, context)
        return plain.run(self.layouts, self.arrays, features, context)


def _part(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _shapes(k: int, block: Layout) -> list[tuple[str, tuple[int, ...]]]:
    names = [layouts.layer_names(k, i) for i in range(len(block.masks))]
    shapes = [(mask.shape, mask.shape[:1]) for mask in block.masks]
    return [pair for both in zip(names, shapes, strict=True) for pair in zip(*both, strict=True)]
