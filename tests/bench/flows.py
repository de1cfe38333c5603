"""``make bench-flows``: the flows' speed and quality beside their peers, in one JSON file.

python -m tests.bench.flows --data ../shared/data/bench --out flows.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import speed

PARTS = ("speed", "quality")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. A part that is measured again replaces what the file has of it."""
    parser = argparse.ArgumentParser(description="speed and quality of the flows, beside the peers")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds adbench/")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file; parts that are there already are kept")
    parser.add_argument("--only", choices=PARTS, help="measure one part")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for part in (options.only,) if options.only else PARTS:
        if part == "speed":
            result[part] = speed.measure()
            print(speed.markdown(result[part]))
        else:
            from tests.bench import quality

            result[part] = quality.measure(options.data)
            print(quality.markdown(result[part]))
        options.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
