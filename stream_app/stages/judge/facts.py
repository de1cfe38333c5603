"""What JUDGE knows of a pane beside its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from schemas.records import TopEvent

Allowed = Literal["open", "join", ""]
"""What the control over slices allows a candidate: to open an incident (or join one), only to join one, nothing."""


class PaneFacts(msgspec.Struct, frozen=True):
    """A pane that is judged.

    Attributes:
        events: of the pane, all slices.
        slices: slicing to the number of slices that have a place in it.
        service: the model that most slices were scored by; "" where there were none.
        top: the strangest of its flagged events, by p-value.
        thresholds: rule to the evidence at which one slice alone opens an incident in this pane.
        streams: rule to the number of slices and groups whose evidence it looks at.
    """

    start_ms: int
    end_ms: int
    events: int
    slices: Mapping[str, int]
    service: str
    top: Sequence[TopEvent]
    thresholds: Mapping[str, float]
    streams: Mapping[str, int]
