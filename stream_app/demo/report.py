"""The figures of a demo run, as one JSON object."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from stream_app.stages.score.state import COUNTERS
from stream_app.trainer.dataset import DAY_MS, FOLDS, GATE
from stream_app.trainer.gates import wilson

if TYPE_CHECKING:
    from stream_app.demo.story import Story


def make_report(story: Story) -> dict[str, Any]:
    """Read everything back from the store and the worker's status."""
    from stream_app.demo.story import HISTORY_END
    from stream_app.trainer.bootstrap import bootstrap_until_ms

    facts, status = story.facts, story.facts.status
    link = sqlite3.connect(f"file:{story.config.path(story.config.sink.path)}?mode=ro", uri=True)
    try:
        panes = [w for w in facts.points(link, "windows") if w["span"] == "pane"]
        windows = link.execute("SELECT count(*) FROM points WHERE measurement = 'windows'").fetchone()[0]
        activations = facts.points(link, "activations")
    finally:
        link.close()
    seconds = time.time() - story.began
    first = facts.first_score_at or story.began
    return {
        "events_produced": story.produced,
        "events_received": status["received"],
        **{name: status[name] for name in COUNTERS if name != "received"},
        "conserved": status["received"] == sum(status[name] for name in COUNTERS if name != "received"),
        "slices": len({w["slice"] for w in panes}),
        "windows_written": windows,
        "alerts_opened": sum(a["state"] == "open" for a in facts.alerts),
        "drift_alerts_opened": sum(a["state"] == "open" and a["rule"] == "drift" for a in facts.alerts),
        "alerts_resolved": sum(a["state"] == "resolve" for a in facts.alerts),
        "retrain_requests": len(facts.retrains),
        "models_promoted": sum(m["status"] == "promoted" for m in facts.models),
        "models_refused": sum(m["status"] == "refused" for m in facts.models) + status["models_refused"],
        "swaps": len({a["model_id"] for a in activations}) - 1,
        "activations": [{k: a[k] for k in ("partition", "time_ms", "model_id")} for a in activations],
        "events_per_s": round(status["received"] / max(status["at"] - first, 1e-9), 1),
        "worker_restarts": story.restarts,
        "seconds_to_first_score": round(first - story.began, 2),
        "seconds_total": round(seconds, 2),
        "alarm_rate": alarm_rates(panes, facts, bootstrap_until_ms(story.config, HISTORY_END)),
        "models": [
            {k: m[k] for k in ("model_id", "status", "parent_id", "train_rows", "reason")}
            | {"gates": json.loads(m["gates"])}
            for m in facts.models
        ],
    }


def alarm_rates(panes: list[dict[str, Any]], facts: Any, history_end_ms: int) -> dict[str, Any]:
    """Share of events with p <= 0.01 in three periods, with their intervals.

    ``reference``: the days of the history that neither trained nor calibrated the first model. ``drift``: from the
    beginning of the first drift alert to the swap. ``after_swap``: everything scored by the last model.
    """
    models = list(dict.fromkeys(p["model_id"] for p in panes))
    first = [p for p in panes if p["model_id"] == models[0]]
    reference = [p for p in first if p["time_ms"] <= history_end_ms and (p["time_ms"] - 1) // DAY_MS % FOLDS == GATE]
    opened = [a["opened_pane_ms"] for a in facts.alerts if a["state"] == "open" and a["rule"] == "drift"]
    drift = [p for p in first if opened and p["time_ms"] > min(opened)]
    after = [p for p in panes if len(models) > 1 and p["model_id"] == models[-1]]
    parts = {"reference": reference, "drift": drift, "after_swap": after}
    rates: dict[str, Any] = {name: _rate(part)[0] for name, part in parts.items()}
    rates["interval_95"] = {name: _rate(part)[1] for name, part in parts.items()}
    rates["events"] = {name: sum(p["scored"] for p in part) for name, part in parts.items()}
    return rates


def _rate(panes: list[dict[str, Any]]) -> tuple[float | None, list[float] | None]:
    n, hits = sum(p["scored"] for p in panes), sum(p["p_le_01"] for p in panes)
    return (round(hits / n, 5), [round(x, 5) for x in wilson(hits, n)]) if n else (None, None)
