"""What the page shows of models: what was decided of each and why, what a person may say, and what follows from that.

From the store; where the registry is on this machine, from that too: ``driftflow score`` keeps the model that it trains
there alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import msgspec

from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.console.queries import Points
from stream_app.console.rows import Row
from stream_app.errors import DriftflowError
from stream_app.models.history import Entry, Verb, in_service
from stream_app.models.registry import FINAL, Registry

MODELS_MAX = 100
"""Models that are listed, the newest."""

_CHANGES_MAX = 500
_NEWS_MAX = 2_000
_GATES_MAX = 40
_PRIMARY = ("promoted", "refused")


def news_of(points: Points, config: Config | None) -> list[Row]:
    """Everything that was decided of models, oldest first: of the store and of the registry, each once."""
    found = {(row["model_id"], row["status"], row.get("request_id", "")): row for row in _kept(config)}
    found |= {(row["model_id"], row["status"], row["request_id"]): row for row in points.newest("models", _NEWS_MAX)}
    return sorted(found.values(), key=lambda row: (row["time_ms"], row["status"] in FINAL))


def _kept(config: Config | None) -> Iterable[Row]:
    """Notices of the registry, where it is here and whole: whoever loads a model says what is wrong with it."""
    if config is None or not config.path(config.trainer.registry).is_dir():
        return []
    try:
        return [_row(notice) for notice in Registry(config).notices()]
    except DriftflowError:
        return []


def _row(notice: ModelNotice) -> Row:
    names = ("model_id", "status", "parent_id", "request_id", "reason", "train_rows")
    return {name: getattr(notice, name) for name in names} | {
        "time_ms": notice.created_ms,
        "gates": {name: gate for name, gate in notice.gates.items() if isinstance(gate, dict) and "says" in gate},
    }


def roster_of(points: Points, config: Config | None) -> Row:
    """Models with all that is known of them, the one in service first, then the newest.

    ``service`` is the id of the one in service, ``pinned`` whether it stays there whatever is promoted.
    """
    news, changes = news_of(points, config), points.newest("service", _CHANGES_MAX)
    history = _history(news, changes)
    activations = points.newest("activations", 1)
    service = in_service(history) or (activations[-1]["model_id"] if activations else "")
    pinned = _pinned(changes)
    listed = _listed(news, service)
    known = {row["model_id"] for row in listed}
    if service and service not in known:
        listed.append(_unknown(service, activations))
    models = [_model(row, service, pinned, history, changes) for row in listed]
    order = sorted(models, key=lambda row: (row["model_id"] != service, -row["time_ms"], row["model_id"]))
    return {
        "service": service,
        "pinned": pinned,
        "models": order[:MODELS_MAX],
        "left": max(len(order) - MODELS_MAX, 0),
        "changes": [
            {name: row[name] for name in ("time_ms", "verb", "model_id", "returns_to", "by", "why")}
            for row in reversed(changes)
        ],
        "left_out": points.left_out,
    }


def _listed(news: Sequence[Row], service: str) -> list[Row]:
    """The last thing that was decided of each model; of a candidate whose request has its answer only that."""
    answered = {row["request_id"] for row in news if row["status"] in FINAL}
    last = {row["model_id"]: row for row in news if row["status"] != "covered"}
    return [
        row
        for row in last.values()
        if row["status"] in FINAL or row["request_id"] not in answered or row["model_id"] == service
    ]


def _unknown(service: str, activations: Sequence[Row]) -> Row:
    """The model that scores, of which nothing else is known here."""
    return {
        "model_id": service,
        "status": "promoted",
        "parent_id": "",
        "request_id": "",
        "reason": "It scores the events; what its gates found is not recorded in this store.",
        "train_rows": 0,
        "time_ms": activations[-1]["time_ms"] if activations else 0,
        "gates": {},
    }


def _history(news: Iterable[Row], changes: Iterable[Row]) -> list[Entry]:
    promoted = [
        Entry(row["model_id"], row["request_id"], row["time_ms"]) for row in news if row["status"] == "promoted"
    ]
    changed = [
        Entry(row["model_id"], row["id"], row["time_ms"], cast(Verb, row["verb"]), row["returns_to"]) for row in changes
    ]
    return sorted([*promoted, *changed], key=lambda entry: entry.promoted_ms)


def _pinned(changes: Sequence[Row]) -> bool:
    """Whether a person keeps a model in service; a roll-back of that one ends it too."""
    pinned = ""
    for row in changes:
        if row["verb"] in ("pin", "unpin"):
            pinned = row["model_id"]
        elif row["verb"] == "rollback" and row["model_id"] == pinned:
            pinned = ""
    return bool(pinned)


def _model(row: Row, service: str, pinned: bool, history: Sequence[Entry], changes: Sequence[Row]) -> Row:
    model_id = row["model_id"]
    rolled = any(change["verb"] == "rollback" and change["model_id"] == model_id for change in changes)
    status = "in service" if model_id == service else "rolled back" if rolled else row["status"]
    names = ("model_id", "time_ms", "parent_id", "request_id", "train_rows", "reason")
    return {name: row[name] for name in names} | {
        "status": status,
        "pinned": pinned and model_id == service,
        "gates": gates_of(row["gates"]),
        "may": ways(row, status, pinned, service, history),
    }


def gates_of(gates: Mapping[str, Row]) -> list[Row]:
    """Gates as a list, those that failed first."""
    named = [{"name": name, **_plain(gate)} for name, gate in list(gates.items())[:_GATES_MAX]]
    return sorted(named, key=lambda gate: (bool(gate["passed"]), gate["name"]))


def _plain(gate: Row) -> Row:
    names = ("passed", "waits", "says", "figure", "interval_95", "threshold")
    return {name: msgspec.to_builtins(gate.get(name)) for name in names}


def ways(row: Row, status: str, pinned: bool, service: str, history: Sequence[Entry]) -> list[Row]:
    """What a person may say of a model, each with what follows from it."""
    model_id, found = row["model_id"], []
    if status == "waiting":
        found.append(("approve", "It goes on: into service, or first beside the model in service on live events."))
    if status in ("waiting", "candidate"):
        found.append(("reject", f"It is refused; {service or 'no model'} stays in service."))
    if status == "in service":
        back = in_service([*history, Entry(model_id, "now", 0, "rollback")])
        if back:
            found.append(("rollback", f"It leaves service at the next free pane, and {back} returns."))
        if not pinned:
            found.append(("pin", "It stays in service whatever is promoted, until it is unpinned."))
        else:
            newest = in_service([*history, Entry("", "now", 0, "unpin")])
            found.append(("unpin", f"The newest model that was promoted is in service again: {newest or service}."))
    elif status in ("promoted", "rolled back"):
        found.append(
            ("pin", f"It takes over from {service or 'none'} at the next free pane, and stays, until it is unpinned.")
        )
    return [{"verb": verb, "says": says} for verb, says in found]


def requests_of(points: Points, news: Sequence[Row], most: int) -> list[Row]:
    """When a model was asked for and why, the newest first, with what became of it."""
    answers = {row["request_id"]: row for row in news if row["status"] in FINAL}
    on_the_way = {row["request_id"]: row for row in news if row["status"] not in FINAL}
    rows = points.newest("retrains", most)[::-1]
    return [_request(row, answers.get(row["id"]) or on_the_way.get(row["id"])) for row in rows]


def _request(row: Row, answer: Row | None) -> Row:
    state = {
        None: "waits",
        "promoted": "promoted",
        "refused": "refused",
        "covered": "covered by an earlier model",
        "candidate": "compared on live events",
        "waiting": "waits for a person",
    }[answer["status"] if answer else None]
    return {
        "time_ms": row["time_ms"],
        "reason": row["reason"],
        "state": state,
        "model_id": answer["model_id"] if answer else "",
    }
