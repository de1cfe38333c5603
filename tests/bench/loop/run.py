"""``make bench-loop``: whether a model enters service only when it is better, and leaves when it is not.

    {"no_gain", "calibration_after_swaps", "bad_models", "incident_training", "true_drift", "rollback_s", "frog",
     "requests", "trace_complete", "audit_tampering_found", "measured", "left_out", ...}

Each module of :data:`PARTS` says what its keys mean. All candidates are trained in the run, by the trainer's own code:
the parts of :data:`LIVE` by the process ``driftflow trainer`` beside a worker on Apache Kafka (``KAFKA_HOME``), the
others by the same steps without a broker. ``trace_complete``: whether ``driftflow audit trace`` finds all steps of all
that happened in the live parts, ``traces`` says of how many. What cannot be measured here is named in ``left_out``,
with the reason. A file may be made part by part: ``measured`` says of each when, for how long, with which seed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from stream_app.terminal import prepare_process, utc

PURE = ("no_gain", "calibration_after_swaps", "bad_models", "incident_training", "true_drift", "frog", "tampering")
LIVE = ("requests", "rollback_s", "true_drift_live", "incident_training_live")
PARTS = PURE + LIVE
"""Each is a module here with ``measure(args)``, which gives keys of the file, and ``lines(found)``, whose first line
names the columns."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A part that is measured again replaces what the file has of it."""
    args = parsed(arguments)
    prepare_process()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    for name in args.only:
        measure(name, args)


def measure(name: str, args: Namespace) -> None:
    """Measure a part, print it, and put it into the file, as far as it has come, and whole in the end."""
    part, began_s = importlib.import_module(f"tests.bench.loop.{name}"), time.time()
    print(f"{name} …", flush=True)

    def keep(found: dict[str, Any], is_whole: bool = False) -> None:
        about = {"at": utc(int(began_s * 1_000)), "took_s": round(time.time() - began_s), "whole": is_whole}
        enter(args.out, name, found, {**about, "seed": args.seed, "quick": args.quick})

    args.keep = keep
    try:
        found = part.measure(args)
    except LeftOut as why:
        print(f"  left out: {why}", flush=True)
        enter(args.out, name, {}, str(why))
        return
    keep(found, is_whole=True)
    show(name, part.lines(found))


def enter(out: Path, name: str, found: dict[str, Any], about: dict[str, Any] | str) -> None:
    """Put what a part has found into the file; ``about`` says when it was measured, or why it was not."""
    result: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    if isinstance(about, str):
        result["left_out"] = {**result.get("left_out", {}), name: about}
    else:
        result["left_out"] = {part: why for part, why in result.get("left_out", {}).items() if part != name}
        result["measured"] = {**result.get("measured", {}), name: about}
    traces = {**result.get("traces", {}), **found.get("traces", {})}
    result |= {
        **found,
        "traces": traces,
        "trace_complete": bool(traces) and all(of["complete"] for of in traces.values()),
    }
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


class LeftOut(Exception):
    """A part that cannot be measured here; the text says why."""


def parsed(arguments: Sequence[str] | None) -> Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file; parts that are there already are kept")
    parser.add_argument("--only", type=_names, default=list(PARTS), help=f"some of {','.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=19, help="of all draws")
    parser.add_argument("--quick", action="store_true", help="few and small runs: whether it runs, not what it says")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def show(title: str, lines: Sequence[Sequence[object]]) -> None:
    """Print a table whose first line names the columns."""
    table = Table(*map(str, lines[0]), title=title, box=None, title_justify="left")
    for line in lines[1:]:
        table.add_row(*map(str, line))
    Console(width=160).print(table)
