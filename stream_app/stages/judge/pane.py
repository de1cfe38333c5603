"""All that WATCH found in a pane."""

from __future__ import annotations

import msgspec
import numpy as np

from flowlib.table import Ints
from schemas.evidence import EvidenceClosed, ModelPane, PaneEvidence
from schemas.pane_layout import PaneLayout
from schemas.records import TOP_MAX, TopEvent


class JudgedPane(msgspec.Struct, frozen=True):
    """What the partials partitions say of one pane.

    Attributes:
        evidence: of the partials partitions in order, each message by its number.
        closed: the markers, by partition; of one that went over the pane with those after it there is none.
    """

    start_ms: int
    end_ms: int
    evidence: list[PaneEvidence]
    closed: list[EvidenceClosed]

    @property
    def events(self) -> int:
        """Events of the pane, in the first slicing."""
        return sum(marker.events for marker in self.closed)

    @property
    def top(self) -> list[TopEvent]:
        """The strangest of its flagged events, by p-value."""
        events = [event for marker in self.closed for event in marker.top]
        return sorted(events, key=lambda event: (event.p_value, event.partition, event.offset))[:TOP_MAX]

    def models(self) -> dict[str, ModelPane]:
        """What came of its events under each model, of all partitions, in the order of their ids."""
        found: dict[str, ModelPane] = {}
        for of in sorted((of for marker in self.closed for of in marker.models), key=lambda of: of.model_id):
            found[of.model_id] = _added(found[of.model_id], of) if of.model_id in found else of
        return found

    def others(self) -> dict[tuple[str, str], Ints]:
        """The rows ``(n, w)`` of ``__other__``, by slicing and model, in the order of both."""
        rows: dict[tuple[str, str], list[Ints]] = {}
        for marker in self.closed:
            for other in marker.other:
                rows.setdefault((other.slicing, other.model_id), []).append(np.frombuffer(other.row, dtype="<i8"))
        return {key: np.stack(of) for key, of in sorted(rows.items())}

    def other_events(self, layout: PaneLayout) -> dict[str, int]:
        """Events in ``__other__`` of each slicing."""
        counts: dict[str, int] = {}
        for (slicing, _), rows in self.others().items():
            counts[slicing] = counts.get(slicing, 0) + int(layout.get(rows, "seen").sum())
        return counts


def _added(a: ModelPane, b: ModelPane) -> ModelPane:
    return ModelPane(
        model_id=a.model_id,
        seen=a.seen + b.seen,
        scored=a.scored + b.scored,
        unscorable=a.unscorable + b.unscorable,
        alarms=a.alarms + b.alarms,
        log_prob_sum=a.log_prob_sum + b.log_prob_sum,
    )
