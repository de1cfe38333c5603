"""That the bench of blindness sees what is lost and what is not said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.bench.blind import stream
from tests.bench.blind.kinds import KINDS, Kind, Rng, Sent
from tests.bench.blind.run import measure

BY_NAME = {kind.name: kind for kind in KINDS}
DAYS = 2


def test_kinds_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(KINDS) >= 25


@pytest.mark.parametrize("name", ["undecodable", "numbers as text", "events 20 days ahead, again and again"])
def test_nothing_honest_is_lost_and_it_is_said(name: str) -> None:
    found = measure([replace(BY_NAME[name], shares=(0.3,))], days=DAYS)
    [row] = found["rows"]
    assert (row["honest_lost"], row["channel_right"], found["replay_equal"]) == (0, True, True), row
    assert row["said_after_events"] < 200


def late(events: list[stream.Event], share: float, rng: Rng) -> Iterator[Sent]:
    """Honest events a day after their panes have closed."""
    for n, event in enumerate(events):
        yield Sent((event.at(event.time_ms - 24 * 3_600_000) if n == len(events) - 1 else event).body(id=str(n)))


def test_what_is_lost_and_not_said_is_seen() -> None:
    found = measure([Kind("lost", late, (0.0,), ("late",))], days=DAYS)
    [row] = found["rows"]
    assert (row["honest_lost"], row["said_after_events"], row["channel_right"]) == (1, None, False), row
