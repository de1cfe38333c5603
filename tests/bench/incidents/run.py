"""``make bench-incidents``: how much reaches people, whether the promise is kept, and what must never happen twice.

python -m tests.bench.incidents --data ../shared/data --out incidents.json

Keys of the file are the names of :data:`PARTS`; what is in each says its module.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_app.terminal import prepare_process

PARTS = ("many", "attack", "one_cause", "false_incidents_per_month", "economy", "backtest", "kill")
"""Names of the keys: each is a module here with ``measure(args)``, and ``table(found)``, whose first line names the
columns."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A part that is measured again replaces what the file has of it."""
    args = _parsed(arguments)
    prepare_process()
    logging.disable(logging.INFO)
    result: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name in args.parts:
        part = importlib.import_module(f"tests.bench.incidents.{name}")
        print(f"{name} …", flush=True)
        result[name] = part.measure(args)
        args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False))
        show(name, part.table(result[name]))


def _parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = argparse.ArgumentParser(description="incidents: how many reach people, and whether the promise is kept")
    parser.add_argument("--data", type=Path, required=True, help="folder of the example's data; `economy` needs it")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file; parts that are there already are kept")
    parser.add_argument("--parts", type=_names, default=list(PARTS), help=f"some of {','.join(PARTS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="simulations at a time, each in a process of its own")
    parser.add_argument("--seed", type=int, default=17, help="of when the worker is killed")
    parser.add_argument("--quick", action="store_true", help="few and short runs: whether it runs, not what it says")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def show(title: str, lines: Sequence[tuple[str, ...]]) -> None:
    """Print a table whose first line names the columns."""
    table = Table(*lines[0], title=title, box=None, title_justify="left")
    for line in lines[1:]:
        table.add_row(*line)
    Console(width=140).print(table)
