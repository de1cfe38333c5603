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
from flowlib.table import Ints, Table
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.likelihood import CLIP
from stream_app.trainer.gates.trial import Trial, flags

KEPT = 0.95
"""Share of what was flagged that must still be flagged."""

SAMPLES = 4_000
BEYOND_SAMPLES, EDGE, BEYOND = 16_000, 2 * ALARM_ALPHA, 1.5
"""Of so many samples of a candidate those with a p-value of the anchor up to this lie at its edge; so many times as far
out nobody has seen an event."""
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
    """How far a candidate lies from the anchor: what it thinks ordinary must not be strange to the anchor, what the
    anchor thinks ordinary must not be unlikely to it, and what lies far beyond the edge of the anchor must be strange
    to it as well. A chain of small steps is seen here, which no single step shows.

    The last asks for what an attacker wants. A few events at the edge of a model are hardly strange to it, and one that
    is trained with them may take for ordinary what lies behind them, where it has not seen any.

    A calibration moves no density, so that its samples do not show what it has learned: of the held-out events that no
    person has accepted, as few may be strange to the anchor that it flags no more. Else it would take a world two
    standard deviations away, at which every seventh event is an alarm, for ordinary without asking anybody.
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
    loss, beyond, most = (
        _loss(far, trial.candidate, theirs),
        _beyond(far, trial, times),
        _most_beyond(settings.anchor_budget),
    )
    says = (
        f"{strange:.1%} of what the new model takes for ordinary is strange to the anchor (95 % interval {low:.1%} to "
        f"{high:.1%}; at most {limit:.1%}), what the anchor takes for ordinary is less likely to it by {loss:.2f} nats "
        f"an event (at most {settings.anchor_nats:g}), and {beyond:.3%} of what it takes for ordinary "
        f"opens a way beyond the edge of the anchor (at most {most:.3%})"
    )
    unflagged = _unflagged(far, trial) if trial.is_recalibrated else 0.0
    if trial.is_recalibrated:
        says += (
            f"; {unflagged:.1%} of the held-out events that nobody has accepted are strange to the anchor and not to "
            f"the new calibration (at most {limit:.1%})"
        )
    passed = max(strange, unflagged) <= limit and loss <= settings.anchor_nats and beyond <= most
    says += "" if passed else ": a person must say whether the world has changed so much"
    detail = {"loss_nats": loss, "loss_threshold": settings.anchor_nats, "usual": usual, "anchor": far.model_id}
    detail |= {"beyond": beyond, "beyond_threshold": most, "unflagged": unflagged}
    return Gate("anchor", passed, says, strange, (low, high), limit, waits=True, detail=detail)


def _most_beyond(budget: float) -> float:
    """A fortieth of the budget's odds: .05 % by default, and no limit towards a budget of everything."""
    return min(budget / max(1.0 - budget, 1e-9) / 40.0, 1.0)


def _beyond(far: Density, trial: Trial, times: Ints | None) -> float:
    """Share of a candidate's samples that lie at the edge of the anchor and, moved on beyond it, where the anchor flags
    them, are ordinary to the candidate still.
    """
    ours = trial.candidate.sample(BEYOND_SAMPLES, trial.seed, times)
    edge = ours.take(flags(far.score(ours), EDGE))
    if not len(edge):
        return 0.0
    rows = far.pushed_out(edge, BEYOND)
    rows = rows.take(flags(far.score(rows), trial.event_alpha))
    return float(np.sum(~flags(trial.candidate.score(rows), trial.event_alpha))) / BEYOND_SAMPLES


def _unflagged(far: Density, trial: Trial) -> float:
    """Share of the rows that a person has not accepted which the anchor finds strange and the candidate does not."""
    rows = trial.rows if trial.settled is None else trial.rows.take(~trial.settled)
    if not len(rows):
        return 0.0
    before, after = flags(far.score(rows), ALARM_ALPHA), flags(trial.candidate.score(rows), ALARM_ALPHA)
    return float(np.mean(before & ~after))


def _strange(model: Density, rows: Table) -> float:
    return float(np.mean(flags(model.score(rows), ALARM_ALPHA)))


def _loss(far: Density, candidate: Density, rows: Table) -> float:
    """Nats that a candidate loses on rows of the anchor, each within ±:data:`CLIP`."""
    theirs, ours = far.score(rows), candidate.score(rows)
    lost = np.clip(theirs.log_prob - ours.log_prob, -CLIP, CLIP)
    counted = theirs.scorable
    return float(np.where(ours.scorable, lost, CLIP)[counted].mean()) if counted.any() else CLIP
