"""Monotone maps of one feature at a time, whose parameters the networks of a flow compute.

Each takes ``x (n, d)`` and ``parameters (n, p, d)``, the p numbers of a feature below each other (so that the loops run
over features, which lie side by side), and gives ``y (n, d)`` and ``log dy/dx (n, d)``. Parameters of 0 mean the
identity. Everything here can be scripted: no boolean indexing, no shapes that depend on values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowlib.layouts import BOUND, MIN_BIN, MIN_SLOPE, SLOPE_ZERO, check_bins, parameters


class Affine(nn.Module):
    """``y = (x − μ)·exp(−s)`` with ``s = 2·tanh(a/2)``: a near 0, and bounded by ±2. Parameters (μ, a)."""

    def __init__(self) -> None:
        super().__init__()
        self.parameters_each = 2

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, d), (n, 2, d)`` → y and log dy/dx, ``(n, d)``."""
        log_scale = 2.0 * torch.tanh(parameters[:, 1] * 0.5)
        return (x - parameters[:, 0]) * torch.exp(-log_scale), -log_scale

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """``(n, d), (n, 2, d)`` → x ``(n, d)``."""
        return y * torch.exp(2.0 * torch.tanh(parameters[:, 1] * 0.5)) + parameters[:, 0]


class RationalQuadratic(nn.Module):
    """Monotone rational-quadratic spline on [−5, 5], the identity outside.

    Gregory & Delbourgo 1982, as in Durkan, Bekasov, Murray & Papamakarios, "Neural Spline Flows", arXiv 1906.04032,
    eq. 4 (map), 5 (derivative) and 6-8 (inverse). Parameters: K widths and K heights (softmax), K − 1 inner derivatives
    (softplus); the outer two are 1, so that map and derivative are continuous where the tails begin.

    Attributes:
        bins: K.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = check_bins(bins)
        self.parameters_each = parameters(bins)
        # Attributes, since a scripted method sees no constants of the module.
        self.bound, self.min_bin, self.min_slope = BOUND, MIN_BIN, MIN_SLOPE
        self.slope_zero = SLOPE_ZERO

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, d), (n, 3K − 1, d)`` → y and log dy/dx, ``(n, d)``."""
        widths, heights, slopes = self._knots(parameters)
        left, width, low, height, d0, d1 = self._bin(x, widths, heights, slopes, widths)
        # Clamped: values outside are replaced below, and neither they nor their gradients may become NaN before that.
        s, t = height / width, torch.clamp((x - left) / width, 0.0, 1.0)
        u = t * (1.0 - t)
        below = s + (d1 + d0 - 2.0 * s) * u
        y = low + height * (s * t * t + d0 * u) / below
        above = d1 * t * t + 2.0 * s * u + d0 * (1.0 - t) * (1.0 - t)
        ladj = 2.0 * torch.log(s) + torch.log(above) - 2.0 * torch.log(below)
        within = torch.abs(x) < self.bound
        return torch.where(within, y, x), torch.where(within, ladj, torch.zeros_like(x))

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """``(n, d), (n, 3K − 1, d)`` → x ``(n, d)``."""
        widths, heights, slopes = self._knots(parameters)
        inside = torch.clamp(y, -self.bound, self.bound)
        left, width, low, height, d0, d1 = self._bin(inside, widths, heights, slopes, heights)
        s, rise = height / width, inside - low
        bend = rise * (d1 + d0 - 2.0 * s)
        a, b, c = height * (s - d0) + bend, height * d0 - bend, -s * rise
        root = torch.sqrt(torch.clamp(b * b - 4.0 * a * c, min=0.0))
        x = left + width * torch.clamp(2.0 * c / (-b - root), 0.0, 1.0)
        return torch.where(torch.abs(y) < self.bound, x, y)

    def _knots(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Widths and heights ``(n, K, d)`` that add up to 2B, slopes at all knots ``(n, K + 1, d)``."""
        bins, span, share = self.bins, 2.0 * self.bound, 1.0 - self.min_bin * self.bins
        widths = span * (self.min_bin + share * torch.softmax(parameters[:, :bins], dim=1))
        heights = span * (self.min_bin + share * torch.softmax(parameters[:, bins : 2 * bins], dim=1))
        slopes = self.min_slope + nn.functional.softplus(parameters[:, 2 * bins :] + self.slope_zero)
        return widths, heights, nn.functional.pad(slopes, [0, 0, 1, 1], value=1.0)

    def _bin(
        self, value: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, along: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Left, width, low, height and both slopes, each ``(n, d)``, of the bin that holds the value along one axis."""
        right, top = torch.cumsum(widths, dim=1) - self.bound, torch.cumsum(heights, dim=1) - self.bound
        ends = torch.cumsum(along, dim=1) - self.bound
        k = (value.unsqueeze(1) >= ends[:, :-1]).sum(dim=1, keepdim=True)
        width, height = widths.gather(1, k), heights.gather(1, k)
        left, low = right.gather(1, k) - width, top.gather(1, k) - height
        d0, d1 = slopes.gather(1, k), slopes.gather(1, k + 1)
        return left.squeeze(1), width.squeeze(1), low.squeeze(1), height.squeeze(1), d0.squeeze(1), d1.squeeze(1)
