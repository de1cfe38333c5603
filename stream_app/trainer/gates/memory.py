"""Gates that hold a candidate to what was known before, which a person may open: ``bursts``, ``canaries``, ``anchor``.

Each alone of what a model has learned may look like progress. Whether a burst is the new normal or an attack, and
whether the world or somebody's patience has moved the model, no figure says: a person does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA
from flowlib.intervals import wilson
from flowlib.table import Table
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.likelihood import CLIP
from stream_app.trainer.gates.trial import Trial, flags

KEPT = 0.95
"""Share of what was flagged that must still be flagged."""

SAMPLES = 4_000
_SHOWN = 3


@dataclass(frozen=True)
class _Kept:
    """Of ``flagged`` rows of an incident a candidate still flags ``kept``."""

    name: str
    flagged: int
    kept: int

    @property
    def share(self) -> float:
        return self.kept / self.flagged


def bursts(trial: Trial) -> Gate:
    """Of every burst that nobody has judged, rows that the champion flags must still be flagged."""
    if trial.champion is None or not trial.bursts:
        return Gate("bursts", True, "no burst of strange events waits for a person", threshold=KEPT)
    found = []
    for name, rows in sorted(trial.bursts.items()):
        before = flags(trial.champion.score(rows), trial.event_alpha)
        after = flags(trial.candidate.score(rows.take(before)), trial.event_alpha)
        found += [_Kept(name, len(after), int(after.sum()))] if len(after) else []
    return _memory("bursts", found, "bursts that nobody has judged")


def canaries(trial: Trial) -> Gate:
    """Of every incident that a person has confirmed, the events must still be flagged."""
    found = []
    for name, rows in sorted(trial.canaries.items()):
        after = flags(trial.candidate.score(rows), trial.event_alpha)
        found += [_Kept(name, len(after), int(after.sum()))] if len(after) else []
    if not found:
        return Gate("canaries", True, "no incident has been confirmed by a person yet", threshold=KEPT)
    return _memory("canaries", found, "incidents that people have confirmed")


def _memory(name: str, found: list[_Kept], what: str) -> Gate:
    if not found:
        return Gate(name, True, f"the model in service flags nothing of the {what}", threshold=KEPT)
    worst = min(found, key=lambda one: one.share)
    low, high = (float(end) for end in wilson(worst.kept, worst.flagged))
    failed = [one for one in found if one.share < KEPT]
    says = (
        f"of {worst.flagged:,} events in incident {worst.name} ({what}) the new model still flags {worst.share:.1%} "
        f"(95 % interval {low:.1%} to {high:.1%}; {KEPT:.0%} wanted"
    )
    says += "); a person must say whether they are the new normal" if failed else ")"
    detail = {"incidents": [one.name for one in failed], "flagged": worst.flagged, "kept": worst.kept}
    return Gate(name, not failed, says, worst.share, (low, high), KEPT, waits=True, detail=detail)


def anchor(trial: Trial) -> Gate:
    """How far a candidate lies from the anchor: what it thinks ordinary must not be strange to the anchor, and what the
    anchor thinks ordinary must not be unlikely to it. A chain of small steps is seen here, which no single step shows.
    """
    far = trial.anchor
    if far is None:
        return Gate("anchor", True, "there is no anchor to compare with")
    if far.spec != trial.candidate.spec:
        return Gate("anchor", False, "the anchor has other columns: a person must name another one", waits=True)
    settings, times = trial.settings, trial.rows.time_ms if len(trial.rows) else None
    ours = trial.candidate.sample(SAMPLES, trial.seed, times)
    theirs = far.sample(SAMPLES, trial.seed, times)
    strange, usual = _strange(far, ours), _strange(far, theirs)
    limit = max(ALARM_ALPHA, usual) + settings.anchor_budget
    low, high = (float(end) for end in wilson(strange * SAMPLES, SAMPLES))
    loss = _loss(far, trial.candidate, theirs)
    says = (
        f"{strange:.1%} of what the new model takes for ordinary is strange to the anchor (95 % interval {low:.1%} to "
        f"{high:.1%}; at most {limit:.1%}), and what the anchor takes for ordinary is less likely to it by "
        f"{loss:.2f} nats an event (at most {settings.anchor_nats:g})"
    )
    passed = strange <= limit and loss <= settings.anchor_nats
    says += "" if passed else ": a person must say whether the world has changed so much"
    detail = {"loss_nats": loss, "loss_threshold": settings.anchor_nats, "usual": usual, "anchor": far.model_id}
    return Gate("anchor", passed, says, strange, (low, high), limit, waits=True, detail=detail)


def _strange(model: Density, rows: Table) -> float:
    return float(np.mean(flags(model.score(rows), ALARM_ALPHA)))


def _loss(far: Density, candidate: Density, rows: Table) -> float:
    """Nats that a candidate loses on rows of the anchor, each within ±:data:`CLIP`."""
    theirs, ours = far.score(rows), candidate.score(rows)
    lost = np.clip(theirs.log_prob - ours.log_prob, -CLIP, CLIP)
    counted = theirs.scorable
    return float(np.where(ours.scorable, lost, CLIP)[counted].mean()) if counted.any() else CLIP
