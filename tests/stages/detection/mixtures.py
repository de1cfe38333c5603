"""A rule's mixture in a world that is known: fed pane by pane, and what it says of the slice that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import Floats
from stream_app.config import RuleConfig
from stream_app.config.registries import DETECTOR_KINDS
from stream_app.stages.detection.causes import Found
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.detectors.simulated import PANE_MS, World, with_events
from stream_app.stages.detection.mixture import Mixture
from tests.stages.watch.blocks import DRIFT

WORLD = World(slices=5, seed=11)


MOVED = 1


def mixture(
    detectors: list[Any] = DRIFT, world: World = WORLD, floor: float = 1_000.0, resolve: float = 1e-5
) -> Mixture:
    return Mixture(world.config, RuleConfig(detectors=detectors, resolve=resolve), world.layout, floor)


def take(of: Mixture, parts: list[Part], everywhere: list[Part], slices: int) -> None:
    """Let it take in all that is given."""
    for _ in of.update(parts, everywhere, slices):
        pass


def feed(of: Mixture, parts: list[Part]) -> list[Floats]:
    """Statistics after each pane."""
    out = []
    for part in parts:
        take(of, [with_events(part)], [part], len(part.slices))
        out.append(of.statistics())
        of.settle()
    return out


def grouped(of: Mixture, group: Mixture, parts: list[Part]) -> list[float]:
    """Statistics of all slices together after each pane: WATCH makes the sums, JUDGE the evidence."""
    out = []
    for part in parts:
        take(of, [with_events(part)], [part], len(part.slices))
        (sums,) = of.group_sums()
        of.settle()
        take(group, [], [], 1)
        if sums is not None:
            group.add_group(0, part.reference, sums, int(part.start_ms[0]) + PANE_MS)
        out.append(float(group.statistics()[0]))
        group.settle()
    return out


@dataclass(frozen=True)
class Word:
    """What is said of one slice: its evidence, and its channels, the one to name first before the others."""

    statistic: float
    remaining: float
    since_ms: int
    events: int
    detectors: list[str]
    channels: list[int]
    weights: list[float]
    odds: Floats
    figures: Floats


def word(found: Found, number: int) -> Word | None:
    """None where nothing is said of it."""
    if number not in found.numbers:
        return None
    (i,), of = np.flatnonzero(found.numbers == number), found.columns
    named = of.detector[i] >= 0
    return Word(
        float(of.statistic[i]),
        float(of.remaining[i]),
        int(of.since_ms[i]),
        int(of.events[i]),
        [list(DETECTOR_KINDS)[k] for k in of.detector[i][named].tolist()],
        of.channel[i][named].tolist(),
        of.weight[i][named].tolist(),
        of.odds[i],
        of.figures[i],
    )


def settled(of: Mixture, parts: list[Part]) -> list[Word | None]:
    """What is said of the slice that moves, pane by pane."""
    said = []
    for part in parts:
        take(of, [with_events(part)], [part], len(part.slices))
        said.append(word(of.settle(), MOVED))
    return said


def features(of: Mixture, said: Word, world: World = WORLD) -> tuple[str, ...]:
    """Columns that are named first."""
    (detector,) = (each for each in of.detectors if each.name == said.detectors[0])
    return detector.says(said.channels[0], said.odds[0][: detector.bets], world.fitted[1]).features
