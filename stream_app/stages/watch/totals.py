"""How many events of a pane each model has scored, and how many of them it takes for strange."""

from __future__ import annotations

import numpy as np

from flowlib.table import Ints
from schemas.evidence import ALARM, ModelPane
from schemas.pane_layout import ALPHAS, LOG_PROB_CLIP, SUM_SCALE, PaneLayout
from stream_app.stages.merging import SlicingPanes

_LEVEL = ALPHAS.index(ALARM)


def model_panes(layout: PaneLayout, panes: SlicingPanes, k: int) -> list[ModelPane]:
    """Sums of pane ``k`` for each model, its row of ``__other__`` included, in the order of their ids."""
    sums: dict[str, Ints] = {}
    rows = [(part.model_id, part.rows[part.edges[k] : part.edges[k + 1]]) for part in panes.parts]
    rows += [(model_id, row[None]) for model_id, row in panes.others[k]]
    for model_id, own in rows:
        if len(own):
            sums[model_id] = sums.get(model_id, 0) + _sums(layout, own)
    return [_model_pane(model_id, of.tolist()) for model_id, of in sorted(sums.items())]


def _sums(layout: PaneLayout, rows: Ints) -> Ints:
    columns = [layout.get(rows, name) for name in ("scored", "unscorable", "log_prob_sum")]
    return np.array([*(column.sum() for column in columns), layout.get(rows, "p_le")[:, _LEVEL].sum()])


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


def scored_and_alarms(layout: PaneLayout, panes: SlicingPanes, k: int, numbers: Ints, slices: int) -> Ints:
    """``(slices, 2)`` events of pane ``k`` that were scored, and alarms among them, by number of the slice.

    Args:
        numbers: ``(m,)`` of the slice of each cell.
        slices: how many there are.
    """
    counts = np.zeros((slices, 2), dtype=np.int64)
    cells = slice(panes.edges[k], panes.edges[k + 1])
    rows = panes.rows[cells]
    scored = layout.get(rows, "scored")
    counts[numbers[cells], 0] = scored
    counts[numbers[cells], 1] = np.minimum(layout.get(rows, "p_le")[:, _LEVEL], scored)
    return counts
