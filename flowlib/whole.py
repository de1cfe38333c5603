"""A whole density as one ONNX graph: raw numbers in, log-likelihood, surprise and p-value out.

Encoder and calibration are computed in float64 as NumPy computes them, the flow in float32 as every engine does. The
graph is a function of each row alone, and goes behind others, such as a scikit-learn pipeline that skl2onnx has
converted (``onnx.compose.merge_models``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flowlib.calibration import Calibration
from flowlib.density import Density
from flowlib.encoder.columns import Asinh, ColumnMap, Log, Quantile, Standard
from flowlib.encoder.fitting import LIMIT_MAX
from flowlib.engines.onnx import check_int8, graph_of, quantize, session
from flowlib.errors import EngineError
from flowlib.gaussians import Gaussians
from flowlib.margins import Margins
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.table import Floats, Ints, Singles, Table

INPUTS, OUTPUTS = ("rows", "levels", "beside"), ("log_prob", "surprise", "p_value")

_ROUNDING = 1e-12
_DRAWN = 512
"""Rows that int8 is held to."""
_LARGEST = float(np.finfo(np.float32).max)

Mapped = Callable[[Tensor], tuple[Tensor, Tensor]]


def export_density(density: Density, int8: bool = False) -> bytes:
    """A density as the bytes of an ONNX graph, for any number of rows, or with int8 weights for one row at a time.

    Inputs: ``rows`` ``(n, d)`` float64, NaN for missing; where there are categories ``levels`` ``(n, k)`` int64, their
    codes by ``density.encoder.levels``, one more than the last for others; where the context has a clock or slices
    ``beside`` ``(n, c)`` float32, the encoder's context after the categories. Outputs ``(n,)`` float64: ``log_prob``
    (−∞ where a row cannot be scored), ``surprise`` (∞ there) and ``p_value`` (the smallest one there), that of all
    slices together. Ties among calibration rows count half where the model draws for them.

    Raises:
        EngineError: where the ``edge`` extra is not installed, int8 has nothing to take or is over 0.1 nats off on
            average.
    """
    whole, n = _Whole(density), 1 if int8 else 2
    d, k, c = whole.widths
    example = torch.zeros(n, d, dtype=torch.float64), torch.zeros(n, k, dtype=torch.int64), torch.zeros(n, c)
    graph = graph_of(whole, example, INPUTS, OUTPUTS, fixed=int8)
    graph = _without(quantize(graph) if int8 else graph, [*["levels"] * (not k), *["beside"] * (not c)])
    if int8:
        _check_int8(density, graph)
    return graph


def _check_int8(density: Density, graph: bytes) -> None:
    """Raises EngineError where log-likelihoods are too far off on average, on rows drawn from the density."""
    table = density.sample(_DRAWN, seed=0)
    scores, log_prob = density.score(table), run_alone(graph, *inputs_of(density, table))[0]
    ok = scores.scorable
    check_int8(float(np.abs(log_prob - scores.log_prob)[ok].mean()))


def _without(graph: bytes, unused: Sequence[str]) -> bytes:
    """The graph without inputs that have no columns: the exporter keeps them, and a pipeline has nothing for them."""
    import onnx  # optional, of the ``edge`` extra

    model = onnx.load_from_string(graph)
    for node in [node for node in model.graph.input if node.name in unused]:
        model.graph.input.remove(node)
    return bytes(model.SerializeToString())


def run_whole(graph: bytes, rows: Floats, levels: Ints | None = None, beside: Singles | None = None) -> tuple[Any, ...]:
    """``log_prob``, ``surprise`` and ``p_value`` ``(n,)`` by ONNX Runtime, of a graph of :func:`export_density`.

    Raises:
        EngineError: where the ``edge`` extra is not installed.
    """
    running, given = session(graph), {"rows": rows, "levels": levels, "beside": beside}
    return tuple(running.run(list(OUTPUTS), {node.name: given[node.name] for node in running.get_inputs()}))


def run_alone(graph: bytes, rows: Floats, levels: Ints | None = None, beside: Singles | None = None) -> tuple[Any, ...]:
    """As :func:`run_whole`, a row at a time, as a graph with int8 weights takes them."""
    running = session(graph)
    given: dict[str, Any] = {"rows": rows, "levels": levels, "beside": beside}
    names = [node.name for node in running.get_inputs()]
    parts = [running.run(list(OUTPUTS), {name: given[name][i : i + 1] for name in names}) for i in range(len(rows))]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def inputs_of(density: Density, table: Table) -> tuple[Floats, Ints, Singles]:
    """``rows``, ``levels`` and ``beside`` of a table, as the graph of :func:`export_density` takes them."""
    encoded, beside = density.encoder.encode(table), widths(density)[2]
    return table.numeric.astype(np.float64), encoded.levels, encoded.context[:, encoded.context.shape[1] - beside :]


def gap_nats(density: Density, graph: bytes, table: Table) -> float:
    """Largest difference in log-likelihood between a graph and the density, over the rows of a table.

    Raises:
        EngineError: they score other rows, or the ``edge`` extra is not installed.
    """
    scores, (log_prob, *_) = density.score(table), run_whole(graph, *inputs_of(density, table))
    if not np.array_equal(np.isfinite(log_prob), scores.scorable):
        raise EngineError("the graph scores other rows than the model")
    return float(np.abs(log_prob - scores.log_prob)[scores.scorable].max(initial=0.0))


def widths(density: Density) -> tuple[int, int, int]:
    """Columns of rows, levels and what is beside."""
    encoder = density.encoder
    d, k = len(encoder.spec.numeric), len(encoder.levels)
    return d, k, encoder.context_width - d - sum(len(levels) + 1 for levels in encoder.levels)


class _Whole(nn.Module):
    """As :meth:`flowlib.density.Density.score`, in operations that ONNX Runtime has for float64."""

    def __init__(self, density: Density) -> None:
        super().__init__()
        self.widths = widths(density)
        encoder = density.encoder
        self.flow, self.beside = density.flow.bake(), density.calibration.beside
        self.maps = [(torch.from_numpy(columns), _map_of(column_map)) for columns, column_map in encoder.maps]
        self.order = torch.argsort(torch.cat([columns for columns, _ in self.maps]))
        self.limit = _doubles(encoder.limit)
        self.log_missing = _doubles(np.log(encoder.missing_share) + HALF_LOG_TWO_PI)
        self.log_present = _doubles(np.log1p(-encoder.missing_share))
        self.level_log_prob = [_doubles(one) for one in encoder.level_log_prob]
        self.calibrated = _Calibrated(density.calibration)

    def forward(self, rows: Tensor, levels: Tensor, beside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See :func:`export_density`."""
        missing = torch.isnan(rows)
        finite = ~missing & (torch.abs(rows) <= _LARGEST)
        scorable = (finite | missing).all(dim=1) & ~missing.all(dim=1)
        value, slope = self._map(torch.where(finite, rows, 0.0))
        beside_ladj = torch.where(missing, self.log_missing, slope + self.log_present)
        value = torch.where(missing | ~scorable[:, None], 0.0, value)
        of_levels, one_hot = self._levels(levels)
        beside_it = [beside] if self.widths[2] else []
        features = torch.clamp(value, -self.limit, self.limit).float()
        z, ladj = self.flow(features, torch.cat([missing.float(), *one_hot, *beside_it], 1))
        tails = _tail_nats(value, self.limit)
        wide = z.double()
        far = torch.sign(features.double()) * torch.sqrt(wide * wide + 2.0 * tails)
        pushed = torch.where(tails > 0, far, wide)
        numeric = ladj.double() - 0.5 * pushed * pushed - HALF_LOG_TWO_PI + beside_ladj
        log_prob = numeric.sum(dim=1) + of_levels
        ok = scorable & (torch.abs(log_prob) < torch.inf)
        safe = torch.where(ok, log_prob, 0.0)
        base = torch.where(missing | ~ok[:, None], 0.0, pushed).float().double()
        apart = [self._distance(one, rows, finite, features, tails) - of_levels for one in self.beside]
        distance = apart or [(base * base).sum(dim=1)]
        surprise, p_value = self.calibrated(safe, [torch.where(ok, one, 0.0) for one in distance])
        return (
            torch.where(ok, log_prob, -torch.inf),
            torch.where(ok, surprise, torch.inf),
            torch.where(ok, p_value, self.calibrated.floor),
        )

    def _map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = [mapped(x[:, columns]) for columns, mapped in self.maps]
        value, slope = (torch.cat([part[i] for part in parts], 1) for i in (0, 1))
        return value[:, self.order], slope[:, self.order]

    def _levels(self, levels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Log-probability of the categories, and their one-hot columns."""
        if not self.level_log_prob:
            return torch.zeros(1, dtype=torch.float64), []
        codes = [torch.clamp(levels[:, k], 0, len(of) - 1) for k, of in enumerate(self.level_log_prob)]
        total = torch.stack([of[code] for of, code in zip(self.level_log_prob, codes, strict=True)]).sum(dim=0)
        return total, [
            (code[:, None] == torch.arange(len(of))[None]).float()
            for of, code in zip(self.level_log_prob, codes, strict=True)
        ]

    def _distance(
        self, one: Margins | Gaussians, rows: Tensor, finite: Tensor, features: Tensor, tails: Tensor
    ) -> Tensor:
        """Without the categories, of :mod:`flowlib.beside`."""
        if isinstance(one, Gaussians):
            return _of_gaussians(one, features.double()) + tails.sum(dim=1)
        centre, spread, scale = (_doubles(part) for part in (one.centre, one.spread, one.scale))
        far = _asinh((torch.where(finite, rows, 0.0) - centre) / spread) / scale
        return torch.where(finite, 0.5 * far * far, 0.0).sum(dim=1)


class _Calibrated(nn.Module):
    """Surprise and p-value, of :mod:`flowlib.calibration`, of log-likelihoods and of each distance."""

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.nll, self.distance = _rarity(calibration.nll), [_rarity(one) for one in calibration.distance]
        self.scores, self.floor = _doubles(calibration.scores), calibration.floor()
        self.weights = calibration.weights.tolist()

    def forward(self, log_prob: Tensor, distance: list[Tensor]) -> tuple[Tensor, Tensor]:
        parts = zip(self.weights, self.distance, distance, strict=True)
        each = [self.nll(-log_prob), *(weight * rarity(one) for weight, rarity, one in parts)]
        surprise = torch.sqrt(torch.stack([one * one for one in each]).sum(dim=0))
        # Surprises are of a grid, ranks in ranks: equal ones may differ in their last bits here.
        n, at_most = len(self.scores), _places(self.scores, surprise * (1.0 + _ROUNDING), or_equal=True)
        tied = at_most - _places(self.scores, surprise * (1.0 - _ROUNDING), or_equal=False)
        share = (1.0 + (n - at_most) + 0.5 * tied) / (n + 1.0)
        return surprise, torch.clamp(share, min=self.floor)


def _of_gaussians(gaussians: Gaussians, rows: Tensor) -> Tensor:
    """As :meth:`flowlib.gaussians.Gaussians.of`."""
    m, d = gaussians.means.shape
    u = rows @ _doubles(gaussians.weight) + _doubles(gaussians.bias)
    parts = _doubles(gaussians.peaks) - 0.5 * (u * u).reshape(-1, m, d).sum(dim=2)
    top = parts.max(dim=1, keepdim=True).values
    total = top[:, 0] + torch.log(torch.exp(parts - top).sum(dim=1))
    return torch.clamp(gaussians.peak - total, min=0.0)


def _doubles(values: Floats) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _asinh(x: Tensor) -> Tensor:
    """ONNX Runtime has none for float64."""
    size = torch.abs(x)
    return torch.sign(x) * torch.log1p(size + size * size / (1.0 + torch.sqrt(1.0 + size * size)))


def _places(ordered: Tensor, values: Tensor, or_equal: bool) -> Tensor:
    """``(n,)`` float64, how many of some ascending numbers are below each value, or at most it, by halving."""
    m, at = len(ordered), torch.zeros_like(values, dtype=torch.int64)
    for bit in reversed(range(m.bit_length())):
        probe = at + (1 << bit)
        other = ordered[torch.clamp(probe, max=m) - 1]
        is_below = other <= values if or_equal else other < values
        at = torch.where((probe <= m) & is_below, probe, at)
    return at.double()


def _rarity(reference: Floats) -> Callable[[Tensor], Tensor]:
    """:func:`flowlib.rarity.rarity_of` of values among ascending ones."""
    n, ordered = len(reference), _doubles(reference)
    span, largest = float(reference[-1] - reference[n // 2]) or 1.0, float(reference[-1])

    def rarity(values: Tensor) -> Tensor:
        above = n - _places(ordered, values, or_equal=True)
        excess = torch.clamp(values - largest, min=0.0) / span
        return torch.log1p(excess) - torch.log((1.0 + above) / (n + 1.0))

    return rarity


def _tail_nats(value: Tensor, limit: Tensor) -> Tensor:
    """As :func:`flowlib.encoder.fitting.tail_nats`."""
    far = torch.abs(value)
    return torch.where(far > limit, _price(torch.maximum(far, limit)) - _price(limit), 0.0)


def _price(far: Tensor) -> Tensor:
    near = torch.clamp(far, max=LIMIT_MAX)
    return 0.5 * near * near + LIMIT_MAX**2 * torch.log(torch.clamp(far, min=LIMIT_MAX) / LIMIT_MAX)


def _map_of(column_map: ColumnMap) -> Mapped:
    shift, scale = _doubles(column_map.shift), _doubles(column_map.scale)
    match column_map:
        case Standard():
            return lambda x: ((x - shift) / scale, (-torch.log(scale)).expand_as(x))
        case Log():
            return _log(shift, scale, _doubles(column_map.floor))
        case Asinh():
            return _arcsinh(shift, scale, _doubles(column_map.centre), _doubles(column_map.unit))
        case Quantile():
            knots = (_doubles(one) for one in (column_map.knots, column_map.scores, column_map.slopes))
            return _quantile(shift, scale, *knots)
    raise EngineError(f"column maps of kind {column_map.kind} have no form in ONNX")


def _log(shift: Tensor, scale: Tensor, floor: Tensor) -> Mapped:
    def mapped(x: Tensor) -> tuple[Tensor, Tensor]:
        logs = torch.log(torch.maximum(x, floor))
        extended = logs + torch.clamp(x - floor, max=0.0) / floor
        return (extended - shift) / scale, -logs - torch.log(scale)

    return mapped


def _arcsinh(shift: Tensor, scale: Tensor, centre: Tensor, unit: Tensor) -> Mapped:
    def mapped(x: Tensor) -> tuple[Tensor, Tensor]:
        far = (x - centre) / unit
        return (_asinh(far) - shift) / scale, -torch.log(unit * scale) - 0.5 * torch.log1p(far * far)

    return mapped


def _quantile(shift: Tensor, scale: Tensor, knots: Tensor, scores: Tensor, slopes: Tensor) -> Mapped:
    """As :class:`flowlib.encoder.columns.Quantile`."""
    first = torch.arange(len(knots)) * knots.shape[1]

    def mapped(x: Tensor) -> tuple[Tensor, Tensor]:
        u = (x - shift) / scale
        inner = [_places(one[1:-1], u[:, j], or_equal=True) for j, one in enumerate(knots)]
        index = torch.stack(inner, dim=1).long() + first
        left, right = knots.reshape(-1)[index], knots.reshape(-1)[index + 1]
        low, high = scores.reshape(-1)[index], scores.reshape(-1)[index + 1]
        d0, d1 = slopes.reshape(-1)[index], slopes.reshape(-1)[index + 1]
        width, rise = right - left, high - low
        chord, t = rise / width, torch.clamp((u - left) / width, 0.0, 1.0)
        both = t * (1.0 - t)
        bottom = chord + (d1 + d0 - 2.0 * chord) * both
        value = low + rise * (chord * t * t + d0 * both) / bottom
        top = d1 * t * t + 2.0 * chord * both + d0 * (1.0 - t) ** 2
        value = value + torch.clamp(u - left, max=0.0) * d0 + torch.clamp(u - right, min=0.0) * d1
        return value, torch.log(top) + 2.0 * torch.log(chord / bottom) - torch.log(scale)

    return mapped
