"""The figures of a demo run, as one JSON object."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from typing import Any

import numpy as np

from flowlib.intervals import wilson
from flowlib.table import Table
from schemas.incidents import Incident
from stream_app.config import Config
from stream_app.demo.facts import Facts, points, readable
from stream_app.demo.progress import Progress
from stream_app.incident_lines import is_over, is_silenced, messages_a_week, newest, open_first
from stream_app.stages.score.state import COUNTERS
from stream_app.trainer.data.spans import cuts

Row = dict[str, Any]


def make_report(facts: Facts, progress: Progress) -> dict[str, Any]:
    """Read everything back from the store and the worker's status.

    Raises:
        DriftflowError: the store is damaged.
    """
    status, seconds = facts.status, time.time() - progress.began
    stored = _stored(facts, progress)
    first_score_at = facts.first_score_at or progress.began
    kept = {name: status[name] for name in COUNTERS if name != "received"}
    return {
        "events_produced": progress.produced,
        "events_received": status["received"],
        **kept,
        "conserved": status["received"] == sum(kept.values()),
        **stored,
        **_told(facts, progress),
        "retrain_requests": len(facts.retrains),
        "models_refused": stored["models_refused"] + status["refused"]["models"],
        "events_per_s": round(status["received"] / max(status["at"] - first_score_at, 1e-9), 1),
        "worker_restarts": progress.restarts,
        "seconds_to_first_score": round(first_score_at - progress.began, 2),
        "seconds_total": round(seconds, 2),
        "incidents": [_incident(incident) for incident in open_first(newest(facts.messages).values())],
    }


def _stored(facts: Facts, progress: Progress) -> Row:
    """What the points of the store come to."""
    store = facts.config.path(facts.config.sink.path)
    with readable(store), closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as link:
        windows, activations = points(link, "windows"), points(link, "activations")
        panes = [window for window in windows if window["span"] == "pane"]
        return {
            "slices": len({pane["slice"] for pane in panes}),
            "windows_written": len(windows),
            "models_promoted": _models(facts, "promoted"),
            "models_refused": _models(facts, "refused"),
            "swaps": len({activation["model_id"] for activation in activations}) - 1,
            "activations": [{k: row[k] for k in ("partition", "time_ms", "model_id")} for row in activations],
            "alarm_rate": alarm_rates(panes, facts.messages, facts.config, progress.season.live_ms),
            "models": [_model(model) for model in facts.models],
        }


def played_ms(facts: Facts, progress: Progress) -> int:
    """Event time that has passed."""
    return max(facts.event_time_ms - progress.season.start_ms, 0)


def _told(facts: Facts, progress: Progress) -> Row:
    """Incidents, and messages as people have got them."""
    incidents = list(newest(facts.messages).values())
    states = Counter(incident.state for incident in incidents)
    messages = sum(not is_silenced(message) for message in facts.messages) + len(facts.strange)
    return {
        "incidents_opened": len(incidents),
        "drift_incidents_opened": sum(incident.kind == "drift" for incident in incidents),
        "fault_incidents_opened": sum(incident.kind == "fault" for incident in incidents),
        "incidents_by_detector": dict(sorted(Counter(incident.detector for incident in incidents).items())),
        "incidents_open": sum(not is_over(incident) for incident in incidents),
        "incidents_resolved": states["resolve"],
        "incidents_handed_over": states["handover"],
        "incidents_accepted": states["accepted"],
        "strange_events": sum(one.count for one in facts.strange),
        "messages": messages,
        "messages_per_week": messages_a_week(messages, played_ms(facts, progress)),
    }


def _incident(incident: Incident) -> Row:
    names = ("id", "state", "kind", "severity", "slice_count", "since_ms", "pane_end_ms", "number", "summary")
    return {name: getattr(incident, name) for name in names}


def _models(facts: Facts, status: str) -> int:
    return sum(model["status"] == status for model in facts.models)


def _model(model: Row) -> Row:
    names = ("model_id", "status", "parent_id", "train_rows", "reason")
    return {name: model[name] for name in names} | {"gates": json.loads(model["gates"])}


def alarm_rates(panes: list[Row], messages: list[Incident], config: Config, history_end_ms: int) -> Row:
    """Share of events with p <= 0.01 in three periods, with their intervals.

    ``reference``: the newest part of the history, which judged the first model at its gates. ``drift``: from the
    beginning of the first drift to the swap. ``after_swap``: everything scored by the last model.

    Args:
        panes: windows of one pane, oldest first.
        messages: every message of an incident.
        config: the stream.
        history_end_ms: end of the history.
    """
    models = list(dict.fromkeys(pane["model_id"] for pane in panes))
    first = [pane for pane in panes if pane["model_id"] == models[0]]
    opened = [message.opened_pane_ms for message in messages if message.kind == "drift"]
    parts = {
        "reference": _of_gate([pane for pane in first if pane["time_ms"] <= history_end_ms], config, history_end_ms),
        "drift": [pane for pane in first if opened and pane["time_ms"] > min(opened)],
        "after_swap": [pane for pane in panes if len(models) > 1 and pane["model_id"] == models[-1]],
    }
    rates = {name: _rate(part) for name, part in parts.items()}
    return {
        **{name: rate for name, (rate, _) in rates.items()},
        "interval_95": {name: interval for name, (_, interval) in rates.items()},
        "events": {name: sum(pane["scored"] for pane in part) for name, part in parts.items()},
    }


def _of_gate(history: list[Row], config: Config, end_ms: int) -> list[Row]:
    """The panes of the history that lie in the gate's span."""
    times = [pane["time_ms"] - 1 for pane in history]
    table = Table.of(np.zeros((len(times), 1)), time_ms=times)
    where = cuts(config, table, 0, 0, end_ms)
    return [] if where.fault else [pane for pane, inside in zip(history, where.spans(table)[2], strict=True) if inside]


def _rate(panes: list[Row]) -> tuple[float | None, list[float] | None]:
    scored, alarms = sum(pane["scored"] for pane in panes), sum(pane["p_le_01"] for pane in panes)
    if not scored:
        return None, None
    return round(alarms / scored, 5), [round(float(end), 5) for end in wilson(alarms, scored)]
