"""Makes the data sheet of a training set (Gebru et al., *Datasheets for Datasets*, CACM 64, 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flowlib.density import Density
from schemas.records import IncidentSpan
from stream_app.config import Config
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.data.sheet.balance import imbalance
from stream_app.trainer.data.sheet.columns import constants, missing, near_duplicates
from stream_app.trainer.data.sheet.contamination import contamination
from stream_app.trainer.data.sheet.findings import DataSheet, Finding, Material, discreet
from stream_app.trainer.data.sheet.labels import label_errors
from stream_app.trainer.data.sheet.repeats import duplicates, floods
from stream_app.trainer.data.sheet.telling import leakage
from stream_app.trainer.data.sheet.times import deleted, gaps
from stream_app.trainer.data.sheet.units import unit_changes
from stream_app.trainer.data.spans import Split

CHECKS: tuple[Callable[[Material], Iterator[Finding]], ...] = (
    deleted,
    gaps,
    duplicates,
    floods,
    leakage,
    unit_changes,
    imbalance,
    constants,
    missing,
    near_duplicates,
    label_errors,
    contamination,
)
"""All of them; a further one is a function and a line here."""

_ORDER = ("severe", "warning", "info")


def make_sheet(
    split: Split, rows: Rows, champion: Density | None, config: Config, accepted: Sequence[IncidentSpan] = ()
) -> DataSheet:
    """Look at the rows of a training; the same rows have the same sheet.

    Args:
        split: the parts.
        rows: all rows that were read, before any left; ``rows.rejected`` says which did and why.
        champion: the model in service, None before the first.
        config: the stream.
        accepted: spans that a person has called the new normal: strange rows there are no contamination.
    """
    material = Material(split, rows, champion, config, accepted)
    found = [finding for check in CHECKS for finding in check(material)] if len(rows) else []
    left_out: dict[str, int] = {}
    for reason in rows.rejected:
        left_out[reason.name] = left_out.get(reason.name, 0) + reason.rows
    parts, times = split.parts(), rows.table.time_ms
    return DataSheet(
        rows={name: len(part) for name, part in parts.items()},
        blocks={name: split.blocks.count(part) for name, part in parts.items()},
        block=split.blocks.name,
        times_ms={name: (int(part.time_ms[0]), int(part.time_ms[-1])) for name, part in parts.items() if len(part)},
        from_ms=int(times[0]) if len(rows) else 0,
        to_ms=int(times[-1]) if len(rows) else 0,
        slices=len(set(rows.table.slices.tolist())),
        findings=tuple(
            discreet(finding, config.event.sensitive)
            for finding in sorted(found, key=lambda f: _ORDER.index(f.severity))
        ),
        left_out=left_out,
    )
