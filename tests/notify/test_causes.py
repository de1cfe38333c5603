"""One broken producer is one thread, however many partitions it writes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.incidents import Example
from schemas.records import Health
from stream_app.config.notify import AlertmanagerConfig, MailConfig
from stream_app.notify.causes import SOURCES_MAX, Causes
from stream_app.notify.notices import Notice
from stream_app.notify.outbox import Outbox
from stream_app.notify.wanting import wants
from stream_app.stages.score.intake import Bad, Intake, Sample
from stream_app.stages.score.intake_words import incident as words_of
from stream_app.stages.score.shares import Bets
from stream_app.worker.health import INHERITED_S, Telling
from tests.notify.receivers import A, B, told
from tests.people import incident
from tests.stages.streams import config


def of(partition: int, state: str = "open", **fields: Any) -> Notice:
    """What a partition tells of a field that is missing."""
    example = Example(topic="orders", partition=partition, offset=7, event_time_ms=0, slice="", p_value=1.0, blame=[])
    known = {"rules": ["intake"], "kind": "fault", "members": [], "member_count": 0, "slice_count": 0}
    known |= {"cause_id": "missing", "examples": [example], "severity": "critical", "state": state}
    known |= {"summary": f"all events: 17 of 17 events since orders/{partition}@5 are rejected"}
    record = incident(fields.pop("name", f"p{partition}-incident"), **known | fields)
    return told(record, f"key-{record.id}-{state}-{record.number}")


def shown(notices: list[Notice]) -> list[tuple[str, str, str]]:
    return [(one.thread, one.state, one.reason) for one in notices]


def test_partitions_that_tell_the_same_together_are_one_message() -> None:
    (one,) = Causes().fold([of(0), of(1), of(2)])
    assert shown([one]) == [("p0-incident", "open", "opened")]
    assert one.lines[0] == "The same on orders/0, orders/1, orders/2"
    assert sum(line.startswith("The same") for line in one.lines) == 1


def test_a_producer_that_sends_garbage_to_three_partitions_is_one_thread() -> None:
    """As SCORE tells it, each partition for itself."""
    said = []
    for partition in range(3):
        intake, offsets = Intake(), np.arange(40)
        garbage = Bad("rejected", "not_json", offsets, lambda _: Sample("", "invalid character (byte 3)"))
        (one,) = intake.take(Bets(0.01), offsets, offsets, [garbage])
        said.append(told(words_of(config(), "orders", partition, one), f"key-{partition}"))
    (thread,) = Causes().fold(said)
    assert thread.lines[0] == "The same on orders/0, orders/1, orders/2"
    assert "since orders/0@0 are rejected as not_json" in thread.text


def test_those_that_come_later_join_and_it_is_over_once_all_are() -> None:
    causes = Causes()
    assert shown(causes.fold([of(0)])) == [("p0-incident", "open", "opened")]
    (joined,) = causes.fold([of(1)])
    assert shown([joined]) == [("p0-incident", "update", "joined")]
    assert not wants(MailConfig(), joined, lambda: True), "nobody reads a mail a partition"
    assert wants(AlertmanagerConfig(), joined, lambda: True)
    assert causes.fold([of(0, "resolve", reason="ended")]) == []
    (over,) = causes.fold([of(1, "resolve", reason="ended")])
    assert shown([over]) == [("p0-incident", "over", "ended")]
    assert over.title == "s: critical data fault p0-incid is over"
    assert over.lines[0] == "The same on orders/0, orders/1"
    anew = causes.fold([of(1, name="p1-again")])
    assert shown(anew) == [("p1-again", "open", "opened")], "what comes anew is a thread of its own"


def test_reminders_are_those_of_the_first_and_graver_is_told_whoever_says_it() -> None:
    causes = Causes()
    causes.fold([of(0, severity="info"), of(1, severity="info")])
    assert causes.fold([of(1, "update", reason="reminder", severity="info")]) == []
    assert shown(causes.fold([of(0, "update", reason="reminder", severity="info")])) == [
        ("p0-incident", "update", "reminder")
    ]
    causes.fold([of(0, "resolve", reason="ended", severity="info")])
    (again,) = causes.fold([of(1, "update", reason="reminder", severity="info", number=3)])
    assert shown([again]) == [("p0-incident", "update", "reminder")], "where the first is over the next one reminds"
    causes.fold([of(0, severity="info")])
    (graver,) = causes.fold([of(1, "update", reason="severity", severity="warning")])
    assert (graver.thread, graver.reason, graver.severity) == ("p0-incident", "severity", "warning")
    assert graver.labels["severity"] == "warning"
    assert causes.fold([of(0, "update", reason="severity", severity="warning")])[0].severity == "warning"
    (joined,) = causes.fold([of(2, severity="critical")])
    assert (joined.reason, joined.severity) == ("severity", "critical")
    assert wants(MailConfig(), joined, lambda: True)


def test_other_faults_and_other_incidents_stand_alone() -> None:
    found = Causes().fold([of(0), of(1, cause_id="late"), told(incident(A)), told(incident(B))])
    assert [one.thread for one in found] == ["p0-incident", "p1-incident", A, B]


def test_what_is_read_again_after_a_kill_is_the_same_thread(tmp_path: Path) -> None:
    outbox, channels = Outbox(tmp_path / "o.sqlite", 100), ["mail"]
    batches = [[of(0)], [of(1)], [of(0, "resolve", reason="ended")], [of(1, "resolve", reason="ended")]]

    def take(batch: list[Notice]) -> list[tuple[str, str, str]]:
        causes = Causes(outbox.causes())
        folded = causes.fold(batch)
        outbox.append([(channel, one) for channel in channels for one in folded], causes.to_bytes())
        return shown(folded)

    assert [take(batch) for batch in batches[:3]] == [
        [("p0-incident", "open", "opened")],
        [("p0-incident", "update", "joined")],
        [],
    ]
    outbox.close()
    outbox = Outbox(tmp_path / "o.sqlite", 100)
    assert take(batches[3]) == [("p0-incident", "over", "ended")]
    waiting = outbox.waiting()
    for batch in batches:
        take(batch)
    assert take(batches[2]) == []
    assert outbox.waiting() == waiting == {"mail": 3}, "what is read again is there already"
    outbox.close()


def test_what_is_remembered_is_bounded() -> None:
    causes = Causes()
    causes.fold([of(k) for k in range(SOURCES_MAX)])
    assert shown(causes.fold([of(SOURCES_MAX)])) == [(f"p{SOURCES_MAX}-incident", "open", "opened")]


@pytest.mark.parametrize("state", ["resolve", "update"])
def test_what_began_before_it_was_listened_to_is_told_as_it_is(state: str) -> None:
    assert len(Causes().fold([of(0, state, reason="ended" if state == "resolve" else "reminder")])) == 1


def health(source: str, state: str = "failing", at_ms: int = 0) -> Notice:
    record = Health(stream="s", source=source, part="events", state=state, says="no broker", since_ms=at_ms)
    return told(record, f"{source}-{state}-{at_ms}")


def test_what_two_workers_fail_in_is_over_once_both_work_again() -> None:
    causes = Causes()
    first = health("worker a")
    assert shown(causes.fold([first, health("worker b")])) == [(first.thread, "open", "")]
    causes = Causes(causes.to_bytes())
    assert causes.fold([health("worker a", "ok", 5)]) == [], "the other one still fails"
    (over,) = causes.fold([health("worker b", "ok", 9)])
    assert (over.thread, over.state, over.title) == (first.thread, "over", "s: events works again")
    (again,) = causes.fold([health("worker b", at_ms=12)])
    assert (again.thread, again.state, again.lines) == (health("worker b").thread, "open", [])


def test_one_that_has_not_failed_says_nothing_of_those_that_do() -> None:
    causes = Causes()
    causes.fold([health("worker a"), health("worker b")])
    assert causes.fold([health("worker c", "ok", 4), health("worker a", "ok", 5)]) == []
    (over,) = causes.fold([health("worker b", "ok", 6)])
    assert over.state == "over"


def test_a_worker_that_is_started_again_ends_what_the_one_before_has_left_failing() -> None:
    """It is another process, and nobody else says that it works again."""
    causes, telling = Causes(), Telling(config(), "worker h-18")
    (first,) = causes.fold([health("worker h-17")])
    telling.adopt([("events", "worker h-17", 1.0)])
    telling.due({}, 0, 0.0)
    (ok,) = telling.due({}, 9_000, INHERITED_S)
    (over,) = causes.fold([told(ok, "ok")])
    assert (over.thread, over.state) == (first.thread, "over")


def test_each_worker_that_fails_later_is_told_and_one_that_has_gone_holds_nothing_open() -> None:
    causes = Causes()
    (first,) = causes.fold([health("worker a")])
    (second,) = causes.fold([health("worker b", at_ms=5)])
    assert shown([second]) == [(first.thread, "update", "members")]
    day = 86_400_000
    (later,) = causes.fold([health("worker c", at_ms=6 + day)])
    assert (later.thread, later.state) == (health("worker c").thread, "open")
    (over,) = causes.fold([health("worker c", "ok", 7 + day)])
    assert over.state == "over"
