"""Incidents, strange events and actions as the pipeline would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner
from msgspec.structs import replace

from schemas.incidents import Action, Example, Finding, Incident, Mark, Member, SilencedIncident, StrangeEvents
from schemas.records import Blame
from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from stream_app.stages.outputs import Point

PANE_MS = 21_600_000
START_MS = 1_362_096_000_000
DRIFTED = "Dongsi"
HOSTILE = "<img src=x onerror=document.title='hacked'>"
TOML = """
stream = "{stream}"
[topics]
events = "{stream}.events"
partitions = 1
[event]
time_field = "time"
numeric = ["TEMP"]
[kafka]
bootstrap = ["{bootstrap}"]
"""
PROMISE = "While nothing changes one false incident opens in 30 days on the whole stream, or fewer on average."

WARMER = Finding(
    detector="location",
    feature="TEMP",
    weight=0.6,
    direction="up",
    measure="mean",
    unit="°C",
    seen=12.3,
    expected=3.5,
    size_sd=4.1,
    events=960,
    says="TEMP 4.1 σ higher: 12.3 against 3.5 °C usual for this hour",
)
DRIER = Finding(
    detector="location",
    feature="DEWP",
    weight=0.3,
    direction="down",
    measure="mean",
    unit="°C",
    seen=-9.0,
    expected=-4.5,
    size_sd=-0.8,
    events=960,
    says="DEWP 0.8 σ lower: -9.0 against -4.5 °C usual for this hour",
)


def made_incident(stream: str, name: str, opened_ms: int, end_ms: int, state: str = "open", **more: Any) -> Incident:
    """Drift of two features at one station; ``end_ms`` is the end of the pane that the message is about."""
    fields = {
        "id": f"{name[:20]}-{opened_ms}",
        "number": 1,
        "reason": "opened" if state == "open" else "ended",
        "kind": "drift",
        "severity": "critical",
        "rules": ["drift"],
        "detector": "location",
        "feature": "TEMP",
        "findings": [WARMER, DRIER],
        "since_ms": max(opened_ms - PANE_MS, 0),
        "slices": [name],
        "summary": f"At {name} it is warmer and drier than the model knows it.",
        "next": "A new model is asked for once a day of it has been seen. `driftflow accept` takes it for normal.",
    } | more
    members = [_member(slice_, fields, state) for slice_ in fields.pop("slices")]
    rest = {"slice_count": len(members), "member_count": len(members), "events": 960, "share": 0.33}
    said = {"statistic": 1234.5, "threshold": 1000.0, "evidence": "evidence of change (e-detector)", "promise": PROMISE}
    where = {"opened_pane_ms": opened_ms, "pane_start_ms": end_ms - PANE_MS, "pane_end_ms": end_ms}
    examples = [_example(name, 4711), _example(name, 4720)]
    seen = {"examples": examples, "marks": [Mark(at_ms=opened_ms, text="release 4.2", by="ops")]}
    made = {"stream": stream, "state": state, "members": members, "model_id": "model-one"}
    return msgspec.convert(made | rest | said | where | seen | fields, Incident, from_attributes=True)


def _member(name: str, fields: dict[str, Any], state: str) -> Member:
    return Member(
        rule=fields["rules"][0],
        slicing="station" if name or fields["rules"] != ["intake"] else "",
        slice=name,
        detector=fields["detector"],
        feature=fields["feature"],
        direction="up",
        since_ms=fields["since_ms"],
        over=state not in ("open", "update"),
    )


def _example(name: str, offset: int) -> Example:
    blame = [Blame(feature="TEMP", weight=0.8)]
    return Example(
        topic="beijing.air", partition=2, offset=offset, event_time_ms=START_MS, slice=name, p_value=1e-4, blame=blame
    )


def silenced(record: Incident, by: str = "s-1") -> SilencedIncident:
    """The same, covered by a silence."""
    return msgspec.convert(replace(record, silenced_by=by), SilencedIncident, from_attributes=True)


def tell(path: Path, *records: Incident) -> None:
    """Put messages into a store."""
    sink = SQLiteSink(path)
    sink.write([points.incident_point(record) for record in records])
    sink.close()


def told(stream: str, panes: int) -> list[Point]:
    """Points of two incidents that are open (drift at one station, events of another), of one that a silence covers and
    of two that have ended: by a newer model, and since it is as before; of a release, a silence, an answer, and of
    events that are strange one by one.
    """
    end, middle = START_MS + panes * PANE_MS, START_MS + panes // 2 * PANE_MS
    drift = made_incident(stream, DRIFTED, middle, middle + PANE_MS, id="drift-1")
    grown = replace(drift, state="update", reason="severity", number=2, pane_end_ms=end, acked_by="Li")
    early = {"id": "drift-0", "severity": "warning"}
    learned = [made_incident(stream, DRIFTED, START_MS, START_MS + PANE_MS, **early)]
    over = made_incident(stream, DRIFTED, START_MS, START_MS + 3 * PANE_MS, "handover", **early, number=2)
    learned.append(replace(over, successor_id="model-two"))
    stuck = {"id": "fault-1", "kind": "fault", "rules": ["fault"], "detector": "stuck", "feature": "O3"}
    stuck |= {"severity": "warning", "findings": [], "summary": "At Tiantan O3 does not change any more."}
    faults = [
        made_incident(stream, "Tiantan", START_MS, START_MS + PANE_MS, **stuck),
        made_incident(stream, "Tiantan", START_MS, START_MS + 2 * PANE_MS, "resolve", **stuck, number=2),
    ]
    fewer = {"id": "fault-2", "kind": "fault", "rules": ["fault"], "detector": "volume", "feature": ""}
    fewer |= {"severity": "warning", "findings": [], "summary": f"{HOSTILE} sends fewer events than usual."}
    volume = made_incident(stream, HOSTILE, middle, end, **fewer)
    hushed = made_incident(stream, "Tiantan", middle, end, id="hushed-1", severity="info")
    records = [*learned, *faults, drift, volume, grown, silenced(hushed)]
    return [
        *map(points.incident_point, records),
        *_said(stream, middle, end),
        points.strange_point(_strange(stream, end)),
    ]


def made(folder: Path, stream: str, bootstrap: str, key: bool = True) -> Config:
    """A stream with a store in which incidents are open, and an operator's key."""
    (folder / "driftflow.toml").write_text(TOML.format(stream=stream, bootstrap=bootstrap))
    config = load(folder / "driftflow.toml")
    if key:
        done = CliRunner().invoke(main, ["keys", "new", "operator", "-c", str(folder / "driftflow.toml")])
        assert done.exit_code == 0, done.output
    sink = SQLiteSink(config.path(config.sink.path))
    sink.write(told(stream, 8))
    sink.close()
    return config


