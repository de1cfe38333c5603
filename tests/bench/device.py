"""What a device needs for an event: bytes, multiply-adds, calls of exp, log and tanh, microseconds; what int8 costs.

    python -m tests.bench.flows --data ../shared/data/bench --out flows.json --only device

Counts are of the fused kernel's way through a flow, from the layout of its blocks, and what int8 costs is measured on
rows held out. A mixture is left out: it has no program for the kernel, and no graph that is exact far out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flowlib import FlowDensity
from flowlib.cost import Price, cost_of, seconds
from flowlib.density import Density
from flowlib.engines import ROWS, EngineError, build
from flowlib.engines import onnx as form
from flowlib.flows import FLOWS, Flow
from flowlib.layouts import Layout
from flowlib.table import Table
from tests.bench.adbench import load_case

FAMILIES, DIMENSIONS = ("maf", "spline_autoregressive", "affine_coupling", "spline_coupling", "ensemble"), (8, 32)
SETS, IN_INT8 = ("annthyroid", "cardio", "satellite"), ("maf", "spline_autoregressive")
_CASE_ROWS = 6_000
_WIDTH = 4
"""Bytes of a float32."""


def counts(flow: Flow) -> dict[str, int]:
    """Of one row through a flow made of blocks, or through the members of an ensemble of such flows.

    ``weights`` and ``arrays`` in bytes of float32: what stays, and the most that is alive at once (features, their
    log-Jacobians, context and two layers side by side). ``products``: multiply-adds, of which ``seen`` are not always
    zero by a mask. ``calls``: of exp, log and tanh (tanh and exp of an affine transform; of a spline with K bins 2·K
    exp of widths and heights, two softplus of an exp and a log, a log).
    """
    parts = [[_block(block, flow) for block in one.layouts or []] for one in flow.each or [flow]]
    blocks = [block for part in parts for block in part]
    added = ("weights", "products", "seen", "calls")
    return {key: sum(block[key] for block in blocks) for key in added} | {"arrays": max(b["arrays"] for b in blocks)}


def _block(block: Layout, flow: Flow) -> dict[str, int]:
    layers = [mask.shape for mask in block.masks]
    each = 2 * block.bins + 5 if block.bins else 2
    return {
        "weights": _WIDTH * sum(out * (into + 1) for out, into in layers),
        "products": sum(out * into for out, into in layers),
        "seen": sum(int(mask.sum()) for mask in block.masks),
        "calls": each * len(block.features),
        "arrays": _WIDTH * (2 * flow.d + flow.context + max(out + into for out, into in layers)),
    }


def measure(folder: Path, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Both tables; about five minutes of a processor."""
    torch.set_num_threads(1)
    table = []
    for family in FAMILIES:
        for d in DIMENSIONS:
            flow = FLOWS[family](d, 0, torch.Generator().manual_seed(0)).eval()
            table.append({"family": family, "d": d, **counts(flow), **_times(flow)})
            progress(f"device: {family}, D = {d}")
    return {"table": table, "int8": [_small(folder, name, family, progress) for name in SETS for family in IN_INT8]}


def _times(flow: Flow) -> dict[str, float]:
    engine, x = build(flow), np.random.default_rng(0).standard_normal((ROWS, flow.d)).astype(np.float32)
    return dict(zip(("one_us", "many_us"), _us(lambda rows: engine(rows, rows[:, :0]), x), strict=True))


def _us(run: Callable[..., Any], *rows: Any) -> tuple[float, float]:
    """Processor microseconds of a row alone, and of one of many."""
    alone = [part[:1] for part in rows]
    one = seconds(lambda: run(*alone), time.thread_time)
    return 1e6 * one, 1e6 * seconds(lambda: run(*rows), time.thread_time) / len(rows[0])


def _small(folder: Path, name: str, family: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """What int8 costs on rows held out, beside float32 in ONNX Runtime, TorchScript and the kernel."""
    case = load_case(folder, name, "normals", 0, _CASE_ROWS)
    density = FlowDensity(flow=family).fit(case.train).density_
    try:
        found = _cost(density, Table.of(case.test[~case.anomalous]))
    except EngineError as error:
        found = {"refused": str(error)}
    progress(f"device: int8 of {family} on {name}")
    return {"dataset": name, "family": family, "d": density.flow.d, **found}


def _cost(density: Density, table: Table) -> dict[str, Any]:
    flow = density.flow
    wide = form.export_onnx(flow.bake(), flow.d, flow.context, rows=None)
    small = form.quantize(form.export_onnx(flow.bake(), flow.d, flow.context, rows=1))
    int8 = form.Int8(flow, small)
    form.require_int8(int8, flow)
    encoded = density.encoder.encode(table)
    rows = encoded.features[:ROWS], encoded.context[:ROWS]
    running = form.session(wide)
    names = [node.name for node in running.get_inputs()]

    def float32(*given: Any) -> Any:
        arrays = dict(zip(form.INPUTS, given, strict=True))
        return running.run(list(form.OUTPUTS), {name: arrays[name] for name in names})

    model, other = density.score(table), density.with_engine(int8).score(table)
    ok = model.scorable & other.scorable
    cost = cost_of(
        (model.log_prob[ok], model.p_value[ok]),
        (other.log_prob[ok], other.p_value[ok]),
        Price(len(small), *_us(int8, *rows)),
        Price(len(wide), *_us(float32, *rows)),
    )
    beside = {engine: _us(build(flow, engine), *rows) for engine in ("fused", "torchscript")}
    return cost.to_state() | {"beside_us": beside}


def markdown(result: dict[str, Any]) -> str:
    """The tables for people."""
    lines = ["", "| flow | D | weights, kB | arrays, kB | products | not masked | exp, log, tanh | µs alone | of 512 |"]
    lines.append("|---" * 9 + "|")
    for row in result["table"]:
        sizes = f"{row['weights'] / 1e3:.0f} | {row['arrays'] / 1e3:.1f} | {row['products']:,} | {row['seen']:,}"
        times = f"{row['one_us']:.1f} | {row['many_us']:.2f}"
        lines.append(f"| {row['family']} | {row['d']} | {sizes} | {row['calls']:,} | {times} |")
    lines += ["", "| int8 | kB (float32) | nats, mean (worst) | p ≤ .01 (95 %), model | p off by | µs alone (of 512) |"]
    lines += ["|---" * 6 + "|", *(_line(row) for row in result["int8"])]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    what = f"{row['family']}, {row['dataset']} (D = {row['d']})"
    if "refused" in row:
        return f"| {what} | {row['refused']} | | | | |"
    of, beside = row["of"], row["beside"]
    times: list[tuple[str, Sequence[float]]] = [
        ("int8", (of["one_us"], of["many_us"])),
        ("ONNX", (beside["one_us"], beside["many_us"])),
        *row["beside_us"].items(),
    ]
    cells = [
        f"{of['bytes'] / 1e3:.0f} ({beside['bytes'] / 1e3:.0f})",
        f"{row['nats_mean']:.3f} ({row['nats_worst']:.2f})",
        f"{row['share']:.1%} ({row['share_low']:.1%}–{row['share_high']:.1%}), {row['share_model']:.1%}",
        f"{row['p_worst']:.3f}",
        "; ".join(f"{name} {one:.0f} ({many:.1f})" for name, (one, many) in times),
    ]
    return f"| {what} | " + " | ".join(cells) + " |"
