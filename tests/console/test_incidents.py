"""What people are told, on the page: the sentence above, open incidents and past ones, one incident with its thread."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from flowlib.table import DAY_MS
from schemas.incidents import Incident
from stream_app.console import picture
from stream_app.console.answers import Store
from stream_app.console.server import start_in_thread
from tests.console.storing import write_long_store, write_store, write_wide_store
from tests.console.telling import DRIFTED, HOSTILE, PANE_MS, START_MS, WARMER, made_incident, silenced, tell

STREAM = "beijing-air"
MIDDLE_MS, END_MS = START_MS + 80 * PANE_MS, START_MS + 160 * PANE_MS


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("incidents") / "store.sqlite"
    write_store(path)
    return path


@pytest.fixture
def client(path: Path) -> Iterator[httpx.Client]:
    handle = start_in_thread(Store(path, STREAM))
    with httpx.Client(base_url=handle.url, trust_env=False) as client:
        yield client
    handle.stop()


def overview(path: Path) -> dict[str, Any]:
    found = Store(path, STREAM).overview()[1]
    assert found is not None
    return found


def said(found: dict[str, Any]) -> dict[str, str]:
    """The sentence at the top."""
    assert found["verdict"]["signs"] == []
    return {name: found["verdict"][name] for name in ("tone", "says")}


def opened(**more: Any) -> Incident:
    """An incident at the first of many devices."""
    return made_incident(STREAM, "device-000", START_MS, START_MS + PANE_MS, **more)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Twelve slices; the incident of the last one has ended."""
    path = tmp_path / "store.sqlite"
    write_wide_store(path, [f"device-{k:03d}" for k in range(12)])
    ended = made_incident(STREAM, "device-011", START_MS, START_MS + PANE_MS, "resolve", number=2)
    tell(path, ended)
    return path


# The sentence above everything ----------------------------------------------------------------------------------------


def test_without_an_open_incident_nothing_is_said_to_be_wrong_and_when_the_last_one_ended(many: Path) -> None:
    found = overview(many)
    assert said(found) == {"tone": "ok", "says": "No incident is open in any of the 12 slices."}
    assert (found["last_ended"]["end_ms"], found["last_ended"]["ended"]) == (START_MS + PANE_MS, "as before")
    assert found["states"] == {"ok": 12}


def test_where_there_has_never_been_one_that_is_said(tmp_path: Path) -> None:
    """What another stream tells in the same file is none of this one."""
    write_long_store(tmp_path / "store.sqlite", 3)
    tell(tmp_path / "store.sqlite", replace(opened(), stream="another"))
    found = overview(tmp_path / "store.sqlite")
    words = "No incident is open in the only slice. None has been opened so far."
    assert said(found) == {"tone": "ok", "says": words}


@pytest.mark.parametrize(
    ("more", "tone", "words"),
    [
        ({}, "critical", "1 critical incident is open. 1 of 12 slices is concerned."),
        ({"severity": "info"}, "info", "1 info incident is open. 1 of 12 slices is concerned."),
        (
            {"slices": ["device-000", "device-001"]},
            "critical",
            "1 critical incident is open. 2 of 12 slices are concerned.",
        ),
        ({"slices": ["__all__"]}, "critical", "1 critical incident is open."),
        ({"slices": ["__other__"]}, "critical", "1 critical incident is open."),
        ({"slices": [""], "rules": ["intake"]}, "critical", "1 critical incident is open."),
        (
            {"member_count": 900, "slice_count": 900},
            "critical",
            "1 critical incident is open. At least 1 of 12 slices is concerned.",
        ),
        ({"state": "update", "number": 3}, "critical", "1 critical incident is open. 1 of 12 slices is concerned."),
    ],
)
def test_the_sentence_follows_from_what_is_open(many: Path, more: dict[str, Any], tone: str, words: str) -> None:
    tell(many, opened(**more))
    found = overview(many)
    assert said(found) == {"tone": tone, "says": words}


