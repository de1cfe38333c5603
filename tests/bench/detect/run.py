"""``make bench-detect``: delay, run length, calibration, attribution and cost, beside the peers, in one JSON file.

python -m tests.bench.detect --data ../shared/data --out detect.json

Keys are the names of :data:`PARTS`, but for ``cost``, whose three keys stand for themselves; ``planted`` holds
``run_length`` and ``delay`` once more, with the planted density in place of the trained flow.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import logging
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stream_app.terminal import prepare_process
from tests.bench.detect import attribution, calibration, cost, delay, run_length

Lines = list[tuple[str, ...]]


def _elsewhere(module: str, *given: str) -> Callable[[Namespace], Any]:
    """What a module measures that has an environment or data of its own; imported when it is asked for."""

    def measure(args: Namespace) -> Any:
        return importlib.import_module(f"tests.bench.detect.{module}").measure(*(getattr(args, g) for g in given), args)

    return measure


def _planted(args: Namespace) -> dict[str, Any]:
    planted = Namespace(**{**vars(args), "planted": True})
    return {"delay": delay.measure(planted), "run_length": run_length.measure(planted)}


def _rows_as_table(rows: list[dict[str, Any]]) -> Lines:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [tuple(names), *(tuple(str(row.get(name, "")) for name in names) for row in rows)]


def _planted_table(found: dict[str, Any]) -> Lines:
    lines = [*delay.table(found["delay"]), *run_length.table(found["run_length"])]
    width = max(map(len, lines))
    return [(*line, *[""] * (width - len(line))) for line in lines]


PARTS: dict[str, tuple[Callable[[Namespace], Any], Callable[[Any], Lines]]] = {
    "delay": (delay.measure, delay.table),
    "run_length": (run_length.measure, run_length.table),
    "calibration": (calibration.measure, calibration.table),
    "attribution": (attribution.measure, attribution.table),
    "cost": (cost.measure, cost.table),
    "planted": (_planted, _planted_table),
    "peers": (_elsewhere("peers"), _rows_as_table),
    "public": (_elsewhere("public", "data"), _rows_as_table),
}
"""Part to what measures it, and what makes a table of it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A part that is measured again replaces what the file has of it."""
    args = _parsed(arguments)
    prepare_process()
    logging.disable(logging.INFO)
    result: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    for part in args.parts:
        measure, table = PARTS[part]
        print(f"{part} …", flush=True)
        found = measure(args)
        result |= found if part == "cost" else {part: found}
        args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False))
        show(part, table(found))


def _parsed(arguments: Sequence[str] | None) -> Namespace:
    parser = argparse.ArgumentParser(description="what the statistics see and when, on planted and public streams")
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets; `public` needs it")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file; parts that are there already are kept")
    parser.add_argument("--parts", type=_names, default=list(PARTS), help=f"some of {','.join(PARTS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="streams at a time, each in a process of its own")
    parser.add_argument("--quick", action="store_true", help="few and short streams: whether it runs, not what it says")
    parser.set_defaults(planted=False)
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - PARTS.keys())
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def show(title: str, lines: Lines) -> None:
    """Print a table whose first line names the columns."""
    table = Table(*lines[0], title=title, box=None, title_justify="left")
    for line in lines[1:]:
        table.add_row(*line)
    Console(width=140).print(table)
