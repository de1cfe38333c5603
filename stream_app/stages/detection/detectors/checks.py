"""Checks that every detector must pass; run them on your own: ``check_detector(MyDetector)``.

They raise AssertionError with a sentence, and need no test framework.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from flowlib.table import Floats, Ints
from schemas.evidence import FIGURES
from stream_app.stages.detection.detectors.base import Detector, Evidence, Make, Part, group_evidence
from stream_app.stages.detection.detectors.simulated import CHANGES, World, some, with_events
from stream_app.stages.snapshot import pack, unpack

MOVED = 1
"""The slice that changes."""

ENOUGH = 9.0
"""Nats: what a planted change must bring, and nothing else may; e to it is what a rule opens at, about."""

_QUIET, _LASTS = 40, 60
_HALF_WAY = 29
"""Pane of the stream in which a slice is stuck."""

New = Callable[[], Detector]


def check_detector(
    make: Make, d: int = 3, k: int = 1, seed: int = 2, changes: Collection[str] = tuple(CHANGES)
) -> None:
    """Run every check.

    Args:
        make: the detector's class, or what makes one like it.
        d: numeric features of the stream that vary; a constant and an absent one are added.
        k: categorical features.
        seed: of the stream.
        changes: of :data:`~stream_app.stages.detection.detectors.simulated.CHANGES`, those that it finds; one of them
            will do where none are named.

    Raises:
        AssertionError: one sentence on what does not hold.
    """
    world = World(d, k, seed=seed)
    config, layout = world.config, world.layout

    def new() -> Detector:
        return make(config, layout)

    _check_itself(new())
    stream = _stream(world, seed)
    _check_values(new(), stream)
    _check_empty(new(), stream[0])
    _check_slices_apart(new(), new(), stream)
    _check_panes_at_once(new(), new(), stream)
    _check_together(new(), stream)
    _check_figures(new(), stream)
    _check_kept(new, stream)
    for cut in (0, 7, 31):
        _check_restored(new, stream, cut)
    _check_mean(new(), world)
    named, every = set(changes), set(CHANGES)
    reacted = {name for name in sorted(named) if _reacts(new(), world, name)}
    assert reacted, f"it does not react to any planted change of {', '.join(sorted(named))}"
    assert named == every or reacted == named, f"it does not react to {', '.join(sorted(named - reacted))}"


def _stream(world: World, seed: int) -> list[Part]:
    """Panes in which slices come and go; one of them changes in every way at once, half-way."""
    quiet = world.parts(25, seed)
    parts = [
        part for name in ("stuck", "location", "missing") for part in world.parts(8, seed + 1, {MOVED: CHANGES[name]})
    ]
    rng, stream = np.random.default_rng(seed), list[Part]()
    for number, part in enumerate([*quiet, *parts]):
        there = rng.random(len(part.slices)) < 0.8
        there[MOVED] = True
        stream.append(some(world.part(number, part.rows), there))
    return stream


def _check_itself(detector: Detector) -> None:
    assert detector.kind in ("drift", "fault"), f"kind is {detector.kind!r}, not drift or fault"
    assert detector.name, "a detector has a name"
    assert 0 < detector.weight <= 1, f"weight is {detector.weight}, not a share"
    assert detector.channels >= 1, "it has no channel in a stream that has columns of every kind"
    assert detector.bets >= 1, "it has no bet"


def _check_values(detector: Detector, stream: list[Part]) -> None:
    for part in stream:
        _check_shape(detector, part, detector.evidence(part))
        unknown = Part(part.layout, part.start_ms, part.reference, 0 * part.known, part.slices, part.rows)
        _check_shape(detector, unknown, detector.evidence(unknown))


def _check_shape(detector: Detector, part: Part, evidence: Evidence) -> None:
    p = len(part.slices)
    log_e, expected = evidence.log_e, (p, detector.channels, detector.bets)
    assert log_e.shape == expected, f"log e-values have the shape {log_e.shape}, not {expected}"
    assert log_e.dtype == np.float64, f"log e-values are {log_e.dtype}, not float64"
    assert evidence.news.shape == expected[:2], f"news has the shape {evidence.news.shape}, not {expected[:2]}"
    assert evidence.news.dtype == bool, f"news is {evidence.news.dtype}, not bool"
    assert np.isfinite(log_e).all(), f"pane {part.start_ms}: a log e-value is not finite"


def _check_empty(detector: Detector, part: Part) -> None:
    _check_shape(detector, some(part, np.zeros(0, np.int64)), detector.evidence(some(part, np.zeros(0, np.int64))))
    blank = Part(part.layout, part.start_ms, part.reference, part.known, part.slices, part.layout.blank(len(part.rows)))
    news = detector.evidence(blank).news
    if not detector.everywhere:
        assert not news.any(), "slices without an event must bring no news, unless it looks everywhere"


def _equal(a: Evidence, b: Evidence) -> bool:
    return np.array_equal(a.news, b.news) and np.array_equal(a.log_e[a.news], b.log_e[b.news])


def _check_slices_apart(together: Detector, alone: Detector, stream: list[Part]) -> None:
    for part in stream:
        joint, singles = together.evidence(part), [alone.evidence(some(part, [i])) for i in range(len(part.slices))]
        single = Evidence(*(np.concatenate([getattr(one, name) for one in singles]) for name in ("log_e", "news")))
        assert _equal(joint, single), f"pane {part.start_ms}: slices depend on each other"


def _check_panes_at_once(whole: Detector, single: Detector, stream: list[Part]) -> None:
    """What it says of a pane must not depend on whether others are handed in with it."""
    for first in range(0, len(stream), 7):
        parts = stream[first : first + 7]
        known, slices, rows, start_ms = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("known", "slices", "rows", "start_ms")
        )
        edges = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()
        joint = whole.evidence(Part(parts[0].layout, start_ms, parts[0].reference, known, slices, rows, edges))
        each = [single.evidence(part) for part in parts]
        one_by_one = Evidence(*(np.concatenate([getattr(one, name) for one in each]) for name in ("log_e", "news")))
        assert _equal(joint, one_by_one), (
            f"panes from {parts[0].start_ms[0]} on: they depend on being handed in together"
        )
    assert pack(whole.to_state()) == pack(single.to_state()), "many panes leave something else behind than one by one"


def _check_together(detector: Detector, stream: list[Part]) -> None:
    for part in stream if detector.groups else ():
        sums, number = part.sums(np.arange(len(part.slices))), int(part.slices.max()) + 1
        group = detector.together(group_evidence(part.reference, sums), part.reference, number)
        _check_shape(detector, some(part, [0]), group)
        none = group_evidence(part.reference, part.sums(np.zeros(0, dtype=np.int64)))
        news = detector.together(none, part.reference, number).news
        assert not news.any(), "a group without slices must bring no news"


def _check_figures(detector: Detector, stream: list[Part]) -> None:
    for part in stream:
        rows, channels = (each.ravel() for each in np.indices((len(part.rows), detector.channels)))
        figures = detector.figures(part, rows, channels)
        assert figures.shape == (len(rows), len(FIGURES)), f"figures have the shape {figures.shape}"
        n = figures[:, 0]
        assert not (n < 0).any(), "figures are sums over a number of events, which is below 0"
        assert not (figures[:, 3] < 0).any(), "the standard deviation of one event is below 0"
        assert np.isfinite(figures[np.isfinite(n) & (n > 0)]).all(), "some figures of a channel, but not all of them"


def _check_kept(new: New, stream: list[Part]) -> None:
    """Slices that leave take their memories along: those that stay go on the same under their new numbers."""
    stay = np.arange(MOVED, 1 + max(int(part.slices.max()) for part in stream), 2)
    whole, kept = new(), new()
    for part in stream[:_HALF_WAY]:
        whole.evidence(part)
        kept.evidence(part)
    kept.keep(stay)
    for part in stream[_HALF_WAY:]:
        own = some(part, np.flatnonzero(np.isin(part.slices, stay)))
        numbers = np.searchsorted(stay, own.slices)
        renumbered = Part(own.layout, own.start_ms, own.reference, own.known, numbers, own.rows)
        assert _equal(whole.evidence(own), kept.evidence(renumbered)), (
            "slices left, and those that stay are not the same"
        )


def _check_restored(new: New, stream: list[Part], cut: int) -> None:
    whole, first, second = new(), new(), new()
    expected = [whole.evidence(part) for part in stream]
    for part in stream[:cut]:
        first.evidence(part)
    second.restore(unpack(pack(first.to_state())))
    if cut:
        odds = np.ones(first.bets)
        odds /= first.bets
        reference = stream[0].reference
        said = [[each.says(c, odds, reference) for c in range(each.channels)] for each in (first, second)]
        assert said[0] == said[1], "restored from a snapshot, it says something else"
    resumed = [second.evidence(part) for part in stream[cut:]]
    same = all(_equal(a, b) for a, b in zip(resumed, expected[cut:], strict=True))
    assert same, f"restored from a snapshot after {cut} panes, it does not go on the same"


def _check_mean(detector: Detector, world: World) -> None:
    """By simulation: a mean above 1 by more than four standard errors is no chance."""
    many = World(world.d, world.k, slices=60, seed=world.seed)
    values = list[Floats]()
    for part in many.parts(60, 9):
        part = part if detector.everywhere else with_events(part)
        evidence = detector.evidence(part)
        values.append(np.where(evidence.news[:, :, None], np.exp(np.minimum(evidence.log_e, 50.0)), 1.0))
    e = np.concatenate(values)
    above = (e.mean(axis=0) - 1.0) / np.maximum(e.std(axis=0), 1e-9) * np.sqrt(len(e))
    channel, bet = np.unravel_index(int(above.argmax()), above.shape)
    mean = float(e[:, channel, bet].mean())
    assert above.max() < 4.0, (
        f"nothing changes, and the e-values of channel {channel}, bet {bet} have the mean {mean:.3f}"
    )


def _reacts(detector: Detector, world: World, name: str) -> bool:
    """Whether a planted change shows, on its slice alone, and is put into words."""
    stream = [*world.parts(_QUIET, 4), *world.parts(_LASTS, 5, {MOVED: CHANGES[name]}, _QUIET)]
    highest = _highest(detector, stream)
    others = np.delete(highest, MOVED, axis=0).max()
    assert others < ENOUGH, f"{name}: evidence of {others:.1f} nats against slices that did not change"
    if highest[MOVED].max() < ENOUGH:
        return False
    channel = int(highest[MOVED].max(axis=1).argmax())
    odds = np.exp(highest[MOVED, channel] - highest[MOVED, channel].max())
    said = detector.says(channel, odds / odds.sum(), world.fitted[1])
    named = {*world.config.event.numeric, *world.config.event.categorical}
    assert set(said.features) <= named, f"{name}: it names {', '.join(said.features)}, which are no columns"
    assert said.words, f"{name}: it does not say what has happened"
    assert not any(character.isdigit() for character in said.words), f"{name}: its words hold figures"
    return True


def _highest(detector: Detector, stream: list[Part]) -> Floats:
    """Largest evidence of a change at any pane up to now ``(slices, c, b)``, nats."""
    shape = (len(stream[0].slices), detector.channels, detector.bets)
    sums, highest = np.zeros(shape), np.zeros(shape)
    for part in stream:
        part = part if detector.everywhere else with_events(part)
        evidence = detector.evidence(part)
        at: Ints = part.slices
        new = np.maximum(sums[at], 0.0) + evidence.log_e
        sums[at] = np.where(evidence.news[:, :, None], new, sums[at])
        highest = np.maximum(highest, sums)
    return highest
