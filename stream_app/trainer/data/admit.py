"""Which rows may train, calibrate and judge: what leaves, why, and how many were told of each reason.

No row leaves calibration or gate by its score: the champion's tail would be missing there, and the p-values of every
next model would be too small by it. Spans of incidents that nobody has judged leave all three, whole. From the training
span alone leave rows that the champion flags, save those that a person has called the new normal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flowlib.copies import newest, units
from flowlib.density import Density
from flowlib.table import Bools, Ints, Table
from schemas.pane_layout import OTHER, TOGETHER
from schemas.records import IncidentSpan, RetrainRequest
from stream_app.config import Config
from stream_app.stages.dropped import Dropped
from stream_app.trainer.data.caps import within_caps
from stream_app.trainer.data.rows import Rows, joined
from stream_app.trainer.data.spans import Cuts, Folds, Split, cuts, validates

HELD_MAX = 100_000
"""Most rows that calibrate, and that judge; of more an even share over time."""
_UNUSABLE = "every numeric field is missing, or one is infinite"
LEFT_OUT_MAX = 2_000
"""Most rows that are held back for the membership attack."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is made of the rows of a request.

    Attributes:
        split: the parts.
        known: rows that were admitted, whatever became of them afterwards, in order of time.
        fault: why they cannot be cut into spans, or "".
        bursts: id of each incident with bursts that nobody has judged to its rows: they are in no part.
    """

    split: Split
    known: Table
    fault: str = ""
    bursts: Mapping[str, Table] = field(default_factory=dict)

    def ordinary(self, first: bool) -> Table:
        """Rows that say what is normal in panes, in order of time: none of them has set a weight. For a first model all
        seasons of its training span too, by the rows that said when to stop: its history is scored under it.
        """
        return joined(self.split.validation, self.split.held_out) if first else self.split.held_out


def prepare(config: Config, request: RetrainRequest, rows: Rows, champion: Density | None, folds: Folds) -> Prepared:
    """Admit rows and split them; what leaves is counted in ``rows.rejected``.

    Privately, whether a row is among the others and in which part follows from the request and the row alone: no
    quarantine, no caps, no copies, no thinning.

    Args:
        config: the stream.
        request: names the spans that nobody has judged, and those that a person has called the new normal.
        rows: what it names.
        champion: the model in service, None before the first.
        folds: draws the validation blocks and who stays within caps.
    """
    dropped, private = rows.rejected, config.privacy.enabled
    rows = _without(rows, unusable(rows.table), dropped, "unscorable", _UNUSABLE)
    bursts = _bursts(config, request, rows.table)
    rows = _without(rows, within(rows.table, request.unjudged, config), dropped, "unjudged", _unjudged(request))
    known, where = rows.table, _cuts(config, request, rows.table, champion)
    training, calibrating, judging = where.spans(known)
    if where.fault or private:
        return Prepared(_cut(known, training, calibrating, judging, where, folds, private), known, where.fault, bursts)
    if champion is not None:
        strange = _flagged(known, training, champion, config) & ~within(known, request.accepted, config)
        dropped.add("quarantined", "", "strange to the model in service: they train nothing", int(strange.sum()))
        training &= ~strange
    held = calibrating | judging
    training, once = _without_copies(known, training, calibrating, judging, dropped)
    training = _capped(rows, training, where, folds, dropped)
    split = _cut(known, training, calibrating & once, judging & once, where, folds)
    return Prepared(replace(_thinned(split, config), held_out=known.take(held)), known, bursts=bursts)


def _cuts(config: Config, request: RetrainRequest, table: Table, champion: Density | None) -> Cuts:
    """Where to cut; rows that the model in service was trained on neither calibrate another one nor judge the two."""
    start_ms, end_ms = max(min(part.start_ms for part in request.train), 0), max(part.end_ms for part in request.train)
    where = cuts(config, table, request.calibrate_from_ms, start_ms, end_ms)
    about = champion.manifest.get("provenance", {}) if champion is not None else {}
    unseen_ms = about.get("held_out_from_ms", 0)
    if where.fault or where.from_ms >= unseen_ms:
        return where
    where = cuts(config, table, unseen_ms, start_ms, end_ms)
    if where.fault or where.from_ms >= unseen_ms:
        return where
    return replace(
        where,
        fault="the model in service was trained on rows of the same time: too few blocks are later than those, and "
        f"{2 * config.trainer.min_blocks} are needed to calibrate and to judge",
    )


def _bursts(config: Config, request: RetrainRequest, table: Table) -> dict[str, Table]:
    spans: dict[str, list[IncidentSpan]] = {}
    for span in request.unjudged:
        if span.kind == "burst":
            spans.setdefault(span.incident_id, []).append(span)
    return {name: table.take(within(table, parts, config)) for name, parts in spans.items()}


def unusable(table: Table) -> Bools:
    """Rows ``(n,)`` that no model could score."""
    numeric = table.numeric
    return np.asarray(np.isinf(numeric).any(axis=1) | np.isnan(numeric).all(axis=1))


def within(table: Table, spans: Sequence[IncidentSpan], config: Config) -> Bools:
    """Rows ``(n,)`` in one of the spans.

    A span of a slicing that the stream has not is one of all slices, and so is one of all slices together. Events
    without a place of their own are taken to be those of slices that had no row before the span.
    """
    inside = np.zeros(len(table), dtype=bool)
    numbers = {name: number for number, name in enumerate(config.slicing_names)}
    for span in spans:
        there = (table.time_ms >= span.from_ms) & (table.time_ms < span.to_ms)
        if span.slices and TOGETHER not in span.slices and span.slicing in numbers and there.any():
            names = table.in_slicing(numbers[span.slicing]).astype(str)
            meant = np.isin(names[there], np.array(span.slices, dtype=str))
            if OTHER in span.slices:
                meant |= ~np.isin(names[there], np.unique(names[table.time_ms < span.from_ms]))
            there[there] = meant
        inside |= there
    return inside


def leave_out(table: Table, seed: int, together: bool = True) -> tuple[Table, Table]:
    """``(rest, left out)``: a tenth of the rows, at most :data:`LEFT_OUT_MAX`, drawn at random, and the others.

    Drawn from the training rows themselves: on other days the attack of the membership gate would measure drift. With
    a row its copies are left out; ``together`` is False where copies are rows like any.
    """
    unit = units(table) if together else np.arange(len(table))
    last = newest(unit)
    left = np.zeros(len(last), dtype=bool)
    left[np.random.default_rng(seed).permutation(len(last))[: min(len(last) // 10, LEFT_OUT_MAX)]] = True
    return table.take(~left[unit]), table.take(last[left[unit[last]]])


def thin(table: Table, rows_max: int) -> Table:
    """At most ``rows_max`` rows, evenly spaced in time."""
    if len(table) <= rows_max:
        return table
    return table.take(np.linspace(0, len(table) - 1, rows_max).astype(np.int64))


def _without(rows: Rows, out: Bools, dropped: Dropped, reason: str, example: str) -> Rows:
    if not out.any():
        return rows
    dropped.add(reason, "", example, int(out.sum()))
    return rows.take(~out)


def _unjudged(request: RetrainRequest) -> str:
    """Of which incidents nobody has said what they are."""
    names = list(dict.fromkeys(span.incident_id for span in request.unjudged))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"nobody has judged incident {', '.join(name[:8] for name in names[:3])}{more} yet"


def _flagged(table: Table, training: Bools, champion: Density, config: Config) -> Bools:
    """Rows ``(n,)`` of the training span that the champion flags."""
    flagged = np.zeros(len(table), dtype=bool)
    if training.any():
        scores = champion.score(table.take(training))
        flagged[training] = scores.scorable & (scores.p_value <= config.event_rule.alpha)
    return flagged


def _without_copies(
    table: Table, training: Bools, calibrating: Bools, judging: Bools, dropped: Dropped
) -> tuple[Bools, Bools]:
    """``(training, once)``: training rows that have no copy in a later span, and rows that are the newest of their
    copies. Copies go by the newest of them.
    """
    part = np.where(training, 0, np.where(calibrating, 1, np.where(judging, 2, -1)))
    among = np.flatnonzero(part >= 0)
    unit, once = units(table.take(among)), np.zeros(len(table), dtype=bool)
    last = newest(unit)
    once[among[last]] = True
    of_unit = np.zeros(len(last), dtype=np.int64)
    of_unit[unit[last]] = part[among[last]]
    stays = np.zeros(len(table), dtype=bool)
    stays[among] = of_unit[unit] == part[among]
    left_out = int((part >= 0).sum()) - int((stays & (training | once)).sum())
    dropped.add("repeated", "", "copies of other rows in every column", left_out)
    return training & stays, once & stays


def _capped(rows: Rows, training: Bools, where: Cuts, folds: Folds, dropped: Dropped) -> Bools:
    """Training rows within the caps."""
    at: Ints = np.flatnonzero(training)
    table, draw = rows.table.take(at), folds.generator("caps").random(len(rows))[at]
    keys = None if rows.keys is None else rows.keys[at]
    kept = within_caps(table, where.blocks.of(table), keys, draw)
    dropped.add("capped", "", "more of one slice, producer or content than is usual of it", int((~kept).sum()))
    training = np.zeros(len(rows), dtype=bool)
    training[at[kept]] = True
    return training


def _cut(
    table: Table, training: Bools, calibrating: Bools, judging: Bools, where: Cuts, folds: Folds, alone: bool = False
) -> Split:
    stops = np.zeros(len(table), dtype=bool)
    stops[training] = validates(where.blocks.of(table.take(training)), folds, alone)
    parts = [table.take(part) for part in (training & ~stops, training & stops, calibrating, judging)]
    return Split(parts[0], parts[1], parts[2], parts[3], table.take(calibrating | judging), where.blocks)


def _thinned(split: Split, config: Config) -> Split:
    """Of too many rows an even share over time: ``model.max_rows`` that train, and :data:`HELD_MAX` of the others."""
    most = config.model.max_rows
    share = min(most / max(len(split.train) + len(split.validation), 1), 1.0)
    return replace(
        split,
        train=thin(split.train, max(int(len(split.train) * share), 1)),
        validation=thin(split.validation, max(int(len(split.validation) * share), 1)),
        calibration=thin(split.calibration, HELD_MAX),
        gate=thin(split.gate, HELD_MAX),
    )
