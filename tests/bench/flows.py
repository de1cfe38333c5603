"""``make bench-flows``: the flows' speed, quality, density and training beside their peers, in one JSON file.

python -m tests.bench.flows --data ../shared/data/bench --out flows.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import carry, device, evasion, known, quality, speed, training

Part = tuple[Callable[[Path], dict[str, Any]], Callable[[dict[str, Any]], str]]

PARTS: dict[str, Part] = {
    "speed": (lambda _: speed.measure(), speed.markdown),
    "device": (device.measure, device.markdown),
    "training": (lambda _: training.measure(print), training.markdown),
    "density": (lambda _: known.measure_known(), known.markdown),
    "evasion": (evasion.measure, evasion.markdown),
    "carry": (carry.measure, carry.markdown),
    "quality": (quality.measure, quality.markdown),
}
"""Part to what measures it, from the folder of sets, and what makes a table of it; those that take hours come last."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A part that is measured again replaces what the file has of it."""
    parser = argparse.ArgumentParser(description="speed and quality of the flows, beside the peers")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds adbench/")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file; parts that are there already are kept")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part (may be given again)")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for part in options.only or PARTS:
        measure, markdown = PARTS[part]
        result[part] = measure(options.data)
        options.out.write_text(json.dumps(result, indent=1))
        print(markdown(result[part]))


if __name__ == "__main__":
    main()