@pytest.mark.parametrize("state", ["open", "update", "resolve", "handover", "accepted"])
@pytest.mark.parametrize("hushed", [False, True])
def test_no_quiet_sentence_stands_above_a_slice_that_is_named(many: Path, state: str, hushed: bool) -> None:
    record = opened(state=state)
    tell(many, silenced(record) if hushed else record)
    found = overview(many)
    named = [row for row in found["slices"] if row["incidents"]]
    quiet = found["verdict"]["says"] == "No incident is open in any of the 12 slices."
    assert quiet == (not named) == (state not in ("open", "update"))
    if not quiet and hushed:
        assert found["verdict"]["tone"] == "silenced"
        assert found["verdict"]["says"] == "No incident is open but 1 that is silenced."
        assert [row["state"] for row in named] == ["silenced"]


def test_strange_events_of_a_drift_that_was_accepted_are_no_warning_until_another_model_scores_them(
    path: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(path, tmp_path))
    before = {row["slice"]: row["rate_tone"] for row in overview(path)["slices"]}
    assert before[DRIFTED] == "warning"
    for model, tone in (("model-one", "warning"), ("model-two", "silenced")):
        tell(path, made_incident(STREAM, DRIFTED, START_MS, END_MS, "accepted", model_id=model, number=3))
        found = overview(path)
        (row,) = [row for row in found["slices"] if row["slice"] == DRIFTED]
        assert row["rate_tone"] == tone
        assert any(DRIFTED in sign["says"] for sign in found["verdict"]["signs"]) == (tone == "warning")
        detail = Store(path, STREAM).detail("station", DRIFTED, "28d")
        assert detail is not None
        assert ("warning" in detail["calibration"]["tones"]) == (tone == "warning")


def test_partitions_that_tell_of_one_fault_are_one_incident(many: Path) -> None:
    fault = {"rules": ["intake"], "kind": "fault", "slices": [""], "cause_id": "not-json", "summary": "17 of 17."}
    told = [opened(**fault, id=f"intake-{k}") for k in range(3)]
    tell(many, *[replace(one, members=[], member_count=0, slice_count=0) for one in told])
    found = overview(many)
    assert said(found) == {"tone": "critical", "says": "1 critical incident is open."}
    assert [(one["id"], one["members"]) for one in found["open"]] == [("intake-0", 0)]
    assert found["open"][0]["summary"].startswith("17 of 17. The same on ")
    assert (found["open_count"], found["unlisted"]) == (1, 0)


def test_the_page_of_what_partitions_tell_of_one_fault_has_what_each_told(many: Path) -> None:
    """Whichever of them is asked for; one that has it a week later is another incident."""
    fault = {"rules": ["intake"], "kind": "fault", "slices": [""], "cause_id": "not-json", "summary": "17 of 17."}
    told = [_of_partition(opened(**fault, id=f"intake-{k}"), k) for k in range(3)]
    over = replace(told[0], number=2, state="resolve", reason="ended", pane_end_ms=START_MS + 2 * PANE_MS)
    later = made_incident(STREAM, "", START_MS + 90 * PANE_MS, START_MS + 91 * PANE_MS, **fault, id="intake-9")
    ended = [replace(one, number=3, state="resolve", pane_end_ms=START_MS + 3 * PANE_MS) for one in told[1:]]
    tell(many, *told, over)
    for name in ("intake-0", "intake-2"):
        found = Store(many, STREAM).incident(name)
        assert found is not None
        assert [(one["place"], one["reason"]) for one in found["thread"]] == [
            *((f"beijing.air/{k}", "opened") for k in range(3)),
            ("beijing.air/0", "ended"),
        ]
        assert [(one["place"], one["end_ms"]) for one in found["partitions"]] == [
            ("beijing.air/0", START_MS + 2 * PANE_MS),
            ("beijing.air/1", None),
            ("beijing.air/2", None),
        ]
        assert (found["line"]["id"], found["line"]["end_ms"]) == (name, None), "it lasts while one has it"
    tell(many, *ended, _of_partition(later, 0))
    alone = Store(many, STREAM).incident("intake-9")
    assert alone is not None
    assert (len(alone["thread"]), alone["partitions"]) == (1, [])


def _of_partition(record: Incident, partition: int) -> Incident:
    examples = [replace(record.examples[0], partition=partition)]
    return replace(record, examples=examples, members=[], member_count=0, slice_count=0)


