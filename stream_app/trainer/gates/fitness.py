"""Gates that ask whether a candidate can be judged at all: ``rows``, ``data``, ``unscorable``, ``membership``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowlib.density import Density
from flowlib.evaluation import share
from flowlib.privacy.membership import MEMBERS_MIN, membership_advantage
from flowlib.table import Floats, Table
from stream_app.config import TrainerConfig
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.trial import Trial

ROWS_MIN = 100
"""Fewer rows than this judge no model, or than a fifth of ``trainer.min_rows``."""

UNSCORABLE_MAX = 0.01
"""So large a share more than the champion's may be unscorable."""

_SHOWN = 5


def rows(trial: Trial) -> Gate:
    """Whether there are rows and blocks enough to judge by, copies counted once."""
    n, blocks = int(trial.once.sum()), len(np.unique(trial.blocks[trial.once]))
    least, least_blocks = max(ROWS_MIN, trial.settings.min_rows // 5), trial.settings.min_blocks
    says = (
        f"{n:,} different events on {blocks} separate stretches of time judged the new model "
        f"({least:,} and {least_blocks} are the least)"
    )
    detail = {"rows": n, "blocks": blocks, "blocks_threshold": least_blocks}
    return Gate("rows", n >= least and blocks >= least_blocks, says, float(n), None, float(least), detail=detail)


def data(severe: Sequence[str]) -> Gate:
    """Whether something is gravely wrong with the training rows: sentences on each such thing."""
    more = f"; and {len(severe) - _SHOWN} findings more" if len(severe) > _SHOWN else ""
    says = "; ".join(severe[:_SHOWN]) + more if severe else "nothing grave was found in the training events"
    return Gate("data", not severe, says, float(len(severe)), None, 0.0, detail={"findings": list(severe)})


def unscorable(trial: Trial) -> Gate:
    """Whether the candidate has a score for the rows."""
    lost = ~trial.new.scorable
    if not len(lost):
        return Gate("unscorable", False, "there are no held-out events to score")
    figure = share(lost, trial.blocks)
    before = float(np.mean(~trial.old.scorable)) if trial.old is not None else 0.0
    limit = before + UNSCORABLE_MAX
    says = (
        f"the new model cannot score {figure.value:.2%} of the held-out events "
        f"(95 % interval {figure.low:.2%} to {figure.high:.2%}; at most {limit:.2%} allowed)"
    )
    detail = {"candidate": figure.value, "in_service": before if trial.old is not None else None, "rows": len(lost)}
    return Gate("unscorable", figure.low <= limit, says, figure.value, (figure.low, figure.high), limit, detail=detail)


def membership(candidate: Density, members: Table, others: Table, settings: TrainerConfig) -> Gate:
    """From the likelihoods, guess which rows the candidate was trained on.

    Fails only where the lower end of the 95 % interval of the advantage is above the limit, or where rows are too few.
    """
    inside, outside = _likelihoods(candidate, members), _likelihoods(candidate, others)
    limit = settings.max_membership_advantage
    if min(len(inside), len(outside)) < MEMBERS_MIN:
        says = f"too few rows for the membership attack ({len(outside)}; {MEMBERS_MIN} are the least)"
        return Gate("membership", False, says, None, None, limit, detail={"rows": len(outside)})
    attack = membership_advantage(inside, outside)
    low, high = attack.advantage_95
    says = (
        f"guessing which events trained the model gains {attack.advantage:.3f} over chance "
        f"(95 % interval {low:.3f} to {high:.3f}; at most {limit:g} allowed)"
    )
    detail = {
        "candidate": attack.advantage,
        "auc": attack.auc,
        "auc_interval_95": list(attack.auc_95),
        "limit": limit,
        "rows": attack.rows,
    }
    return Gate("membership", low <= limit, says, attack.advantage, attack.advantage_95, limit, detail=detail)


def _likelihoods(candidate: Density, table: Table) -> Floats:
    scores = candidate.score(table)
    return scores.log_prob[scores.scorable]
