"""Who is called strange more often than others, on events that the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence

from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA
from flowlib.fairness import Part, fairness, said, slice_groups
from flowlib.table import DAY_MS, Table
from stream_app.config import Config
from stream_app.reporting import parts as blocks

_SHOWN = 40
_TITLE = "Who is called strange more often"


def parts_of(config: Config, density: Density, judged: Table) -> list[Part]:
    """Slices of every slicing and groups of them, those that are over-alarmed most first; none of a slicing that is one
    slice.
    """
    scores, days = density.score(judged), judged.time_ms // DAY_MS
    found: list[Part] = []
    for number, fields in enumerate(config.event.slicings):
        if fields:
            groups = slice_groups(judged.in_slicing(number), fields)
            found += fairness(scores, groups, days, ALARM_ALPHA)
    return found


def fairness_part(parts: Sequence[Part]) -> blocks.Part:
    """The part of the page."""
    rows = [
        (
            part.grouping,
            part.name,
            f"{part.rows:,}",
            f"{part.share:.2%} ({100 * part.share_95[0]:.2f} to {100 * part.share_95[1]:.2f})".replace(" ", "\u00a0"),
            "–" if part.others is None else f"{part.others:.2%}",
            f"{part.excess:+.0f}",
            _nats(part),
            part.judged,
        )
        for part in parts[:_SHOWN]
    ]
    head = ("of", "slice or group", "events", "p ≤ 0.01", "all others", "alarms beyond", "nats", "against the others")
    if not parts:
        return blocks.Part(_TITLE, [blocks.Text("All are one slice.")], is_empty=True)
    return blocks.Part(_TITLE, [blocks.Text(" ".join(said(parts))), blocks.Text(_FAIR), blocks.Table(head, rows)])


def _nats(part: Part) -> str:
    if part.log_prob is None or part.log_prob_95 is None:
        return "–"
    return f"{part.log_prob:.2f} ({part.log_prob_95[0]:.2f} to {part.log_prob_95[1]:.2f})".replace(" ", "\u00a0")


_FAIR = (
    "Each slice, and each group of slices, against all other events, day by day. “Over” and “under” are "
    "said where that is sure for all parts of a grouping together (one error in twenty); of fewer than 30 events, or 5 "
    "days, nothing is. Whether the model is to blame, or those events are stranger, no figure says: look at them."
)
