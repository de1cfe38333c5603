"""Gates: a candidate is promoted only if it passes all of them; the figures stand in the record either way.

The figures of a gate are a dict with ``passed`` and, under ``says``, one sentence for people.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowlib.density import Density
from flowlib.evaluation import ALARM_ALPHA
from flowlib.intervals import wilson
from flowlib.privacy.membership import MEMBERS_MIN, membership_advantage
from flowlib.table import Floats, Table
from stream_app.config import TrainerConfig


def judge(candidate: Density, in_service: Density | None, gate: Table, settings: TrainerConfig) -> dict[str, Any]:
    """Judge a candidate on rows that neither trained nor calibrated it.

    Returns:
        Gate name to figures: ``likelihood`` (mean held-out log-likelihood in raw space, nats, of both models on the
        same rows) and ``calibration`` (share of p <= 0.01 with a 95 % interval); :func:`membership` is a third.
    """
    scores = candidate.score(gate)
    gates = {"calibration": _calibration(scores.p_value[scores.scorable], settings)}
    if in_service is not None:
        old = in_service.score(gate)
        both = scores.scorable & old.scorable
        gates["likelihood"] = _likelihood(scores.log_prob[both], old.log_prob[both], settings)
        gates["calibration"]["in_service"] = _share(old.p_value[old.scorable])
    return gates


def membership(candidate: Density, members: Table, others: Table, settings: TrainerConfig) -> dict[str, Any]:
    """Gate ``membership``: from the likelihoods, guess which rows the candidate was trained on.

    Fails only where the lower end of the 95 % interval of the advantage is above the limit, or where rows are too few.
    """
    inside, outside = (
        scores.log_prob[scores.scorable] for scores in (candidate.score(members), candidate.score(others))
    )
    if min(len(inside), len(outside)) < MEMBERS_MIN:
        return {
            "passed": False,
            "rows": len(outside),
            "says": f"too few rows for the membership attack ({len(outside)})",
        }
    attack, limit = membership_advantage(inside, outside), settings.max_membership_advantage
    return {
        "passed": attack.advantage_95[0] <= limit,
        "candidate": attack.advantage,
        "interval_95": list(attack.advantage_95),
        "auc": attack.auc,
        "auc_interval_95": list(attack.auc_95),
        "limit": limit,
        "rows": attack.rows,
        "says": f"guessing which rows trained it gains {attack.advantage:.3f} over chance (at most {limit:g} allowed)",
    }


def passed(gates: dict[str, Any]) -> bool:
    """True when every gate has passed."""
    return all(gate["passed"] for gate in gates.values())


def summary(gates: dict[str, Any]) -> str:
    """One sentence with the figures of the gates that failed, or of all when none did."""
    failed = {name: gate for name, gate in gates.items() if not gate["passed"]} or gates
    return "; ".join(f"{name}: {gate['says']}" for name, gate in sorted(failed.items()))


def _likelihood(new: Floats, old: Floats, settings: TrainerConfig) -> dict[str, Any]:
    least = settings.min_gain_nats
    gain = float(np.mean(new - old)) if len(new) else math.nan
    error = float(np.std(new - old) / math.sqrt(max(len(new), 1))) if len(new) else math.nan
    return {
        "passed": bool(len(new)) and gain >= least,
        "candidate": _finite(np.mean(new)) if len(new) else None,
        "in_service": _finite(np.mean(old)) if len(old) else None,
        "gain_nats": _finite(gain),
        "gain_standard_error": _finite(error),
        "required_nats": least,
        "rows": len(new),
        "says": f"{gain:+.3f} nats an event against the model in service (at least {least:+.3f} wanted)",
    }


def _calibration(p_value: Floats, settings: TrainerConfig) -> dict[str, Any]:
    n, share = len(p_value), _share(p_value)
    limit = settings.max_alarm_ratio * ALARM_ALPHA
    low, high = wilson(share * n, n)
    return {
        "passed": n > 0 and share <= limit,
        "candidate": share,
        "alpha": ALARM_ALPHA,
        "interval_95": [float(low), float(high)],
        "limit": limit,
        "rows": n,
        "says": f"{share:.3%} of held-out events have p <= {ALARM_ALPHA} (at most {limit:.1%} allowed)",
    }


def _share(p_value: Floats) -> float:
    return float(np.mean(p_value <= ALARM_ALPHA)) if len(p_value) else 1.0


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
