"""Events to scores: each event by the model of its pane, and the columns to blame for the strange ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flowlib.density import Density, Scores
from flowlib.explain.blame import blame, excess
from flowlib.reference.values import value_counts
from flowlib.table import Bools, Coded, Ints
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, ScoredBatch
from stream_app.stages.score.adaptive import Adaptive
from stream_app.stages.score.admission import Seating

EVENTS_BLAMED_MAX = 50
"""Flagged events of a pane and source partition whose blame is worked out; beyond, it is read off the likelihood."""

EVENTS_BLAMED_LEAST, _COLUMNS = 10, 400
"""The same of events of many columns, and how many columns of events are looked at together: blame tries three values
of each column up to three times, and one try costs more the more columns there are.
"""


def score_events(
    events: EventBatch,
    models: Mapping[str, Density],
    model: Coded,
    wanted: Bools,
    config: Config,
    adaptive: Adaptive,
    seating: Seating,
) -> ScoredBatch:
    """Score the wanted events; the others keep neutral values and count as not scorable.

    Args:
        events: n events.
        models: verified models by id.
        model: model id of each event.
        wanted: ``(n,)`` mask.
        config: events that ``event_rule`` finds strange are flagged, and get contributions: how much less likely than
            usual each column is, nats.
        adaptive: levels of the slices of the first slicing; they take the events in.
        seating: the slices that have a place, and with it a level of their own.
    """
    alpha, in_use = config.event_rule.alpha, _in_use(model.codes[wanted])
    whole = len(in_use) == 1 and bool(wanted.all())  # as in most batches
    scored, table = ScoredBatch.unscored(events, model, replaced=whole), events.table()
    adaptive.forget((name for _, name in seating.gone), but=[model.names[code] for code in in_use])
    for code in in_use:
        index, model_id = np.flatnonzero(wanted & (model.codes == code)), model.names[code]
        density = models[model_id]
        of_all = len(index) == len(events)
        scores = density.score(table if of_all else table.take(index))
        scored = _filled(scored, index, model_id, density, scores)
        usable = index[scores.scorable]
        all_usable = len(usable) == len(events)  # as in most batches
        place: Ints | slice = slice(None) if all_usable else usable
        scored.level[place] = alpha
        gone = [(int(np.searchsorted(usable, row)), name) for row, name in seating.gone]
        slices = seating.names[0] if all_usable else seating.names[0].take(usable)
        scored.adaptive[place], level = adaptive.judge(model_id, scored.p_value[place], slices, alpha, gone)
        if config.event_rule.follow == "adaptive":
            scored.level[place], flagged = level, scored.adaptive[index]
        else:
            flagged = scores.scorable & (scores.p_value <= alpha)
        scored.flagged[index] = flagged
        if flagged.any():
            strange = np.flatnonzero(flagged)
            scored.contributions.update(zip(index[strange].tolist(), excess(scores, density, strange), strict=True))
    return scored


def _in_use(codes: Ints) -> list[int]:
    """The different codes, in the order in which they come."""
    if len(codes) and np.all(codes == codes[0]):  # as in most batches
        return [int(codes[0])]
    return list(dict.fromkeys(codes.tolist()))


def _filled(scored: ScoredBatch, index: Ints, model_id: str, density: Density, scores: Scores) -> ScoredBatch:
    """The batch with what a model says of some of its events ``(m,)``."""
    channels = density.channels
    assert channels is not None, "models of a stream have channels: they are refused without when they are loaded"
    of_events, usual = channels.of(scores), density.references[0]  # centre and scale are those of every slicing
    numeric = scored.events.numeric
    columns = {name: getattr(scores, name) for name in ("log_prob", "p_value", "pooled", "scorable")}
    columns |= {name: getattr(of_events, name) for name in ("base", "group", "pit")}
    of_all = len(index) == len(numeric)
    columns["value"] = value_counts(numeric if of_all else numeric[index], usual.value_centre, usual.value_scale)
    pairs = {**scored.pairs, model_id: channels.pairs}
    if of_all:
        return replace(scored, pairs=pairs, **columns)
    for name, values in columns.items():
        getattr(scored, name)[index] = values
    return replace(scored, pairs=pairs)


def blame_flagged(
    scored: ScoredBatch, models: Mapping[str, Density], pane_start_ms: Ints, blamed: dict[int, int]
) -> None:
    """Work out the blame of the first few flagged events of each pane. It costs hundreds of evaluations an event, and a
    drifted slice flags a large part of its events; the others keep the contributions of the scoring.

    Args:
        scored: contributions are replaced in place.
        models: verified models by id.
        pane_start_ms: ``(n,)`` pane of each event.
        blamed: pane start to how many have been worked out, updated.
    """
    flagged = np.flatnonzero(scored.flagged)
    if not len(flagged):
        return
    columns = scored.events.numeric.shape[1] + scored.events.categorical.shape[1]
    most = min(max(_COLUMNS // columns, EVENTS_BLAMED_LEAST), EVENTS_BLAMED_MAX)
    chosen: dict[int, list[int]] = {}
    of_flagged = zip(
        flagged.tolist(), pane_start_ms[flagged].tolist(), scored.model.codes[flagged].tolist(), strict=True
    )
    for i, start, code in of_flagged:
        if blamed.get(start, 0) < most:
            blamed[start] = blamed.get(start, 0) + 1
            chosen.setdefault(code, []).append(i)
    table = scored.events.table()
    for code, index in chosen.items():
        nats = blame(models[scored.model.names[code]], table.take(np.array(index)))
        scored.contributions.update(zip(index, nats, strict=True))
