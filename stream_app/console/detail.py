"""What the page shows of one slice."""

from __future__ import annotations

from schemas.pane_layout import ALPHAS
from stream_app.console import people, picture, shapes, threads
from stream_app.console.queries import Points
from stream_app.console.rows import Row
from stream_app.stages.points import ALPHA_FIELDS


def detail_of(points: Points, slicing: str, name: str, span: str) -> Row | None:
    """Curves, calibration and incidents of one slice; None when there is no such slice."""
    spans, panes = points.spans(slicing, name), points.curve(slicing, name, "pane")
    if not spans or not panes:
        return None
    span = span if span in spans else spans[-1]
    window = points.last_window(slicing, name, span)
    if window is None:  # damaged
        return None
    return {
        "slicing": slicing,
        "slice": name,
        "spans": spans,
        "span": span,
        "panes": {
            "t": [row["time_ms"] for row in panes],
            "log_prob": [row.get("log_prob_mean") for row in panes],
            "model_id": [row["model_id"] for row in panes],
        },
        "strange": _strange(points, slicing, name, spans[min(1, len(spans) - 1)]),
        "swaps": shapes.swaps(panes),
        "incidents": threads.of_slice(points.heads(), (slicing, name)),
        "marks": people.marks(points.newest("actions", picture.ACTIONS_MAX)),
        "calibration": _calibration(window),
        "left_out": points.left_out,
    }


def _strange(points: Points, slicing: str, name: str, span: str) -> Row:
    rows = points.curve(slicing, name, span)
    return {"t": [row["time_ms"] for row in rows], "share": [shapes.share(r, "p_le_01") for r in rows], "span": span}


def _calibration(window: Row) -> Row:
    scored = window.get("scored", 0)
    return {
        "alpha": ALPHAS,
        "scored": scored,
        "share": [shapes.share(window, name) for name in ALPHA_FIELDS],
        "chance": [shapes.by_chance(alpha, scored) for alpha in ALPHAS] if scored else [],
    }
