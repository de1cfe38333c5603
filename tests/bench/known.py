"""Held-out nats on distributions of known entropy, beside zuko's neural spline flow on the same arrays.

python -m tests.bench.known --out known.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zuko

from flowlib import FlowDensity
from flowlib.flows import FLOWS
from flowlib.training import TrainConfig
from tests.bench.adbench import Floats
from tests.bench.density_sets import KNOWN
from tests.bench.quality import half_width

HELD_SHARE = 0.1
"""Of the rows, to stop the training; and as many again calibrate."""

TRAIN_ROWS, TEST_ROWS = 5_000, 5_000


def measure_known(
    sets: Sequence[str] = (), seeds: int = 3, families: Sequence[str] = (), progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """For each set and contender the nats by which its mean held-out log-density falls short of the truth."""
    table: dict[str, Any] = {}
    for dataset in sets or KNOWN:
        law = KNOWN[dataset]()
        gaps: dict[str, list[float]] = {}
        seconds: dict[str, list[float]] = {}
        truths = []
        for seed in range(seeds):
            train, test = (law.draw(n, np.random.default_rng([seed, k])) for k, n in ((0, TRAIN_ROWS), (1, TEST_ROWS)))
            truth = float(law.log_prob(test).mean())
            truths.append(truth)
            for name in [*(families or FLOWS), "zuko_nsf"]:
                start = time.perf_counter()
                log_prob = zuko_nsf(train, test, seed) if name == "zuko_nsf" else _ours(train, test, seed, name)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                gaps.setdefault(name, []).append(truth - float(log_prob.mean()))
                progress(f"{dataset} {seed} {name}: {gaps[name][-1]:.3f} nats short, {seconds[name][-1]:.0f} s")
        table[dataset] = {
            "true_log_prob": float(np.mean(truths)),
            "short_nats": {
                name: {
                    "mean": float(np.mean(values)),
                    "half_width": half_width(np.array(values)),
                    "seconds": float(np.mean(seconds[name])),
                }
                for name, values in gaps.items()
            },
        }
    return table


def _ours(train: Floats, test: Floats, seed: int, family: str) -> Floats:
    return FlowDensity(flow=family, calibration_share=HELD_SHARE, random_state=seed).fit(train).score_samples(test)


def zuko_nsf(train: Floats, test: Floats, seed: int) -> Floats:
    """zuko's NSF with its defaults, trained as ours: standardised rows, same optimiser, schedule, steps and stop."""
    config = TrainConfig()
    torch.manual_seed(seed)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    rows = torch.from_numpy(((train - mean) / spread).astype(np.float32))
    n_held_out = round(HELD_SHARE * len(rows))
    order = torch.randperm(len(rows))
    valid, rows = rows[order[:n_held_out]], rows[order[2 * n_held_out :]]
    flow = zuko.flows.NSF(train.shape[1])
    optimiser = torch.optim.AdamW(flow.parameters(), lr=config.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.max_steps)
    best, weights = -np.inf, {k: v.clone() for k, v in flow.state_dict().items()}
    for step in range(1, config.max_steps + 1):
        loss = -flow().log_prob(rows[torch.randint(len(rows), (config.batch,))]).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), config.clip)
        optimiser.step()
        schedule.step()
        if step % config.check_every == 0:
            with torch.no_grad():
                value = float(flow().log_prob(valid).mean())
            if value > best:
                best, weights = value, {k: v.clone() for k, v in flow.state_dict().items()}
    flow.load_state_dict(weights)
    with torch.no_grad():
        scaled = torch.from_numpy(((test - mean) / spread).astype(np.float32))
        return np.asarray(flow().log_prob(scaled).double().numpy() - np.log(spread).sum())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="nats short of the truth on distributions of known entropy")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--sets", nargs="*", default=(), help=f"default: all of {', '.join(KNOWN)}")
    parser.add_argument("--families", nargs="*", default=(), help="flow families; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="threads torch may use")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.jobs)
    result = measure_known(options.sets, options.seeds, options.families)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1))
    print(markdown(result))


def markdown(table: dict[str, Any]) -> str:
    """The table for people."""
    names = list(next(iter(table.values()))["short_nats"])
    lines = ["", f"| set | true nats | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for dataset, row in table.items():
        figures = [f"{row['short_nats'][name]['mean']:.3f}" for name in names]
        lines.append(f"| {dataset} | {row['true_log_prob']:.3f} | {' | '.join(figures)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
