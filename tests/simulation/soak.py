"""Many seeds, one after the other, until one fails: ``python -m tests.simulation.soak --seeds 100000``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.running import base_seed, run, simulated, told

_EVERY_S = 10.0


def main(words: list[str]) -> int:
    """Run the seeds that are asked for; 1 where one of them fails."""
    asked = _parsed(words)
    first, kinds = base_seed() if asked.first is None else asked.first, Counter[str]()
    print(f"seeds {first} to {first + asked.seeds - 1}", flush=True)
    began_s = said_s = time.monotonic()
    with simulated():
        for number in range(asked.seeds):
            world, found = run(first + number)
            kinds.update(world.scenario.kinds)
            if asked.verbose:
                print("\n".join(world.history), world.digest(), sep="\n")
            if found:
                print(told(world, found))
                return 1
            if time.monotonic() - said_s > _EVERY_S:
                said_s = time.monotonic()
                print(f"{number + 1} seeds in {said_s - began_s:.0f} s", flush=True)
    print(f"{asked.seeds} seeds in {time.monotonic() - began_s:.0f} s, all as they should be; in so many of them:")
    print(", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())))
    return 0


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, help="the first of them; without it another one each time")
    parser.add_argument("--verbose", action="store_true", help="tell what happens in each")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
