"""What the demo believes of its worker: nothing is taken for done that is still on its way."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from schemas.incidents import Incident, SilencedIncident
from stream_app.demo.facts import Facts
from stream_app.errors import DriftflowError
from stream_app.stages.points import incident_point, strange_point
from tests.demo import storing
from tests.people import HOUR_MS, incident, silenced, strange


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    """Of a run whose worker has received seven events and is done with them."""
    facts = Facts(storing.config_in(tmp_path))
    storing.write_status(facts.config, received=7)
    storing.write_points(facts.config, [storing.window(1_000, "north", "m0", 5, 1, "8s")])
    return facts


def test_a_run_at_rest_has_settled_what_it_has_received(facts: Facts) -> None:
    facts.refresh()
    assert (facts.received, facts.settled) == (7, 7)


@pytest.mark.parametrize(
    "fields",
    [
        {"lag": 1},
        {"lag": None},
        {"pending": 1},
        {"unwatched": 1},
        {"unread": {"0": 0, "1": 3}},
        {"unread": {"0": 0, "1": None}},
        {"unread": {"0": 0}},
        {"unread": {}},
    ],
)
def test_nothing_is_settled_while_something_is_on_its_way(facts: Facts, fields: dict[str, Any]) -> None:
    storing.write_status(facts.config, received=7, **fields)
    facts.refresh()
    assert facts.received == 7
    assert facts.settled is None


def test_points_that_wait_for_the_store_are_not_settled(facts: Facts) -> None:
    storing.spool_one(facts.config)
    facts.refresh()
    assert facts.settled is None


def test_nothing_is_known_before_the_first_worker(tmp_path: Path) -> None:
    facts = Facts(storing.config_in(tmp_path))
    facts.refresh()
    assert (facts.received, facts.settled, facts.events_per_s, facts.slices) == (0, None, 0.0, {})


def test_progress_of_any_kind_shows(facts: Facts) -> None:
    facts.refresh()
    seen = [facts.moving]
    storing.write_status(facts.config, received=8)
    facts.refresh()
    seen.append(facts.moving)
    storing.spool_one(facts.config)
    seen.append(facts.moving)
    model = storing.point("models", 5, {"model_id": "m1", "stream": "s"}, status="promoted")
    storing.write_points(facts.config, [model])
    facts.refresh()
    seen.append(facts.moving)
    assert len(set(seen)) == 4
    facts.refresh()
    assert facts.moving == seen[-1]


def test_the_rate_is_that_of_the_last_refreshes(facts: Facts) -> None:
    facts.refresh()
    storing.write_status(facts.config, received=107, at=102.0)
    facts.refresh()
    assert facts.events_per_s == pytest.approx(50.0)
    assert facts.first_score_at == 90.0
    storing.write_status(facts.config, received=107, at=103.0, first_score_at=101.0)
    facts.refresh()
    assert facts.first_score_at == 90.0, "a worker that was restarted knows its own first score only"


def test_messages_are_read_whole_silenced_ones_too(facts: Facts) -> None:
    told = [incident(), silenced(incident("b", pane_end_ms=31 * HOUR_MS))]
    storing.write_points(facts.config, [*map(incident_point, told), strange_point(strange())])
    facts.refresh()
    assert facts.messages == told
    assert [type(message) for message in facts.messages] == [Incident, SilencedIncident]
    assert facts.strange == [strange()]


def test_slices_are_those_of_the_newest_long_window(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.demo.facts.SHOWN_SPAN", "8s")
    newer = [storing.window(2_000, name, "m0", 9, 2, span) for name in ("north", "south") for span in ("pane", "8s")]
    storing.write_points(facts.config, newer)
    facts.refresh()
    assert facts.event_time_ms == 2_000
    assert {name: row["span"] for name, row in facts.slices.items()} == {"north": "8s", "south": "8s"}


def test_a_model_is_in_service_where_it_was_activated_last(facts: Facts) -> None:
    assert facts.out_of_service("m0") == [0, 1]
    storing.activate(facts.config, 0, 0, "m0")
    assert facts.out_of_service("m0") == [1]
    storing.activate(facts.config, 1, 0, "m0")
    assert facts.out_of_service("m0") == []
    storing.activate(facts.config, 0, 4_000, "m1")
    assert facts.out_of_service("m1") == [1]
    assert facts.out_of_service("m0") == [0]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE others SET fields = '{\"record\": 1' WHERE measurement = 'incidents'",
        "UPDATE others SET fields = '[]' WHERE measurement = 'models'",
        "UPDATE others SET tags = x'ff' WHERE measurement = 'models'",
        "UPDATE others SET time_ms = 'soon' WHERE measurement = 'models'",
        "UPDATE others SET tags = '{}' WHERE measurement = 'incidents'",
    ],
)
def test_a_damaged_store_is_a_sentence(facts: Facts, damage: str) -> None:
    model = storing.point("models", 1, {"model_id": "m0"}, status="promoted")
    storing.write_points(facts.config, [incident_point(incident()), model])
    facts.refresh()
    with sqlite3.connect(facts.config.path(facts.config.sink.path)) as link:
        link.execute(damage)
    link.close()
    with pytest.raises(DriftflowError, match=r"is damaged .*; remove the folder of the demo"):
        facts.refresh()


@pytest.mark.parametrize("name", ["spool", "path"])
def test_a_file_that_is_no_database_is_a_sentence(facts: Facts, name: str) -> None:
    path = facts.config.path(getattr(facts.config.sink, name))
    path.write_bytes(b"no database" * 999)
    with pytest.raises(DriftflowError, match=r"not a database.*; remove the folder of the demo"):
        facts.refresh()
