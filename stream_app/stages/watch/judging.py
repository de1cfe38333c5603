"""The detectors over a final pane: a verdict for each rule and slice."""

from __future__ import annotations

import numpy as np

from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.judge.policy import Verdict
from stream_app.stages.watch.detectors import Detector, PaneView
from stream_app.stages.watch.detectors.pit import distances
from stream_app.stages.watch.merging import SlicingPane
from stream_app.stages.watch.windows import Ring, SlicingWindows

FEATURES_BLAMED_MAX = 3
"""Features that a verdict names."""


def ring_of(config: Config, rule: str, windows: SlicingWindows) -> Ring:
    """The rolling span that a rule looks at: its own, else the second one."""
    span = config.rules[rule].span
    if span is not None:
        return next(ring for ring in windows.rings if ring.span_ms == span)
    return windows.rings[min(1, len(windows.rings) - 1)]


def verdicts(config: Config, rule: str, detector: Detector, pane: SlicingPane, view: PaneView) -> list[Verdict]:
    """What a rule's detector says of each slice of a pane, slices in order of their names."""
    settings, layout = config.rules[rule], PaneLayout(len(config.event.numeric))
    statistics = detector.update(view)
    return [
        Verdict(
            rule=rule,
            detector=settings.detector,
            slicing=pane.slicing,
            slice=pane.names[i],
            pane_start_ms=pane.start_ms,
            pane_end_ms=pane.end_ms,
            model_id=pane.models[i],
            statistic=float(statistics[i]),
            evidence=detector.evidence,
            blame=_blame(config, layout, settings.detector, view, i) if statistics[i] >= settings.resolve else (),
        )
        for i in sorted(range(len(pane.names)), key=pane.names.__getitem__)
    ]


def _blame(config: Config, layout: PaneLayout, kind: str, view: PaneView, i: int) -> tuple[tuple[str, float], ...]:
    """The features that moved most in the rule's window, with their shares of the whole move."""
    moved = distances(layout.pit(view.window[i]), view.references[i].pit)
    if kind == "missing":
        share = layout.get(view.window[i], "missing") / max(int(layout.get(view.window[i], "seen")), 1)
        moved = np.maximum(share - view.references[i].missing, 0.0)
    total = float(moved.sum())
    order = np.argsort(-moved, kind="stable")[:FEATURES_BLAMED_MAX]
    return tuple((config.event.numeric[j], float(moved[j]) / total) for j in order if moved[j] > 0)
