"""The smallest change that a slice can show at its rate, which people should know: rare slices show large ones only."""

from __future__ import annotations

import math

import numpy as np

from flowlib.reference.reference import Reference, smallest_shifts
from flowlib.table import DAY_MS, Floats, Ints
from stream_app.config import Config
from stream_app.config.promise import floor
from stream_app.stages.detection.detectors import DETECTORS
from stream_app.stages.detection.detectors.fast import ZONE

DAYS = {"day": 1, "week": 7}
"""Times that it is worked out for."""


def needed_nats(config: Config, slices: int) -> float:
    """Evidence that one column's location needs before the first rule that looks at locations opens an incident on one
    of so many slices; inf for none.
    """
    d = len(config.event.numeric)
    needed = math.inf
    for name, rule in config.rules.items():
        if "location" in rule.detectors:
            share = DETECTORS["location"].weight / sum(DETECTORS[other].weight for other in rule.detectors)
            streams = 2 * slices if rule.together and slices > 1 else slices
            needed = min(needed, math.log(floor(config, name) * streams / share * d))
    return needed


def smallest(config: Config, reference: Reference, known: Ints) -> dict[str, Floats]:
    """Shift in sd ``(m,)`` that slices (rows of the reference) show in a day and in a week; inf where they never do."""
    nats = needed_nats(config, max(len(reference.slices), 1))
    if not np.isfinite(nats):
        return {name: np.full(len(known), np.inf) for name in DAYS}
    return {
        name: smallest_shifts(reference, known, n * DAY_MS / int(config.windows.pane), nats, ZONE)
        for name, n in DAYS.items()
    }
