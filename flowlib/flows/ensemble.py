"""Ensemble: the mean of the densities of several flows.

``log p(x) = log (1/m Σ_k p_k(x))`` (Lakshminarayanan, Pritzel & Blundell, "Simple and Scalable Predictive Uncertainty
Estimation using Deep Ensembles", arXiv 1612.01474, section 2.4, with densities). Members see the same batches, and each
is trained as if it were alone: the objective is the mean of their log-densities.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from flowlib import layouts
from flowlib.flows.affine_coupling import AffineCoupling
from flowlib.flows.base import Flow
from flowlib.flows.maf import Maf
from flowlib.flows.spline_autoregressive import SplineAutoregressive
from flowlib.flows.spline_coupling import SplineCoupling
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.plain import Z_LIMIT

_CLASSES: tuple[Callable[..., Flow], ...] = (Maf, SplineAutoregressive, SplineCoupling, AffineCoupling)
"""Those of :data:`flowlib.layouts.MEMBERS`."""

DEFAULT_MEMBERS = 0b0111
"""MAF and both splines (``flowlib/FINDINGS.md``)."""


def combine(zs: list[Tensor], ladjs: list[Tensor], half_log_two_pi: float, limit: float) -> tuple[Tensor, Tensor]:
    """One z and ladj ``(n, d)`` from those of m members; see :class:`Ensemble`."""
    ladj, every = torch.stack(ladjs), torch.stack(zs)
    parts = ladj - 0.5 * every * every - half_log_two_pi  # (m, n, d)
    totals = parts.sum(dim=2)
    mean = torch.logsumexp(totals, dim=0) - math.log(len(zs))
    weighted = (torch.softmax(totals, dim=0).unsqueeze(2) * parts).sum(dim=0)
    rest = (mean - weighted.sum(dim=1)) / weighted.shape[1]
    z = torch.clamp(zs[0], -limit, limit)
    return z, weighted + rest.unsqueeze(1) + 0.5 * z * z + half_log_two_pi


class BakedEnsemble(nn.Module):
    """Inference form of :class:`Ensemble`."""

    def __init__(self, flows: list[nn.Module]) -> None:
        super().__init__()
        self.flows = nn.ModuleList(flows)
        self.half_log_two_pi, self.limit = HALF_LOG_TWO_PI, Z_LIMIT

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Flow.forward`."""
        zs: list[Tensor] = []
        ladjs: list[Tensor] = []
        for flow in self.flows:
            z, ladj = flow(x, context)
            zs.append(z)
            ladjs.append(ladj)
        return combine(zs, ladjs, self.half_log_two_pi, self.limit)


class Ensemble(Flow):
    """Equally weighted mixture of flows of several families.

    A mixture of bijections is not a bijection. z is that of the first member (MAF by default), kept within ±30: z and
    its PIT say where a value lies under that member alone. The parts are the members' parts, each member weighted by
    its share of the density at x, plus one d-th of the rest of the logarithm of the mean (between −log m and 0). ladj
    is not the Jacobian of z; Σ_j (ladj_j − ½z_j² − ½log 2π) is exactly that logarithm. ``inverse`` is the first
    member's.
    """

    bijective = False

    def __init__(
        self,
        d: int,
        context: int,
        generator: torch.Generator,
        members: int = DEFAULT_MEMBERS,
        blocks: int = 0,
        hidden: int | None = None,
        layers: int = 2,
    ) -> None:
        """Members are the bits of :data:`flowlib.layouts.MEMBERS`; 0 blocks are each family's own default."""
        super().__init__()
        if not 0 < members < 2 ** len(_CLASSES):
            raise ValueError(f"members is a set of {len(_CLASSES)} bits, not empty; got {members}")
        self.d, self.context, self.members, self.blocks = d, context, members, blocks
        self.hidden, self.layers = layouts.hidden_units(d, hidden), layers
        settings = {"hidden": self.hidden, "layers": layers} | ({"blocks": blocks} if blocks else {})
        chosen = [family for bit, family in enumerate(_CLASSES) if members >> bit & 1]
        self.flows = nn.ModuleList(family(d, context, generator, **settings) for family in chosen)

    @property
    def each(self) -> list[Flow]:
        """The members, typed."""
        return [flow for flow in self.flows if isinstance(flow, Flow)]

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Flow.forward`."""
        zs, ladjs = zip(*(flow(x, context) for flow in self.each), strict=True)
        return combine(list(zs), list(ladjs), HALF_LOG_TWO_PI, Z_LIMIT)

    def objective(self, x: Tensor, context: Tensor) -> Tensor:
        """``(n,)`` mean of the members' log-densities: each learns the whole."""
        return torch.stack([flow.log_prob(x, context) for flow in self.each]).mean(dim=0)

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """The first member's, ``(n, d)``."""
        return self.each[0].inverse(z, context)

    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`Flow.sample`; exact: each row from a member drawn for it."""
        which = torch.randint(len(self.each), (len(context), 1), generator=generator)
        drawn = torch.stack([flow.sample(context, generator) for flow in self.each])
        return drawn.gather(0, which.expand(-1, self.d).unsqueeze(0)).squeeze(0)

    def bake(self) -> BakedEnsemble:
        """The same function of baked members, for scripting."""
        return BakedEnsemble([flow.bake() for flow in self.each])

    def hyperparameters(self) -> dict[str, int]:
        """See :meth:`Flow.hyperparameters`."""
        return {
            "d": self.d,
            "context": self.context,
            "members": self.members,
            "blocks": self.blocks,
            "hidden": self.hidden,
            "layers": self.layers,
        }
