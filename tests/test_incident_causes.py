"""One broken producer is one incident in every list, with its partitions as members."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.incidents import Example, Incident
from stream_app.incident_causes import together
from stream_app.incident_lines import is_over
from tests.people import HOUR_MS, incident


def of(partition: int, since_h: int = 6, end_h: int = 8, **fields: Any) -> Incident:
    """What a partition tells of a field that is missing."""
    example = Example(topic="orders", partition=partition, offset=7, event_time_ms=0, slice="", p_value=1.0, blame=[])
    known = {"rules": ["intake"], "kind": "fault", "members": [], "member_count": 0, "slice_count": 0, "events": 20}
    known |= {"cause_id": "missing", "examples": [example], "summary": f"all events of orders/{partition} are bad."}
    known |= {"since_ms": since_h * HOUR_MS, "pane_start_ms": (end_h - 1) * HOUR_MS, "pane_end_ms": end_h * HOUR_MS}
    return incident(f"p{partition}-{since_h}", **known | fields)


def test_partitions_are_members_of_one() -> None:
    (one,) = together([of(2), of(0, 5, severity="warning"), of(1)])
    assert (one.id, one.severity, one.since_ms) == ("p0-5", "critical", 5 * HOUR_MS)
    assert [(member.slicing, member.slice, member.over) for member in one.members] == [
        ("partition", "orders/0", False),
        ("partition", "orders/1", False),
        ("partition", "orders/2", False),
    ]
    assert (one.member_count, one.events) == (3, 60)
    assert one.summary == "all events of orders/1 are bad. The same on orders/0, orders/2."


def test_it_is_open_as_long_as_it_is_anywhere() -> None:
    over: dict[str, Any] = {"state": "resolve", "reason": "ended"}
    (one,) = together([of(0, **over), of(1)])
    assert not is_over(one)
    assert one.summary.startswith("all events of orders/1 are bad.")
    assert [member.over for member in one.members] == [False, True]
    (one,) = together([of(0, **over), of(1, **over)])
    assert is_over(one)


@pytest.mark.parametrize(("since_h", "incidents"), [(8, 1), (9, 1), (10, 2)])
def test_what_comes_again_later_is_another(since_h: int, incidents: int) -> None:
    over: dict[str, Any] = {"state": "resolve", "reason": "ended"}
    assert len(together([of(0, 6, 8, **over), of(1, since_h, since_h + 1)])) == incidents


def test_others_stay_as_they_are() -> None:
    known = [incident(), of(0), of(1, cause_id="late"), incident("x")]
    assert sorted(one.id for one in together(known)) == sorted(one.id for one in known)
    assert all(one in known for one in together(known))


def test_many_are_counted() -> None:
    (one,) = together([of(k) for k in range(300)])
    assert one.member_count == 300
    assert len(one.members) == 100
    assert "and 294 more." in one.summary
