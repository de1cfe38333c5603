"""Seconds of training: ours beside zuko's and nflows' training of the same flow, and private beside plain steps.

    python -m tests.bench.training --out training.json [--rows 50000] [--steps 1500]

All train the same masked autoregressive flow (32 features, five blocks, two hidden layers of 128) on the same rows with
the same optimiser, schedule and batches, ours a tenth more steps, on one thread, a few steps of each in turn, so that
other work on the machine slows all of them. Seconds are of this process's processor time, without the looks at the
held-out rows.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import zuko
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from flowlib import FlowDensity
from flowlib.flows import FLOWS, Flow
from flowlib.privacy.dp_sgd import Keystream, PrivateConfig, fit_private
from flowlib.training import TrainConfig, TrainingRows
from flowlib.training.fit import Run

D, HIDDEN, BLOCKS, LOOKS = 32, 128, 5, 30
SHARE = 0.01
LONGER = 1.1
"""Steps of ours for one of a peer: in as many ours ends a few hundredths of a nat below zuko's."""
Say = Callable[[str], None]


class Peer(Flow):
    """A peer's transform in the place of our flow: the same training then trains it."""

    def __init__(self, module: nn.Module, call: Callable[[Any, Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.d, self.context, self.module, self._call = D, 0, module, call

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        z, ladj = self._call(self.module, x)
        return z, ladj[:, None].expand(-1, D) / D

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        raise TypeError("a peer is trained here, never sampled from")

    def bake(self) -> nn.Module:
        return self

    def hyperparameters(self) -> dict[str, int]:
        return {}


def untrained() -> dict[str, Flow]:
    """The same architecture three times."""
    import nflows.transforms as nf  # of the ``bench`` extra; the other parts work without it

    torch.manual_seed(0)
    of_zuko = zuko.flows.MAF(D, transforms=BLOCKS, hidden_features=(HIDDEN, HIDDEN))
    layers: list[Any] = []
    for _ in range(BLOCKS):
        layers += [
            nf.ReversePermutation(D),
            nf.MaskedAffineAutoregressiveTransform(D, HIDDEN, num_blocks=1, use_residual_blocks=False),
        ]
    return {
        "driftflow": FLOWS["maf"](D, 0, torch.Generator().manual_seed(0), blocks=BLOCKS, hidden=HIDDEN),
        "zuko": Peer(of_zuko, lambda flow, x: flow().transform.call_and_ladj(x)),
        "nflows": Peer(nf.CompositeTransform(layers), lambda flow, x: flow(x)),
    }


def rows(n: int, seed: int, shift: float = 0.0) -> TrainingRows:
    """Eight factors, bent and mixed into 32 columns, in scale units; with a shift a quarter of the columns move."""
    law, generator = torch.Generator().manual_seed(1), torch.Generator().manual_seed(seed)
    mix, bend = torch.randn(8, D, generator=law), torch.randn(8, D, generator=law)
    factors = torch.randn(n, 8, generator=generator)
    x = factors @ mix / 3 + torch.sin(factors @ bend) + 0.3 * torch.randn(n, D, generator=generator)
    x[:, : D // 4] += shift
    return TrainingRows(x / 1.3, torch.zeros(n, 0), torch.zeros(n, D, dtype=torch.bool))


def race(
    flows: dict[str, Flow], train: TrainingRows, held_out: TrainingRows, config: TrainConfig, say: Say
) -> dict[str, Any]:
    """Train all of them, a few steps of each in turn; see :func:`reached` for the figures."""
    longer = replace(config, max_steps=round(LONGER * config.max_steps))
    runs = {
        name: Run(flow, train, held_out, longer if name == "driftflow" else config, 0) for name, flow in flows.items()
    }
    paths: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    spent = dict.fromkeys(runs, 0.0)
    while runs["driftflow"].steps < longer.max_steps:
        for name, run in runs.items():
            if run.steps >= run.config.max_steps:
                continue
            start = time.process_time()
            for _ in range(config.check_every):
                run.step()
            spent[name] += time.process_time() - start
            paths[name].append((spent[name], run.look()))
        say(", ".join(f"{name} {path[-1][1]:.3f} ({path[-1][0]:.1f} s)" for name, path in paths.items()))
    figures: dict[str, Any] = {name: reached(path) for name, path in paths.items()}
    for peer in ("zuko", "nflows"):
        wanted = figures[peer]["held_out_log_prob"]
        ours = [seconds for seconds, value in paths["driftflow"] if value >= wanted]
        figures[f"{peer}_over_driftflow_at_its_log_prob"] = figures[peer]["seconds"] / ours[0] if ours else None
        figures[f"{peer}_over_driftflow"] = (
            figures[peer]["seconds_to_1_percent"] / figures["driftflow"]["seconds_to_1_percent"]
        )
    return figures


def reached(path: list[tuple[float, float]]) -> dict[str, float]:
    """Seconds to within 1 % of the final held-out log-likelihood, to the end, and that likelihood."""
    final = path[-1][1]
    near = next(seconds for seconds, value in path if value >= final - SHARE * abs(final))
    return {"seconds_to_1_percent": near, "seconds": path[-1][0], "held_out_log_prob": final}


def private_ratio(
    train: TrainingRows, say: Say, batch: int = 512, steps: int = 50, rounds: int = 5
) -> dict[str, float]:
    """Seconds of private over seconds of plain steps on as many rows, in turn; the median of the rounds. What a private
    training does once is of a round too, and a tenth as many steps bear it as in a real one.
    """
    flows = [FLOWS["maf"](D, 0, torch.Generator().manual_seed(0), blocks=BLOCKS, hidden=HIDDEN) for _ in range(2)]
    run = Run(flows[0], train, rows(10, 9), TrainConfig(batch=batch), 0)
    config, stream = PrivateConfig(1.0, batch / len(train), steps), Keystream(bytes(32))
    plain, private = [], []
    for _ in range(rounds + 1):
        start = time.process_time()
        for _ in range(steps):
            run.step()
        middle = time.process_time()
        fit_private(flows[1], train, config, stream)
        plain.append((middle - start) / steps)
        private.append((time.process_time() - middle) / steps)
    ratios = sorted(b / a for a, b in zip(plain[1:], private[1:], strict=True))
    say(f"private steps cost {ratios[len(ratios) // 2]:.2f} times plain ones")
    return {
        "batch": batch,
        "plain_step_s": min(plain),
        "private_step_s": min(private),
        "ratio": ratios[len(ratios) // 2],
    }


def fits(say: Say, sizes: Sequence[tuple[int, int]] = ((2_000, 8), (10_000, 20))) -> list[dict[str, float]]:
    """Processor seconds of whole fits, by rows and columns: ``FlowDensity``, and a mixture of ten Gaussians."""
    table = []
    for n, d in sizes:
        x = rows(n, 2).features[:, :d].numpy().astype(float)
        seconds = []
        for model in (FlowDensity(), GaussianMixture(10, random_state=0)):
            start = time.process_time()
            model.fit(x)
            seconds.append(time.process_time() - start)
        table.append({"rows": n, "columns": d, "flow_density_s": seconds[0], "gaussian_mixture_s": seconds[1]})
        say(f"fit of {n:,} x {d}: {seconds[0]:.2f} s, a mixture of ten Gaussians {seconds[1]:.2f} s")
    return table


def measure(progress: Say, n: int = 50_000, steps: int = 1_500) -> dict[str, Any]:
    """All of it; ``progress`` takes lines for people."""
    torch.set_num_threads(1)
    config = replace(TrainConfig(), max_steps=steps, check_every=max(steps // LOOKS, 1), patience=10**9)
    train, held_out = rows(n, 2), rows(5_000, 3)
    flows = untrained()
    fresh = race(flows, train, held_out, config, progress)
    progress("after a shift:")
    moved, moved_held_out = rows(n, 4, shift=1.0), rows(5_000, 5, shift=1.0)
    few = TrainConfig.warm(max_steps=min(400, steps))
    few = replace(few, check_every=max(few.max_steps // LOOKS, 1), patience=10**9)
    warm = race({name: copy.deepcopy(flow) for name, flow in flows.items()}, moved, moved_held_out, few, progress)
    return {
        "rows": n,
        "d": D,
        "steps": steps,
        "batch": config.batch,
        "threads": 1,
        "train": fresh,
        "warm_start": warm,
        "private": private_ratio(train, progress),
        "fits": fits(progress),
    }


def markdown(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [f"{result['rows']:,} rows, D = {result['d']}, one thread", ""]
    lines += ["| | seconds to 1 % | beside ours | held-out nats in the end |", "|---|---|---|---|"]
    for part in ("train", "warm_start"):
        ours = result[part]["driftflow"]["seconds_to_1_percent"]
        for name in ("driftflow", "zuko", "nflows"):
            near, end = (result[part][name][key] for key in ("seconds_to_1_percent", "held_out_log_prob"))
            lines.append(f"| {part}: {name} | {near:.2f} | {near / ours:.2f} | {end:.3f} |")
    for part, peer in itertools.product(("train", "warm_start"), ("zuko", "nflows")):
        ratio = result[part][f"{peer}_over_driftflow_at_its_log_prob"]
        lines.append(f"\n{part}: ours has {peer}'s last nats {f'{ratio:.1f} times as fast' if ratio else 'never'}")
    lines += ["", f"private steps cost {result['private']['ratio']:.2f} times plain ones", ""]
    lines += ["| fit, seconds of a processor | FlowDensity | mixture of ten Gaussians |", "|---|---|---|"]
    for row in result["fits"]:
        seconds = f"{row['flow_density_s']:.2f} | {row['gaussian_mixture_s']:.2f}"
        lines.append(f"| {row['rows']:,} x {row['columns']} | {seconds} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=1_500)
    options = parser.parse_args()
    result = measure(lambda line: print(line, flush=True), options.rows, options.steps)
    Path(options.out).write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