def test_a_member_that_is_over_is_no_part_of_its_open_incident_any_more(many: Path) -> None:
    record = opened(slices=["device-000", "device-001"])
    over = replace(record.members[0], over=True)
    tell(many, replace(record, members=[over, record.members[1]]))
    assert [row["slice"] for row in overview(many)["slices"] if row["incidents"]] == ["device-001"]


def test_members_that_no_message_names_are_counted(many: Path) -> None:
    tell(many, opened(member_count=900, slice_count=900))
    assert overview(many)["unlisted"] == 899


# Lists ----------------------------------------------------------------------------------------------------------------


def test_open_incidents_come_by_severity_then_age_and_silenced_ones_last(many: Path) -> None:
    for k, (severity, since) in enumerate([("info", 1), ("critical", 5), ("warning", 2), ("critical", 3)]):
        tell(many, opened(id=f"i-{k}", severity=severity, since_ms=START_MS - since * PANE_MS))
    tell(many, silenced(opened(id="i-9", since_ms=0)))
    assert [entry["id"] for entry in overview(many)["open"]] == ["i-1", "i-3", "i-2", "i-0", "i-9"]


def test_an_open_incident_is_its_last_message_with_figures(client: httpx.Client) -> None:
    found = client.get("/api/overview").json()["overview"]
    drift, volume, hushed = found["open"]
    assert (drift["id"], drift["state"], drift["acked_by"], drift["time_ms"]) == ("drift-1", "update", "Li", END_MS)
    assert (drift["since_ms"], drift["opened_pane_ms"], drift["end_ms"]) == (MIDDLE_MS - PANE_MS, MIDDLE_MS, None)
    assert drift["names"] == [{"slicing": "station", "slice": DRIFTED}]
    assert [(f["feature"], f["seen"], f["expected"], f["unit"], f["size_sd"]) for f in drift["findings"]] == [
        ("TEMP", 12.3, 3.5, "°C", 4.1),
        ("DEWP", -9.0, -4.5, "°C", -0.8),
    ]
    assert (volume["kind"], volume["summary"]) == ("fault", f"{HOSTILE} sends fewer events than usual.")
    assert (hushed["id"], hushed["silenced"]) == ("hushed-1", True)
    assert found["verdicts"] == {"drift-0": "useful"}


def test_past_incidents_say_how_they_ended_the_newest_first(client: httpx.Client) -> None:
    past = client.get("/api/incidents", params={"state": "past"}).json()["incidents"]
    assert [(entry["id"], entry["ended"], entry["end_ms"]) for entry in past] == [
        ("drift-0", "a newer model takes it for normal", START_MS + 3 * PANE_MS),
        ("fault-1", "as before", START_MS + 2 * PANE_MS),
    ]


def test_what_an_incident_found_is_of_its_last_message_whatever_the_order_of_writing(many: Path) -> None:
    tell(many, opened(state="update", number=12, id="x", severity="warning", findings=[WARMER]))
    tell(many, opened(number=1, id="x"), opened(state="update", number=2, id="x", severity="info"))
    (entry,) = overview(many)["open"]
    assert (entry["severity"], len(entry["findings"])) == ("warning", 1)


