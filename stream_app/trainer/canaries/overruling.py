"""Which incidents later models are not held to any more: a person has approved a model that does not flag their events,
and it has come into service. It follows from the notices, which are signed, so that nothing else has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.records import ModelNotice
from stream_app.models.waiting import GATE, incidents_of


def overruled_by(notice: ModelNotice) -> list[str]:
    """Incidents whose events a model does not flag that entered service by a person's word; none of any other."""
    if notice.status != "promoted" or not notice.provenance.get("approval"):
        return []
    return incidents_of(notice, GATE)


def overruled(notices: Iterable[ModelNotice]) -> dict[str, int]:
    """Incidents that were overruled, each with when that was said last, by the clock: what a person confirms after that
    counts again.
    """
    found = dict[str, int]()
    for notice in notices:
        for incident_id in overruled_by(notice):
            said_ms = int(notice.provenance["approval"].get("at_ms", 0))
            found[incident_id] = max(said_ms, found.get(incident_id, 0))
    return found
