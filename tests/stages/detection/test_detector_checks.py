"""The generic checks of a detector find what is wrong with it: one faulty detector for each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.reference.reference import Reference
from flowlib.table import Floats, Ints
from stream_app.stages.detection.detectors import Evidence, Part, Said
from stream_app.stages.detection.detectors.checks import MOVED, check_detector
from stream_app.stages.detection.detectors.location import LocationDetector
from stream_app.stages.detection.detectors.simulated import some
from stream_app.stages.detection.detectors.stuck import StuckDetector


class Loud(LocationDetector):
    """Promises too much: the mean of its e-values is above 1."""

    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e + 1.0, got.news)


class Hopeful(LocationDetector):
    """Leaves what one event may do on average out of the account."""

    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        n = part.deviations[0][:, self.place, None]
        return Evidence(got.log_e + 0.05 * n, got.news)


class Deaf(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(-np.abs(got.log_e), got.news)


class NotFinite(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e - np.inf, got.news)


class Flat(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e[:, 0], got.news)


class Restless(LocationDetector):
    """Has news of slices without events."""

    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e, np.ones_like(got.news))


class Neighbours(LocationDetector):
    def evidence(self, part: Part) -> Evidence:
        got = super().evidence(part)
        return Evidence(got.log_e - 0.001 * len(got.log_e), got.news)


class Forgetful(StuckDetector):
    def to_state(self) -> Any:
        return np.zeros((0, self.channels), dtype=np.int64)


class Absent(StuckDetector):
    """Forgets that slices have left."""

    def keep(self, numbers: Ints) -> None:
        pass


class Mute(LocationDetector):
    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        return Said((), "", "", "")


class Misnaming(LocationDetector):
    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        return Said(("pressure",), "up", "mean", "higher than usual")


class Counting(LocationDetector):
    def says(self, channel: int, odds: Floats, reference: Reference) -> Said:
        return Said((), "up", "mean", "higher by 1.2 sd")


class Crowd(LocationDetector):
    """Has news of a group of nobody."""

    def together(self, evidence: Evidence, reference: Reference, number: int) -> Evidence:
        got = super().together(evidence, reference, number)
        return Evidence(got.log_e, np.ones_like(got.news))


class Halved(LocationDetector):
    """Knows what was seen, and not what is usual."""

    def figures(self, part: Part, rows: Ints, channels: Ints) -> Floats:
        return np.where(np.arange(4) == 2, np.nan, super().figures(part, rows, channels))


class Bystander(LocationDetector):
    """Blames every slice for what one of them does."""

    def evidence(self, part: Part) -> Evidence:
        moved = np.flatnonzero(part.slices == MOVED)
        return super().evidence(
            part if len(part.slices) == 1 or not len(moved) else some(part, np.repeat(moved, len(part.slices)))
        )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Loud, "nothing changes, and the e-values"),
        (Hopeful, "nothing changes, and the e-values"),
        (Deaf, "does not react"),
        (NotFinite, "not finite"),
        (Flat, "the shape"),
        (Restless, "without an event"),
        (Neighbours, "depend on each other"),
        (Forgetful, "does not go on the same"),
        (Absent, "slices left"),
        (Mute, "does not say"),
        (Misnaming, "which are no columns"),
        (Counting, "its words hold figures"),
        (Halved, "some figures of a channel, but not all"),
        (Crowd, "a group without slices"),
        (Bystander, "depend on each other"),
    ],
)
def test_what_is_wrong_with_a_detector_is_found(make: Any, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check_detector(make, changes=["stuck"] if issubclass(make, StuckDetector) else ["location"])


def test_a_detector_that_finds_nothing_named_or_not_is_told_so() -> None:
    with pytest.raises(AssertionError, match="does not react to categories"):
        check_detector(LocationDetector, changes=["location", "categories"])
    check_detector(LocationDetector)
