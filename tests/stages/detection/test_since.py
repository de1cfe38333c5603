"""Since when a change is: of bets that lose next to nothing in ordinary panes as well."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream_app.stages.detection import tables
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.detectors.simulated import PANE_MS, Change
from tests.stages.detection.mixtures import MOVED, WORLD, mixture, settled

USUAL, BEFORE, RUN = 0.05, 400, 60.0
"""Share of values that fail to come, panes before the change, and events that count as one: they fail in long runs."""


def in_runs(parts: list[Part]) -> list[Part]:
    reference = parts[0].reference
    share = np.where(reference.missing < 0.5, USUAL, reference.missing)
    often = replace(
        reference, missing=share, missing_se=share * 0.1, missing_inflation=np.full_like(reference.missing, RUN)
    )
    return [replace(part, reference=often) for part in parts]


@pytest.mark.parametrize("native", [True, False])
def test_a_slow_bet_begins_where_the_change_did(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sum stays near what an ordinary pane costs it, far above nothing: of outages in runs it said the stream's
    first day for one that began months later.
    """
    if not native:
        monkeypatch.setattr(tables, "is_there", lambda: False)
    parts = in_runs([*WORLD.parts(BEFORE, 3), *WORLD.parts(400, 7, {MOVED: Change(missing=0.97)}, BEFORE)])
    made = mixture(["missing"])
    first = next(said for said in settled(made, parts) if said)
    began_ms = int(parts[BEFORE].start_ms[0])
    assert began_ms - PANE_MS <= first.since_ms <= began_ms + 5 * PANE_MS
