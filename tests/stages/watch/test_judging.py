"""A rule over a final pane: slices by name, features to blame, the span it looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.table import Floats
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.watch.detectors.checks import row, view
from stream_app.stages.watch.judging import FEATURES_BLAMED_MAX, ring_of, verdicts
from stream_app.stages.watch.merging import SlicingPane
from stream_app.stages.watch.windows import SlicingWindows
from tests.stages.streams import config


class Fixed:
    """A detector that says what it is told."""

    options = frozenset[str]()
    evidence = "test"

    def __init__(self, *statistics: float) -> None:
        self.statistics = np.array(statistics)

    def update(self, pane: Any) -> Floats:
        return self.statistics

    def to_state(self) -> None: ...

    def restore(self, state: Any) -> None: ...


def judged(rule: str, *statistics: float, gaps: float = 0.0, shift: float = 3.0) -> list[Any]:
    rng = np.random.default_rng(0)
    pane_view = view(4, [0, 1], [row(rng, 500), row(rng, 500, shift=shift, gaps=gaps)])
    pane = SlicingPane("station", pane_view.start_ms, pane_view.end_ms, ["south", "north"], ["m", "n"], pane_view.rows)
    return list(verdicts(config(), rule, Fixed(*statistics), pane, pane_view))


def test_slices_come_in_order_of_their_names_with_their_own_statistic() -> None:
    found = judged("feature", 0.0, 0.5)
    assert [(v.slice, v.model_id, v.statistic) for v in found] == [("north", "n", 0.5), ("south", "m", 0.0)]
    assert {(v.rule, v.detector, v.slicing, v.evidence) for v in found} == {("feature", "pit", "station", "test")}


def test_the_feature_that_moved_is_blamed_once_the_statistic_matters() -> None:
    north, south = judged("feature", 0.0, 0.5)
    assert north.blame[0][0] == "x"
    assert len(north.blame) <= FEATURES_BLAMED_MAX
    assert sum(share for _, share in north.blame) <= 1 + 1e-9
    assert south.blame == (), "below the level at which an incident ends nobody asks"


def test_a_missingness_rule_blames_what_is_missing() -> None:
    north, _ = judged("missing", 0.0, 0.5, gaps=0.4, shift=0.0)
    assert {name for name, _ in north.blame} == {"x", "y", "v"}
    assert all(0.2 < share < 0.5 for _, share in north.blame)


@pytest.mark.parametrize(("span", "expected"), [(None, 8_000), ("2s", 2_000), ("8s", 8_000)])
def test_a_rule_looks_at_its_span_or_at_the_second(span: str | None, expected: int) -> None:
    rule = {"detector": "pit", "open": 1.0, "resolve": 0.5} | ({"span": span} if span else {})
    cfg: Config = config(rules={"r": rule})
    windows = SlicingWindows.empty(cfg.windows, PaneLayout(3).width)
    assert ring_of(cfg, "r", windows).span_ms == expected
