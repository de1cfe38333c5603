"""Seeds of tests: the same in every run, so that what fails is what was changed. ``DRIFTFLOW_SEED`` says otherwise."""

from __future__ import annotations

import os
import random
import zlib

FRESH = "fresh"
"""Another seed each time, for those who look for faults that no seed so far has shown."""

_BELOW = 10**6


def is_fresh() -> bool:
    """Whether other seeds are wanted in every run."""
    return os.environ.get("DRIFTFLOW_SEED") == FRESH


def seed_of(name: str, fresh: bool = False) -> int:
    """The seed of a test, printed, for pytest to show it with a failure.

    Args:
        name: what it follows from: the node id of a test, a file that several share.
        fresh: another one each time, unless ``DRIFTFLOW_SEED`` is a number.
    """
    asked = os.environ.get("DRIFTFLOW_SEED", "")
    if asked not in ("", FRESH):
        seed = int(asked)
    elif fresh or asked:
        seed = random.SystemRandom().randrange(_BELOW)
    else:
        seed = zlib.crc32(name.encode()) % _BELOW
    print(f"DRIFTFLOW_SEED={seed}")
    return seed
