"""Rows for training: exactly the offsets asked for, without quarantined events, split by whole days.

Whole days, because rows of one day resemble each other: after a random split the model would have been trained on the
days that it is judged on. Calibration and gate rows lie in the newest part (``calibrate_from_ms`` on), training rows
before and between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flowlib.copies import newest, units
from flowlib.density import Density
from flowlib.table import DAY_MS, Bools, Ints, Table
from stream_app.config import Config
from stream_app.stages.batches import EventBatch

WEEK_MS = 7 * DAY_MS
COLLECTIVE = 4.0
"""A week of a slice is collective where its share of flagged events is above this many times the rule's alpha."""
LEFT_OUT_MAX = 2_000
"""Most rows that are held back for the membership attack."""
FOLDS = 5
CALIBRATION, VALIDATION, GATE = 0, 1, 2
"""Folds by day number modulo 5; days of the other two folds train. A calibration day and a gate day each have one
training day beside them: were one kind nearer to what the model was trained on, its p-values would not hold on the
other."""
_TRAIN, _NOWHERE = FOLDS, -1


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint parts of the rows: fit, early stopping, calibration, gates; and the newest of the last three together,
    in order of time, which the reference is fitted on once the gates are passed.
    """

    train: Table
    validation: Table
    calibration: Table
    gate: Table
    held_out: Table


def gather(batches: Iterable[EventBatch], start_ms: int, end_ms: int) -> Table:
    """Join batches into rows of ``[start_ms, end_ms)``, ordered by time, then partition and offset.

    The order does not depend on how the batches were fetched, so training on them is repeatable.
    """
    parts = [batch for batch in batches if len(batch)]
    if not parts:
        return Table.of(np.zeros((0, 0)))
    slices = [np.stack([column.objects() for column in part.slices], axis=1) for part in parts]
    times = np.concatenate([part.event_time_ms for part in parts])
    offsets = np.concatenate([part.offsets for part in parts])
    partitions = np.concatenate([np.full(len(part), part.partition) for part in parts])
    order = np.lexsort((offsets, partitions, times))
    order = order[(times[order] >= start_ms) & (times[order] < end_ms)]
    return Table(
        np.concatenate([part.numeric for part in parts])[order],
        np.concatenate([part.categorical for part in parts])[order],
        np.concatenate([names[:, 0] for names in slices])[order],
        times[order],
        np.concatenate([names[:, 1:] for names in slices])[order],
    )


def quarantined(rows: Table, in_service: Density, config: Config) -> Bools:
    """Rows that must not train: events that the event rule flags, outside collective weeks.

    In a collective week (:data:`COLLECTIVE`) flagged events are not anomalies: the slice has changed, and a model must
    be trained on them to score the changed slice. Of such weeks the least likely rows are left out, ``trainer.trim`` of
    all.

    Returns:
        ``(n,)`` bool; False for rows that cannot be scored.
    """
    scores = in_service.score(rows)
    flagged = scores.scorable & (scores.p_value <= config.event_rule.alpha)
    weeks = rows.time_ms // WEEK_MS
    keys = np.array([f"{week}|{name}" for week, name in zip(weeks, rows.slices, strict=True)])
    _, group = np.unique(keys, return_inverse=True)
    share = np.bincount(group, weights=flagged) / np.maximum(np.bincount(group), 1)
    collective = share[group] > COLLECTIVE * config.event_rule.alpha
    worst = np.zeros(len(rows), dtype=bool)
    if collective.any() and config.trainer.trim:
        worst = collective & (scores.log_prob < np.quantile(scores.log_prob[collective], config.trainer.trim))
    return np.asarray((flagged & ~collective) | (worst & scores.scorable))


def without_unusable(rows: Table) -> Table:
    """Rows that a model could score at all."""
    usable = ~np.isinf(rows.numeric).any(axis=1) & ~np.isnan(rows.numeric).all(axis=1)
    return rows.take(np.asarray(usable))


def split(rows: Table, calibrate_from_ms: int, together: bool = True) -> Split:
    """Split by whole days. Copies (:mod:`flowlib.copies`) go by the newest of them: those that lie in another part than
    that one are left out, and of those that calibrate and judge it alone is taken.

    Args:
        rows: n rows, in order of time.
        calibrate_from_ms: days from here on may calibrate and judge; earlier ones train or stop training.
        together: False where what becomes of a row must not depend on the others: copies are rows like any.
    """
    fold = rows.time_ms // DAY_MS % FOLDS
    recent = rows.time_ms >= calibrate_from_ms
    train = np.isin(fold, (CALIBRATION, GATE, VALIDATION), invert=True) | (~recent & (fold != VALIDATION))
    part = np.where(train, _TRAIN, fold)
    unit = _units(rows, together)
    last = newest(unit)
    once, of_unit = np.zeros(len(rows), dtype=bool), np.empty(len(last), dtype=np.int64)
    once[last] = True
    of_unit[unit[last]] = part[last]
    part = np.where(of_unit[unit] == part, part, _NOWHERE)
    return Split(
        rows.take(part == _TRAIN),
        rows.take(part == VALIDATION),
        rows.take((part == CALIBRATION) & once),
        rows.take((part == GATE) & once),
        rows.take(recent & np.isin(part, (CALIBRATION, GATE, VALIDATION))),
    )


def leave_out(rows: Table, seed: int, together: bool = True) -> tuple[Table, Table]:
    """``(rest, left out)``: a tenth of the rows, at most :data:`LEFT_OUT_MAX`, drawn at random, and the others.

    Drawn from the training rows themselves: on other days the attack of the membership gate would measure drift. With
    a row its copies are left out; see :func:`split`.
    """
    unit = _units(rows, together)
    last = newest(unit)
    left = np.zeros(len(last), dtype=bool)
    left[np.random.default_rng(seed).permutation(len(last))[: min(len(last) // 10, LEFT_OUT_MAX)]] = True
    return rows.take(~left[unit]), rows.take(last[left[unit[last]]])


def _units(rows: Table, together: bool) -> Ints:
    return units(rows) if together else np.arange(len(rows))


def thin(rows: Table, rows_max: int) -> Table:
    """At most ``rows_max`` rows, evenly spaced in time."""
    if len(rows) <= rows_max:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, rows_max).astype(np.int64))
