"""What the page shows of one slice."""

from __future__ import annotations

from schemas.pane_layout import ALPHAS
from stream_app.console import people, picture, rates, shapes, threads
from stream_app.console.queries import Points
from stream_app.console.rows import Row
from stream_app.stages.points import ALPHA_FIELDS


def detail_of(points: Points, slicing: str, name: str, span: str, windows: int) -> Row | None:
    """Curves, calibration and incidents of one slice; None when there is no such slice.

    Args:
        points: the store.
        slicing, name, span: of the slice; a span that it has not is its longest one.
        windows: so many are looked at for the sentence above, so that its figures and colours are these.
    """
    spans, panes = points.spans(slicing, name), points.curve(slicing, name, "pane")
    if not spans or not panes:
        return None
    span = span if span in spans else spans[-1]
    window = points.last_window(slicing, name, span)
    if window is None:  # damaged
        return None
    heads = points.heads()
    incidents = threads.of_slice(heads, (slicing, name))
    state = threads.worst(one["severity"] for one in incidents if one["end_ms"] is None)
    if (slicing, name, window["model_id"]) in threads.accepted(heads):
        state = "silenced"
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
        "incidents": incidents,
        "marks": people.marks(points.newest("actions", picture.ACTIONS_MAX)),
        "calibration": _calibration(window, state, rates.error_of(windows)),
        "left_out": points.left_out,
    }


def _strange(points: Points, slicing: str, name: str, span: str) -> Row:
    rows = points.curve(slicing, name, span)
    return {"t": [row["time_ms"] for row in rows], "share": [shapes.share(r, "p_le_01") for r in rows], "span": span}


def _calibration(window: Row, state: str, error: float) -> Row:
    """Shares of events at or below each level, whether they are as promised, and between which they would be."""
    scored, found = window.get("scored", 0), rates.sides([window], error)[0].tolist()
    return {
        "alpha": ALPHAS,
        "scored": scored,
        "share": [shapes.share(window, name) for name in ALPHA_FIELDS],
        "tones": [threads.hushed(rates.TONES[side], state) for side in found],
        "interval": rates.intervals([window])[0],
        "allowed": [rates.allowed(alpha, scored, error) for alpha in ALPHAS] if scored else [],
    }
