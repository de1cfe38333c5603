"""How many events of a pane each model has scored, and how many of them it takes for strange."""

from __future__ import annotations

import numpy as np

from flowlib.table import Ints
from schemas.evidence import ALARM, ModelPane
from schemas.pane_layout import ALPHAS, LOG_PROB_CLIP, SUM_SCALE, PaneLayout
from stream_app.stages.merging import SlicingPanes

_LEVEL = ALPHAS.index(ALARM)


def model_panes(layout: PaneLayout, panes: SlicingPanes) -> list[list[ModelPane]]:
    """Of each pane the sums for each model, its row of ``__other__`` included, in the order of their ids."""
    sums: list[dict[str, Ints]] = [{} for _ in panes.starts_ms]
    for part in panes.parts:
        until = np.concatenate([np.zeros((1, 4), dtype=np.int64), np.cumsum(_sums(layout, part.rows), axis=0)])
        of_panes = np.diff(until[part.edges], axis=0)
        for k in np.flatnonzero(np.diff(part.edges)).tolist():
            sums[k][part.model_id] = of_panes[k]
    for k, of_pane in enumerate(panes.others):
        for model_id, row in of_pane:
            sums[k][model_id] = sums[k].get(model_id, 0) + _sums(layout, row[None])[0]
    return [[_model_pane(model_id, of.tolist()) for model_id, of in sorted(of_pane.items())] for of_pane in sums]


def _sums(layout: PaneLayout, rows: Ints) -> Ints:
    columns = [layout.get(rows, name) for name in ("scored", "unscorable", "log_prob_sum")]
    return np.stack([*columns, layout.get(rows, "p_le")[:, _LEVEL]], axis=1)


def _model_pane(model_id: str, sums: list[int]) -> ModelPane:
    scored, unscorable, log_prob, alarms = sums
    most = LOG_PROB_CLIP * scored  # whoever may write partials may write sums that do not fit together
    return ModelPane(
        model_id=model_id,
        seen=scored + unscorable,
        scored=scored,
        unscorable=unscorable,
        alarms=min(alarms, scored),
        log_prob_sum=min(max(log_prob / SUM_SCALE, -most), most),
    )


def scored_and_alarms(layout: PaneLayout, panes: SlicingPanes) -> Ints:
    """``(m, 2)`` events of each cell that were scored, and alarms among them."""
    scored = layout.get(panes.rows, "scored")
    return np.stack([scored, np.minimum(layout.get(panes.rows, "p_le")[:, _LEVEL], scored)], axis=1)