def test_what_was_read_as_it_arrived_is_told_before_any_pane_has_been_closed(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    late = {"kind": "fault", "rules": ["intake"], "detector": "late", "feature": "", "findings": []}
    tell(path, made_incident(STREAM, "", START_MS, START_MS + 1, id="in-1", **late))
    found = overview(path)
    assert (found["slices"], found["time_ms"]) == ([], START_MS + 1)
    assert found["verdict"]["says"] == "1 critical incident is open."
    assert found["open"][0]["names"] == [{"slicing": "", "slice": ""}]


def test_strange_events_marks_and_silences_are_told(client: httpx.Client) -> None:
    found = client.get("/api/overview").json()["overview"]
    (strange,) = found["strange"]
    assert (strange["count"], strange["events"][0]["offset"]) == (3, 815)
    assert [mark["text"] for mark in found["marks"]] == ["release 4.2"]
    assert [(s["id"], s["slices"], s["why"]) for s in found["silences"]] == [
        ("s-1", ["station=Tiantan"], "sensor is being exchanged")
    ]


# One incident ---------------------------------------------------------------------------------------------------------


def test_an_incident_has_its_thread_its_curves_and_what_people_said(client: httpx.Client) -> None:
    found = client.get("/api/incident", params={"id": "drift-1"}).json()
    assert [(m["number"], m["reason"], m["time_ms"]) for m in found["thread"]] == [
        (1, "opened", MIDDLE_MS + PANE_MS),
        (2, "severity", END_MS),
    ]
    assert [(a["verb"], a["by"], a["why"]) for a in found["answers"]] == [("ack", "Li", "looking at it")]
    assert found["marks"] == [{"at_ms": MIDDLE_MS - PANE_MS, "text": "release 4.2", "by": "ops"}]
    assert [(e["partition"], e["offset"]) for e in found["record"]["examples"]] == [(2, 4711), (2, 4720)]
    (curve,) = found["curves"]
    assert curve["slice"] == DRIFTED
    assert curve["t"][0] == START_MS + PANE_MS
    assert curve["t"][-1] == END_MS
    assert set(curve["events"]) == {6}
    assert set(curve["missing"]) == {0.0}
    assert found["measure"] == "log_prob"


def test_what_is_drawn_by_itself_is_what_it_is_about(client: httpx.Client) -> None:
    assert client.get("/api/incident", params={"id": "fault-2"}).json()["measure"] == "events"


@pytest.mark.parametrize(
    ("hidden_days", "lasted_days", "before_days"),
    [(0, 0.25, 14), (10, 0.25, 24), (300, 0.25, 74), (0, 100, 100), (30, 100, 100)],
)
def test_the_picture_begins_before_it(tmp_path: Path, hidden_days: int, lasted_days: float, before_days: int) -> None:
    """Two weeks before it began, as long before it opened as it has lasted, or not much more than two months."""
    path, at = tmp_path / "store.sqlite", START_MS + 400 * DAY_MS
    write_long_store(path, 2_000)
    more = {"id": "x", "since_ms": at - hidden_days * DAY_MS}
    tell(path, made_incident(STREAM, DRIFTED, at, at + int(lasted_days * DAY_MS), **more))
    found = Store(path, STREAM).incident("x")
    assert found is not None
    times = found["curves"][0]["t"]
    assert times[0] == pytest.approx(at - before_days * DAY_MS, abs=DAY_MS)
    assert times[-1] == pytest.approx(
        min(at + (lasted_days + before_days / 5) * DAY_MS, START_MS + 500 * DAY_MS), abs=DAY_MS
    )


def test_a_long_curve_has_the_means_of_several_panes(tmp_path: Path) -> None:
    """Of one slice for as long as it lasted, and as long before."""
    path, panes = tmp_path / "store.sqlite", 2 * picture.STEPS_MAX + 2
    write_long_store(path, panes)
    tell(path, made_incident(STREAM, DRIFTED, START_MS, START_MS + panes * PANE_MS, id="long"))
    found = Store(path, STREAM).incident("long")
    assert found is not None
    (curve,) = found["curves"]
    assert curve["t"] == [START_MS + min(k, panes) * PANE_MS for k in range(3, panes + 3, 3)]
    assert set(curve["events"]) == {24.0}
    assert curve["log_prob"] == pytest.approx([curve["log_prob"][0]] * len(curve["t"]))


def test_of_many_slices_some_are_drawn(many: Path) -> None:
    names = [f"device-{k:03d}" for k in range(9)]
    tell(many, opened(id="some", slices=names), opened(id="all", slices=["__all__"]))
    store = Store(many, STREAM)
    for incident_id in ("some", "all"):
        found = store.incident(incident_id)
        assert found is not None
        assert [curve["slice"] for curve in found["curves"]] == names[: picture.CURVES_MAX]


def test_an_incident_of_no_slice_has_no_curves(many: Path) -> None:
    tell(many, opened(id="in-1", slices=[""], rules=["intake"]))
    found = Store(many, STREAM).incident("in-1")
    assert found is not None
    assert found["curves"] == []


def test_what_is_not_there_is_not_found(client: httpx.Client) -> None:
    for wrong in ("drift", "drift-", "drift-1,kind=drift", "%", ""):
        answer = client.get("/api/incident", params={"id": wrong})
        assert (answer.status_code, answer.json()) == (404, {"error": "no such incident, or nothing stored of it yet"})
