"""What is wrong with events as they arrive, on the page: of no slice, and before any pane has been closed."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from schemas.records import Alert
from stream_app.console.answers import Store
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.points import intake_point
from tests.console.storing import START_MS, made_alert, write_store


def told(detector: str, state: str = "open", number: int = 1) -> Alert:
    alert = made_alert("beijing-air", "", START_MS, START_MS + 1, state, number)
    says = f"all events: 17 of 17 events are {detector}."
    return replace(alert, rule="intake", slicing="", kind="fault", detector=detector, blame=[], summary=says)


def write(path: Path, *alerts: Alert) -> None:
    sink = SQLiteSink(path)
    sink.write([intake_point(alert, f"0 {alert.detector}", START_MS + i) for i, alert in enumerate(alerts)])
    sink.close()


def test_each_kind_is_an_incident_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    write_store(path)
    before = Store(path, "beijing-air").overview()[1]
    write(path, told("rejected"), told("late", number=2), told("held", number=3), told("held", "resolve", 3))
    overview = Store(path, "beijing-air").overview()[1]
    assert before is not None
    assert overview is not None
    assert [(one["detector"], one["says"]) for one in overview["intake"]] == [
        ("rejected", "17 of 17 events are rejected."),
        ("late", "17 of 17 events are late."),
    ]
    assert overview["open"]["fault"] == before["open"]["fault"] + 2
    assert overview["faulty"] == before["faulty"]
    ended = [one for one in overview["alerts"] if one["detector"] == "held"]
    assert [one["state"] for one in ended] == ["resolve"]


def test_it_is_shown_where_no_pane_has_ever_been_closed(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    write(path, told("rejected"))
    overview = Store(path, "beijing-air").overview()[1]
    assert overview is not None
    assert (overview["slices"], overview["time_ms"], len(overview["intake"])) == ([], START_MS, 1)
