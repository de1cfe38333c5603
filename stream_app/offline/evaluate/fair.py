"""Who is called strange more often than others, on events that the model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA
from flowlib.fairness import Part, fairness, slice_groups
from flowlib.table import DAY_MS, Table
from stream_app.config import Config
from stream_app.offline.evaluate.page import section, table

_SHOWN = 40
_SAID = 5


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


def said(parts: Sequence[Part]) -> list[str]:
    """Those that surely differ from all others, in sentences."""
    sure = sorted((part for part in parts if part.judged in ("over", "under")), key=lambda part: -abs(part.excess))
    if not sure:
        return ["No slice or group of slices is surely called strange more often, or less, than all others."]
    more = [f"{len(sure) - _SAID} more are in the table."] if len(sure) > _SAID else []
    return [f"{part.grouping}, {part.says()}." for part in sure[:_SAID]] + more


def fairness_section(parts: Sequence[Part]) -> str:
    """The section of the page."""
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
    body = f"<p>{escape(' '.join(said(parts)))}</p>{_FAIR}{table(head, rows)}" if parts else "<p>All are one slice.</p>"
    return section("Who is called strange more often", body)


def _nats(part: Part) -> str:
    if part.log_prob is None or part.log_prob_95 is None:
        return "–"
    return f"{part.log_prob:.2f} ({part.log_prob_95[0]:.2f} to {part.log_prob_95[1]:.2f})".replace(" ", "\u00a0")


_FAIR = (
    "<p>Each slice, and each group of slices, against all other events, day by day. <i>over</i> and <i>under</i> are "
    "said where that is sure for all parts of a grouping together (one error in twenty); of fewer than 30 events, or 5 "
    "days, nothing is. Whether the model is to blame, or those events are stranger, no figure says: look at them.</p>"
)
