"""The model of a promotion: the candidate, calibrated on the newest rows that it was never trained on.

Those are the rows that calibrated and judged it and those of the shadow, up to the end of the pane that decided. They
are read from the topic again, so that nothing of them lies on this machine meanwhile. None is left out by its score.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from flowlib import artifact
from flowlib.artifact import Artifact, ArtifactError, Ed25519PrivateKey
from flowlib.copies import newest, units
from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA, share
from flowlib.table import DAY_MS, Bools, Ints, Table
from schemas.records import IncidentSpan, OffsetRange
from stream_app.config import Config
from stream_app.trainer.data.admit import HELD_MAX, thin, unusable, within
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.outcome import Retrain
from stream_app.trainer.provenance import rows_sha256
from stream_app.trainer.shadow.state import Candidate
from stream_app.trainer.training import PUBLISHABLE_BYTES

_LATEST_MS = 253_402_300_799_999  # the last that a record may name


def ranges_of(candidate: Candidate) -> list[OffsetRange]:
    """What is read: what the request names and what the shadow has read, whatever its time."""
    return [
        OffsetRange(
            topic=part.topic,
            partition=part.partition,
            start=part.start,
            end=max(candidate.offsets.get(part.partition, part.end), part.end),
            start_ms=part.start_ms,
            end_ms=_LATEST_MS,
        )
        for part in candidate.request.train
    ]


def calibrated(
    config: Config, candidate: Candidate, density: Density, rows: Rows, about: dict[str, Any], key: Ed25519PrivateKey
) -> Artifact | None:
    """The candidate with the calibration and the reference of now, signed.

    Args:
        config: the stream.
        candidate: what was decided to be promoted.
        density: its model.
        rows: of :func:`ranges_of`, as far as retention has left them.
        about: facts of the shadow and of who has approved, for the manifest.
        key: signs the model.

    Returns:
        None where the rows are too few, or the model has become too large: then its own calibration counts. And where
        training is private: the ledger knows a model by the request that trained it, and its bytes.
    """
    if candidate.until_ms is not None:
        rows = rows.take(rows.table.time_ms < candidate.until_ms)
    held, known = held_out(config, candidate, density, rows.table)
    calibration = thin(known.take(_once(known, held)), 2 * HELD_MAX)
    if config.privacy.enabled or len(calibration) * 10 < config.trainer.min_rows:
        return None
    about = {
        **density.manifest["provenance"],
        **about,
        "calibration": {
            "rows": len(calibration),
            "from_ms": int(calibration.time_ms[0]),
            "to_ms": int(calibration.time_ms[-1]),
            "until_ms": candidate.until_ms,
            "rows_read_sha256": rows_sha256(rows),
        },
    }
    try:
        fresh = density.recalibrated(calibration, Retrain(config, candidate.request).seed)
        fresh = replace(fresh, manifest={**density.manifest, "candidate": density.model_id, "provenance": about})
        fresh = fresh.with_reference(
            known.take(held), int(config.windows.pane), rows.table, known, candidate.request.calibrate_from_ms
        )
        return artifact.pack(fresh, key, PUBLISHABLE_BYTES)
    except (ArtifactError, ValueError):  # too large for a message, or none of the rows can be scored
        return None


def is_flooded(config: Config, candidate: Candidate, density: Density, table: Table) -> bool:
    """Whether so many live events are alarms to a candidate, surely, that they may be a flood. They calibrate nothing
    then, as those of a burst do that nobody has judged: as many are left alone as the anchor's budget allows a
    calibration to unlearn. What a person has accepted does not count.

    Args:
        config: the stream.
        candidate: what was decided to be promoted.
        density: its model.
        table: rows of :func:`ranges_of`.
    """
    held, known = held_out(config, candidate, density, table)
    settled = within(known, candidate.request.accepted, config)
    live = known.take(held & ~settled & (known.time_ms >= candidate.request.requested_pane_ms))
    scores = density.score(live)
    if not scores.scorable.any():
        return False
    alarms = scores.p_value[scores.scorable] <= ALARM_ALPHA
    low = share(alarms, live.time_ms[scores.scorable] // DAY_MS).low
    return low > 2 * ALARM_ALPHA + config.trainer.anchor_budget


def held_out(config: Config, candidate: Candidate, density: Density, table: Table) -> tuple[Bools, Table]:
    """``(held, known)``: rows that may be used at all, and which of them never trained the candidate."""
    spans: Iterable[IncidentSpan] = [*candidate.request.unjudged, *candidate.unjudged]
    known = table.take(~unusable(table) & ~within(table, list(spans), config))
    return known.time_ms >= int(density.manifest["provenance"]["held_out_from_ms"]), known


def _once(known: Table, held: Bools) -> Bools:
    """Of the held-out rows each with its copies once, the newest of them; none that has a copy that trained."""
    unit: Ints = units(known)
    trained = np.zeros(int(unit.max(initial=-1)) + 1, dtype=bool)
    trained[unit[~held]] = True
    once = np.zeros(len(known), dtype=bool)
    once[newest(unit)] = True
    return np.asarray(once & held & ~trained[unit], dtype=bool)
