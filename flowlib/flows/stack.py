"""Flows made of blocks, one after the other: autoregressive or coupling, with any transform of one feature."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from flowlib.flows.base import Flow
from flowlib.flows.nets import MaskedLinear, bake, masked_net
from flowlib.flows.transforms import Affine, RationalQuadratic
from flowlib.layouts import Layout

Transform = Affine | RationalQuadratic


class AutoregressiveBlock(nn.Module):
    """Every feature transformed given those before it in an order: ``z_i = t(x_i; net(x_<i, context))``."""

    def __init__(self, net: nn.Sequential, transform: Transform, order: Tensor) -> None:
        super().__init__()
        self.net, self.transform = net, transform
        self.places: list[int] = torch.argsort(order).tolist()
        self.order = nn.Buffer(order, persistent=False)
        self.d = len(order)
        self.each: int = transform.parameters_each

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, d), (n, c)`` → ``z (n, d)`` and ``ladj (n, d)``."""
        out = self.net(torch.cat((x, context), dim=1))
        z, ladj = self.transform(x, out.view(-1, self.each, self.d))
        return z, ladj

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """``(n, d), (n, c)`` → ``x (n, d)``; d passes through the net."""
        x = torch.zeros_like(z)
        for i in self.places:
            out = self.net(torch.cat((x, context), dim=1)).view(-1, self.each, self.d)
            x[:, i : i + 1] = self.transform.inverse(z[:, i : i + 1], out[:, :, i : i + 1])
        return x

    def baked(self) -> AutoregressiveBlock:
        """The same block with masks folded in."""
        return AutoregressiveBlock(bake(self.net), self.transform, self.order)


class CouplingBlock(nn.Module):
    """Some features transformed given the others, which stay: ``z_B = t(x_B; net(x_A, context))``, ``z_A = x_A``.

    Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", arXiv 1605.08803, eq. 4-5.
    """

    def __init__(self, net: nn.Sequential, transform: Transform, keep: Tensor) -> None:
        super().__init__()
        self.net, self.transform = net, transform
        self.changed = nn.Buffer(torch.nonzero(~keep).squeeze(1), persistent=False)
        self.order = nn.Buffer((~keep).long(), persistent=False)
        self.m = int((~keep).sum())
        self.each: int = transform.parameters_each

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, d), (n, c)`` → ``z (n, d)`` and ``ladj (n, d)``, 0 where a feature stays."""
        out = self.net(torch.cat((x, context), dim=1)).view(-1, self.each, self.m)
        z, ladj = self.transform(x.index_select(1, self.changed), out)
        return x.index_copy(1, self.changed, z), torch.zeros_like(x).index_copy(1, self.changed, ladj)

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """``(n, d), (n, c)`` → ``x (n, d)``; one pass."""
        out = self.net(torch.cat((z, context), dim=1)).view(-1, self.each, self.m)
        return z.index_copy(1, self.changed, self.transform.inverse(z.index_select(1, self.changed), out))

    def baked(self) -> CouplingBlock:
        """The same block with masks folded in."""
        return CouplingBlock(bake(self.net), self.transform, self.order == 0)


Block = AutoregressiveBlock | CouplingBlock


class Blocks(nn.Module):
    """Blocks one after the other, their log-Jacobians summed. By itself the inference form of a :class:`Stack`.

    Attributes:
        blocks: applied in this order.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Flow.forward`."""
        ladj = torch.zeros_like(x)
        for block in self.blocks:
            x, part = block(x, context)
            ladj = ladj + part
        return x, ladj


class Stack(Blocks, Flow):
    """A flow made of blocks; families differ in how they make them.

    Attributes:
        blocks: each with ``net``, ``transform`` and ``order``: a feature depends on features of a lower place only.
        hidden, layers: width and number of hidden layers of each block's net.
    """

    def __init__(self, d: int, context: int, blocks: Sequence[Block], hidden: int, layers: int) -> None:
        super().__init__(blocks)
        self.d, self.context, self.hidden, self.layers = d, context, hidden, layers

    @property
    def layouts(self) -> list[Layout]:
        """See :attr:`Flow.layouts`."""
        return [_layout(block) for block in self.chain]

    @property
    def chain(self) -> list[Block]:
        """The blocks, typed."""
        return [block for block in self.blocks if isinstance(block, AutoregressiveBlock | CouplingBlock)]

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """See :meth:`Flow.inverse`."""
        for block in reversed(self.chain):
            z = block.inverse(z, context)
        return z

    def bake(self) -> nn.Module:
        """The same function with masks multiplied into the weights, for scripting."""
        return Blocks([block.baked() for block in self.chain])

    def hyperparameters(self) -> dict[str, int]:
        """See :meth:`Flow.hyperparameters`."""
        return {
            "d": self.d,
            "context": self.context,
            "blocks": len(self.blocks),
            "hidden": self.hidden,
            "layers": self.layers,
        }


def chain_of(layouts: Sequence[Layout], generator: torch.Generator) -> list[Block]:
    """Fresh blocks."""
    return [_block(layout, masked_net(layout.masks, generator)) for layout in layouts]


def _block(layout: Layout, net: nn.Sequential) -> Block:
    transform = RationalQuadratic(layout.bins) if layout.bins else Affine()
    order = torch.from_numpy(layout.order)
    return CouplingBlock(net, transform, order == 0) if layout.coupling else AutoregressiveBlock(net, transform, order)


def _layout(block: Block) -> Layout:
    masks = tuple(layer.mask.numpy() != 0 for layer in block.net if isinstance(layer, MaskedLinear))
    bins = block.transform.bins if isinstance(block.transform, RationalQuadratic) else 0
    return Layout(block.order.numpy(), masks, bins, isinstance(block, CouplingBlock))