def _said(stream: str, middle: int, end: int) -> list[Point]:
    actions = [
        Action(id="m-1", stream=stream, verb="mark", by="ops", at_ms=middle - PANE_MS, why="release 4.2"),
        Action(id="k-1", stream=stream, verb="ack", by="Li", at_ms=end, incident_id="drift-1", why="looking at it"),
        Action(id="f-1", stream=stream, verb="feedback", by="Li", at_ms=end, incident_id="drift-0", verdict="useful"),
        Action(
            id="s-1",
            stream=stream,
            verb="silence",
            by="Li",
            at_ms=end,
            why="sensor is being exchanged",
            slices=["station=Tiantan"],
            from_ms=START_MS,
            to_ms=end + 9 * PANE_MS,
        ),
    ]
    return [points.action_point(action, min(action.at_ms, end)) for action in actions]


def _strange(stream: str, end: int) -> StrangeEvents:
    return StrangeEvents(
        id="strange-1",
        stream=stream,
        pane_start_ms=end - PANE_MS,
        pane_end_ms=end,
        from_ms=end - 4 * PANE_MS,
        count=3,
        threshold=1e-6,
        per_day=0.1,
        events=[_example("Tiantan", 815)],
        model_id="model-two",
        summary="3 single events are stranger than any in a month, the strangest at Tiantan.",
    )
