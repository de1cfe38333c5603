"""Requests on data in which nothing has changed: how many of them end in another model.

Every request is for the ten weeks before it, a week after the one before; its candidate is judged against what is in
service then. ``promoted``: candidates that pass all gates, ``upper95`` the upper end of the 95 % interval of their
share (Clopper & Pearson 1934). Every candidate goes into the shadow besides, with the likelihood gate left out, on
events that have not changed either, where it is looked at after every pane: ``shadow_promoted`` of them would have
entered. ``true_gains``: nats an event that those which passed gain on many fresh events, with the standard error: one
that is truly better was no mistake.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from flowlib.density import Density
from flowlib.table import Table
from stream_app.trainer.data.spans import HOUR_MS
from stream_app.trainer.shadow.deciding import ShadowTest, Verdict
from stream_app.trainer.shadow.panes import OpenPanes
from tests.bench.loop.worlds import Loop, day_of, failed, ordinary, stream_in, without_gates

REQUESTS, DAYS, A_DAY, EVERY_DAYS = 100, 70, 240, 7
LIVE_DAYS, LIVE_A_DAY = 50, 1_000
MUST = 0.05


def measure(args: Namespace) -> dict[str, Any]:
    """``{no_gain: {requests, promoted, upper95, …}}``."""
    requests, g = (6 if args.quick else REQUESTS), np.random.default_rng([args.seed, 1])
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(stream_in(Path(folder)))
        loop.begin(ordinary(g, DAYS, A_DAY))
        found = [_asked(loop, g, number) for number in range(1, requests + 1)]
    promoted = sum(one["promoted"] for one in found)
    gains = [one["gain"] for one in found]
    return {
        "no_gain": {
            "requests": requests,
            "promoted": promoted,
            "upper95": float(beta.isf(0.025, promoted + 1, requests - promoted)) if promoted < requests else 1.0,
            "shadow_promoted": sum(one["shadow"] == "promote" for one in found),
            "shadow_undecided": sum(one["shadow"] == "" for one in found),
            "gain_nats": {"mean": float(np.mean(gains)), "largest": float(np.max(gains))},
            "same_weights": sum(gain == 0.0 for gain in gains),
            "true_gains": [one["true_gain"] for one in found if one["promoted"]],
        }
    }


def _asked(loop: Loop, g: np.random.Generator, number: int) -> dict[str, Any]:
    """One request, and what the shadow says of its candidate."""
    table = ordinary(g, DAYS, A_DAY, number * EVERY_DAYS)
    champion, outcome = loop.service, loop.ask(table)
    assert champion is not None
    with without_gates("likelihood"):
        candidate = loop.load(model) if (model := loop.ask(table).model) is not None else None
    live = ordinary(g, LIVE_DAYS, LIVE_A_DAY, day=number * EVERY_DAYS + DAYS)
    verdict = "" if candidate is None else shadow(loop, candidate, champion, live)
    gate = outcome.notice.gates.get("likelihood", {})
    told = {"gain": gate.get("figure") or 0.0, "promoted": loop.take(outcome), "shadow": verdict}
    if told["promoted"] and loop.service is not None:
        told["true_gain"] = true_gain(loop.service, champion, live)
    elif failed(outcome) != ["likelihood"]:
        print(f"  request {number}: {', '.join(failed(outcome))[:200]}", flush=True)
    return told


def shadow(loop: Loop, candidate: Density, champion: Density, live: Table) -> Verdict:
    """What the trainer's own test says after all live events, looked at after every pane."""
    settings = loop.config.trainer
    test = ShadowTest.of("model", settings.min_gain_nats, settings.max_alarm_ratio)
    panes = OpenPanes(HOUR_MS)
    panes.add(0, live.time_ms, candidate.score(live), champion.score(live))
    for pane in panes.take(()):
        test.take(pane)
        if test.verdict:
            return test.verdict
    return ""


def true_gain(new: Density, old: Density, fresh: Table) -> dict[str, float]:
    """Nats an event on fresh events, clipped as the gate does, with the standard error by days."""
    gain = np.clip(new.score(fresh).log_prob - old.score(fresh).log_prob, -10.0, 10.0)
    days = np.array([gain[day_of(fresh) == day].mean() for day in np.unique(day_of(fresh))])
    return {"nats": float(gain.mean()), "standard_error": float(days.std(ddof=1) / np.sqrt(len(days)))}


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    part = found["no_gain"]
    must = {"promoted": f"≤ {MUST * part['requests']:g}"}
    return [("what", "is", "must be"), *((name, value, must.get(name, "")) for name, value in part.items())]
