"""Candidates and panes made by hand, and a stream of twelve stations to judge them on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from schemas.incidents import Action, Incident
from schemas.records import Blame, TopEvent
from stream_app.config import Config, parse
from stream_app.config.promise import alpha
from stream_app.stages.judge.candidates import Candidate, Cause, Figures
from stream_app.stages.judge.facts import Allowed, PaneFacts
from stream_app.stages.judge.incidents import Incidents

HOUR, DAY = 3_600_000, 86_400_000
START = 1_488_607_200_000
"""4 March 2017, 06:00 UTC."""
STATIONS = [
    *("Aotizhongxin", "Changping", "Dingling", "Dongsi", "Guanyuan", "Gucheng"),
    *("Huairou", "Nongzhanguan", "Shunyi", "Tiantan", "Wanliu", "Wanshouxigong"),
]
NAN = float("nan")
SHARE = 0.5 / len(STATIONS)


def config(alerts: dict[str, Any] | None = None, event: dict[str, Any] | None = None, **sections: Any) -> Config:
    """A stream of hourly panes, by station and as a whole."""
    of_event: dict[str, Any] = {
        "time_field": "t",
        "numeric": ["TEMP", "PRES", "DEWP"],
        "categorical": ["wd"],
        "slicings": [["station"], []],
        "units": {"TEMP": "°C", "PRES": "hPa"},
    }
    raw = {"stream": "air", "topics": {"events": "air.events"}, "event": of_event | (event or {})}
    return parse(raw | {"alerts": alerts or {}} | sections)


def facts(
    k: int, events: int = 60, service: str = "m1", top: Sequence[TopEvent] = (), stations: int = len(STATIONS)
) -> PaneFacts:
    """The k-th pane."""
    start = START + k * HOUR
    return PaneFacts(start, start + HOUR, events, {"station": stations, "all": 1}, service, top, {"river": 1.0}, {})


def cause(
    detector: str = "location",
    *features: str,
    direction: Any = "up",
    measure: str = "mean",
    weight: float = 14.0,
    figures: tuple[float, float, float, float] = (5.0, 61.5, 17.5, 2.15),
    says: str = "higher than usual",
    unit: str = "°C",
    channel: int = 0,
) -> Cause:
    """TEMP 4.1 σ higher, 12.3 against 3.5 °C, unless another is asked for."""
    named = features or (("TEMP",) if detector == "location" else ())
    return Cause(detector, channel, named, direction, measure, unit, weight, says, Figures(*figures))


MISSING = cause(
    "missing",
    "PRES",
    measure="share missing",
    figures=(5.0, 3.0, 0.05, NAN),
    says="more values are missing than usual",
    unit="",
)
VOLUME = cause(
    "volume",
    direction="down",
    measure="events a pane",
    figures=(1.0, 1.0, 5.0, 2.0),
    says="fewer events than usual",
    unit="",
)


def candidate(slice_: str = "Dongsi", *causes: Cause, **change: Any) -> Candidate:
    """Strong evidence for drift of TEMP at a station, under which the model has next to no alarms any more, unless
    something else is asked for.
    """
    given: dict[str, Any] = {
        "rule": "drift",
        "slicing": "station",
        "kind": "drift",
        "model_id": "m1",
        "statistic": 1e6,
        "share": SHARE,
        "remaining": 1.0,
        "over": False,
        "since_ms": START - 6 * HOUR,
        "events": 5,
        "scored": 1_000,
        "alarms": 0,
    }
    return Candidate(slice=slice_, causes=causes or (cause(),), **given | change)


def fault(slice_: str = "Dongsi", *causes: Cause, **change: Any) -> Candidate:
    """Missing values of PRES, unless something else is asked for."""
    return candidate(slice_, *(causes or (MISSING,)), **{"rule": "fault", "kind": "fault"} | change)


def over(of: Candidate, model_id: str = "m1") -> Candidate:
    """The last word of a candidate: its evidence has turned."""
    return candidate(
        of.slice,
        *of.causes,
        rule=of.rule,
        slicing=of.slicing,
        kind=of.kind,
        model_id=model_id,
        remaining=0.0,
        over=True,
    )


class Run:
    """Incidents of a stream, pane by pane: what is a member says the same in each pane unless it is told otherwise.

    Attributes:
        now: number of the next pane.
        said: everything that was said.
    """

    def __init__(self, config_: Config | None = None) -> None:
        self.config = config_ or config()
        self.incidents = Incidents(self.config)
        self.now, self.said = 0, list[Incident]()
        self.standing: dict[tuple[str, str, str], Candidate] = {}
        self._acts = 0

    def pane(self, *candidates: Candidate, allowed: Allowed = "open", **of_pane: Any) -> list[Incident]:
        """A pane with some candidates, which go on from then on; those before go on."""
        self.standing |= {of.key: of for of in candidates}
        said = self.incidents.judge(facts(self.now, **of_pane), [(of, allowed) for of in self.standing.values()])
        self.standing = {key: of for key, of in self.standing.items() if not of.over}
        self.now += 1
        self.said += said
        return said

    def panes(self, n: int, **of_pane: Any) -> list[Incident]:
        """Panes in which all goes on."""
        return [message for _ in range(n) for message in self.pane(**of_pane)]

    def end(self, *slices: str, model_id: str = "m1") -> list[Incident]:
        """A pane in which the evidence of some slices, or of all, has turned."""
        return self.pane(*(over(of, model_id) for of in self.standing.values() if not slices or of.slice in slices))

    def act(self, verb: str, incident_id: str = "", **given: Any) -> list[Incident]:
        """What a person says, after the last pane."""
        self._acts += 1
        action = Action(
            id=given.pop("id", f"action-{self._acts}"),
            stream="air",
            verb=verb,
            by=given.pop("by", "Li"),
            at_ms=given.pop("at_ms", 0),
            incident_id=incident_id,
            **given,
        )
        said = self.incidents.act(action, START + self.now * HOUR)
        self.said += said
        return said


def told(messages: Iterable[Incident]) -> list[tuple[str, str]]:
    """State and reason of each."""
    return [(of.state, of.reason) for of in messages]


def top_event(slice_: str = "Dongsi", p: float = 1e-4, offset: int = 0, **given: Any) -> TopEvent:
    """A flagged event."""
    return TopEvent(
        partition=given.pop("partition", 2),
        offset=offset,
        event_time_ms=START + 5,
        slice=slice_,
        model_id="m1",
        log_prob=-30.0,
        p_value=p,
        blame=[Blame(feature="TEMP", weight=0.9, detail="lower than usual")],
        **given,
    )


def threshold(config_: Config, share: float = SHARE) -> float:
    """Evidence that one slice alone opens an incident with."""
    return 1.0 / (alpha(config_, "drift") * share)
