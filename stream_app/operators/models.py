"""``driftflow models``: what people see of models, and what they say of them. Read from the signals topic, where every
notice stands, so that it works wherever there is a broker and a key; who has signed a notice is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from schemas.intake import take_in
from schemas.records import ModelNotice, ServiceChange
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.incident_lines import bounded
from stream_app.kafka.signals import read_signals
from stream_app.models.history import Entry, Verb, in_service
from stream_app.models.marks import Marks
from stream_app.models.registry import FINAL
from stream_app.models.waiting import if_approved, if_rejected
from stream_app.operators.acting import Desk
from stream_app.operators.reading import chosen
from stream_app.operators.waiting import Waits, waits_of
from stream_app.terminal import utc

MODELS = "`driftflow signals` lists what was decided"
_TRAINER = "the trainer takes it in at once, or when it runs again"
_JUDGE = "the worker that judges takes it in at once, or when it runs again"


@dataclass(slots=True)
class Decided:
    """What was decided about the models of a stream.

    Attributes:
        notices: of each model, oldest first, by its id.
        history: what has changed the model in service, oldest first.
        answered: ids of the requests that have their answer.
        said_ms: when each notice was sent, by the clock, by its number; 0 where that is not known.
    """

    notices: dict[str, list[ModelNotice]] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    said_ms: dict[int, int] = field(default_factory=dict)

    @property
    def open(self) -> dict[str, ModelNotice]:
        """Models that are not decided yet, newest first."""
        last = [notices[-1] for notices in self.notices.values()]
        on_the_way = [one for one in last if one.status not in FINAL and one.request_id not in self.answered]
        return {one.model_id: one for one in sorted(on_the_way, key=lambda one: -one.sequence)}

    @property
    def promoted(self) -> dict[str, ModelNotice]:
        """Models that have been in service, newest first."""
        last = [one for notices in self.notices.values() for one in notices if one.status == "promoted"]
        return {one.model_id: one for one in sorted(last, key=lambda one: -one.sequence)}


def read_decided(config: Config) -> Decided:
    """Read the signals topic; what no trusted key has signed is passed over.

    Raises:
        DriftflowError: there is no such topic, the broker does not answer, or a record cannot be read.
    """
    decided, marks, notices, changes = Decided(), Marks(config), dict[int, ModelNotice](), dict[str, ServiceChange]()
    for message in read_signals(config):
        record = take_in("signals", config.stream, message.value, message.headers)
        if isinstance(record, ModelNotice | ServiceChange) and marks.is_trusted(
            record, message.value or b"", message.headers
        ):
            if isinstance(record, ModelNotice):
                notices.setdefault(record.sequence, record)
                decided.said_ms.setdefault(record.sequence, message.timestamp or 0)
            else:
                changes.setdefault(record.id, record)
    for _, notice in sorted(notices.items()):
        decided.notices.setdefault(notice.model_id, []).append(notice)
        if notice.status in FINAL:
            decided.answered.add(notice.request_id)
    promotions = [Entry(one.model_id, one.request_id, one.created_ms) for one in reversed(decided.promoted.values())]
    changed = [
        Entry(one.model_id, one.id, one.pane_end_ms, cast(Verb, one.verb), one.returns_to) for one in changes.values()
    ]
    decided.history = sorted([*promotions, *changed], key=lambda entry: entry.promoted_ms)
    return decided


def run_on_waiting(config: Config, verb: str, prefix: str, by: str, why: str) -> list[str]:
    """Approve or reject a model that is not decided yet."""
    desk = Desk(config, by)
    notice = chosen(read_decided(config).open, prefix, "model that waits", _words, MODELS)
    desk.send(verb, model=notice.model_id, why=why)
    said = {"approve": "lets it go on", "reject": "refuses it"}[verb]
    follows = if_approved(notice, config.trainer.promotion) if verb == "approve" else if_rejected(notice)
    return [
        f"model {notice.model_id} {notice.status}: {bounded(notice.reason)}",
        f"{desk.by} {said}; {_TRAINER}.",
        f"Then {follows}.",
    ]


def waiting(config: Config) -> list[Waits]:
    """What waits for a person, newest first, with what there is to know before one decides.

    Raises:
        DriftflowError: as :func:`read_decided`.
    """
    decided = read_decided(config)
    open_ones = [notice for notice in decided.open.values() if notice.status == "waiting"]
    return [waits_of(config, notice, decided.said_ms.get(notice.sequence, 0)) for notice in open_ones]


def run_on_promoted(config: Config, verb: str, prefix: str, by: str, why: str) -> list[str]:
    """Pin a model that has been in service, or make it the anchor."""
    desk = Desk(config, by)
    notice = chosen(read_decided(config).promoted, prefix, "promoted model", _words, MODELS)
    desk.send(verb, model=notice.model_id, why=why)
    if verb == "pin":
        return [
            f"{desk.by} puts model {notice.model_id} in service and keeps it there; {_JUDGE}.",
            "What is promoted meanwhile waits for `driftflow models unpin`.",
        ]
    return [f"{desk.by} makes model {notice.model_id} the anchor; {_TRAINER}."]


def run_rollback(config: Config, prefix: str, by: str, why: str) -> list[str]:
    """Take a model out of service."""
    desk, decided = Desk(config, by), read_decided(config)
    current = in_service(decided.history)
    if not prefix and not current:
        raise DriftflowError(f"no model is in service ({MODELS})")
    notice = chosen(decided.promoted, prefix or current, "promoted model", _words, MODELS)
    after = in_service([*decided.history, Entry(notice.model_id, "now", 0, "rollback")])
    if not after:
        raise DriftflowError(f"there is no model before {notice.model_id} that could return: train another")
    desk.send("rollback", model=notice.model_id, why=why)
    returns = f"model {after} is in service then" if notice.model_id == current else f"model {current} stays in service"
    return [f"{desk.by} takes model {notice.model_id} out of service: {returns}; {_JUDGE}."]


def run_unpin(config: Config, by: str, why: str) -> list[str]:
    """Let the newest promoted model be in service again."""
    desk = Desk(config, by)
    desk.send("unpin", why=why)
    return [f"{desk.by} lets the newest promoted model be in service again; {_JUDGE}."]


def show_model(config: Config, prefix: str, as_json: bool) -> list[str]:
    """All that was decided about a model, gate by gate, and where it comes from."""
    decided = read_decided(config)
    notices = _of(decided, prefix)
    if as_json:
        return [msgspec.json.encode(notice).decode() for notice in notices]
    last = notices[-1]
    status = "in service" if in_service(decided.history) == last.model_id else last.status
    lines = [f"model {last.model_id}: {status}", f"  request {last.request_id}, parent {last.parent_id or 'none'}"]
    if last.status == "waiting" and last.model_id in decided.open:
        lines += [f"  {line}" for line in waits_of(config, last, decided.said_ms.get(last.sequence, 0)).says()]
    lines += [f"  {utc(one.created_ms)}  {one.status}: {one.reason}" for one in notices]
    lines += [f"  {_gate(name, gate)}" for name, gate in last.gates.items()]
    return [*lines, *(f"  {line}" for line in _origin(last.provenance))]


def diff_models(config: Config, one: str, other: str) -> list[str]:
    """In what two models differ, a line each."""
    decided = read_decided(config)
    first, second = _of(decided, one)[-1], _of(decided, other)[-1]
    before, after = dict(_flat(_facts(first))), dict(_flat(_facts(second)))
    lines = [
        f"{name}: {_value(before.get(name))} → {_value(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return [f"{first.model_id} → {second.model_id}", *(f"  {line}" for line in lines or ["they agree in all"])]


def _of(decided: Decided, prefix: str) -> list[ModelNotice]:
    return chosen(decided.notices, prefix, "model", lambda notices: _words(notices[-1]), MODELS)


def _words(notice: ModelNotice) -> str:
    return f"{utc(notice.created_ms)}  {notice.status}: {bounded(notice.reason)}"


def _gate(name: str, gate: Any) -> str:
    figures = gate if isinstance(gate, dict) else {}
    return f"{'passed' if figures.get('passed') else 'FAILED'}  {name}: {figures.get('says', '')}"


def _origin(about: dict[str, Any]) -> Iterator[str]:
    if not about:
        return
    ranges = about.get("ranges", [])
    if ranges:
        offsets = ", ".join(f"{part['partition']} [{part['start']:,}, {part['end']:,})" for part in ranges[:5])
        more = f" and {len(ranges) - 5} partitions more" if len(ranges) > 5 else ""
        yield f"offsets of {about.get('topic', '')}: {offsets}{more}"
        yield (
            f"{about['rows']:,} rows from {utc(about['first_ms'])} to {utc(about['last_ms'])}, "
            f"SHA-256 {about['rows_sha256'][:16]}…"
        )
    for left in about.get("left_out", []):
        yield f"left out: {left['rows']:,} {left['reason']}{' in ' + left['field'] if left['field'] else ''}"
    if about.get("approved_by"):
        yield f"approved by {about['approved_by']}"
    for name in ("code", "seed", "anchor", "settings_sha256", "audit_head"):
        if about.get(name):
            yield f"{name.replace('_', ' ')}: {about[name]}"


def _facts(notice: ModelNotice) -> dict[str, Any]:
    """What two models are compared in."""
    about = {name: value for name, value in notice.provenance.items() if name not in ("gates", "sheet", "audit_head")}
    figures = {name: gate.get("figure") for name, gate in notice.gates.items() if isinstance(gate, dict)}
    return {"rows that trained": notice.train_rows, "gates": figures, **about}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _value(value: Any) -> str:
    return bounded("–" if value is None else str(value))
