"""Health is said when it changes, seldom, and never twice; what a former process left is mended too."""

from __future__ import annotations

import pytest

from schemas.intake import take_in
from schemas.records import Health
from stream_app.config import Config
from stream_app.stages.partitioning import trainer_signals
from stream_app.worker.health import INHERITED_S, MESSAGES_MAX, REST_S, SETTLE_S, Telling, health_message, health_point


class Told:
    """A worker whose parts fail as a test says; every message that is due is taken."""

    def __init__(self, config: Config, *before: str) -> None:
        self.telling, self.now_s = Telling(config, "worker w-1"), 0.0
        self.telling.adopt((part, "worker w-0", 5.0) for part in before)

    def after(self, seconds: float, **failing: str) -> list[tuple[str, str, str]]:
        """Part, state and text of what is sent after some seconds, looked at twice a second."""
        sent, until_s = [], self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 0.5
            for health in self.telling.due(failing, int(1_000 * self.now_s), self.now_s):
                self.telling.told(health, self.now_s)
                sent.append((health.part, health.state, health.says))
        return sent


def test_what_fails_is_said_once_and_so_is_that_it_works_again(config: Config) -> None:
    told = Told(config)
    assert told.after(600, drainer="the server is away") == [("drainer", "failing", "the server is away")]
    assert told.after(600, drainer="the server is still away") == [], "another text is no change"
    assert told.after(600) == [("drainer", "ok", "")]
    assert told.after(600) == []


def test_what_is_over_at_once_is_not_said(config: Config) -> None:
    told = Told(config)
    for _ in range(10):
        assert told.after(SETTLE_S / 2, drainer="away") == []
        assert told.after(SETTLE_S / 2) == []


def test_what_fails_on_and_off_is_said_once_a_minute_at_most(config: Config) -> None:
    told, sent = Told(config), []
    for _ in range(40):
        sent += told.after(2 * SETTLE_S, drainer="away")
        sent += told.after(2 * SETTLE_S)
    assert 2 <= len(sent) <= told.now_s / REST_S + 1
    assert [state for _, state, _ in sent[:2]] == ["failing", "ok"]


def test_many_parts_that_fail_at_once_are_said_little_by_little(config: Config) -> None:
    told = Told(config)
    failing = {f"silence e/{n}": "nothing is written" for n in range(3 * MESSAGES_MAX)}
    assert len(told.after(REST_S, **failing)) == MESSAGES_MAX
    assert len(told.after(3 * REST_S, **failing)) == 2 * MESSAGES_MAX


def test_what_the_broker_did_not_take_stays_due(config: Config) -> None:
    telling = Telling(config, "worker w-1")
    failing = {"drainer": "away"}
    telling.due(failing, 0, 0.0)
    first = telling.due(failing, 9_000, SETTLE_S)
    assert telling.due(failing, 9_500, SETTLE_S + 1) == first
    assert [(health.since_ms, health.source) for health in first] == [(0, "worker w-1")]


def test_what_a_former_process_left_failing_is_well_once_it_does_not_fail_here(config: Config) -> None:
    told = Told(config, "worker", "drainer", "transaction e/0")
    assert told.after(INHERITED_S / 2, drainer="still away") == [], "who fails as before says nothing new"
    assert told.after(INHERITED_S, drainer="still away") == [("transaction e/0", "ok", ""), ("worker", "ok", "")]
    told.telling.adopt([("worker", "worker w-0", 5.0), ("transaction e/0", "worker w-0", 5.0)])
    assert told.after(2 * INHERITED_S, drainer="still away") == [], "the same file says the same for a day"


def test_of_each_process_that_failed_it_is_said_that_it_works_again(config: Config) -> None:
    """That of another would end nothing, where several fail."""
    telling = Telling(config, "worker w-3")
    telling.due({"drainer": "away"}, 0, 0.0)
    (failing,) = telling.due({"drainer": "away"}, 9_000, SETTLE_S)
    telling.told(failing, SETTLE_S)
    telling.adopt([("drainer", f"worker w-{n}", 5.0) for n in (1, 2)])
    telling.due({}, 60_000, REST_S)
    every = telling.due({}, 80_000, 2 * REST_S)
    assert [(one.source, one.state) for one in every] == [(f"worker w-{n}", "ok") for n in (1, 2, 3)]
    telling.told(every[0], 2 * REST_S)
    assert telling.due({}, 130_000, 3 * REST_S) == every[1:], "the broker did not take them"
    for one in every[1:]:
        telling.told(one, 3 * REST_S)
    assert telling.due({}, 900_000, 9 * REST_S) == []


def test_another_content_is_another_message(config: Config) -> None:
    """The first may be on the topic although nobody acknowledged it."""
    about = {"stream": "s", "source": "worker w-1", "part": "drainer", "state": "failing", "since_ms": 5}
    messages = [health_message(config, Health(says=says, **about)) for says in ("503", "429", "503")]
    first, second, third = [dict(message.headers)["ce_id"] for message in messages]
    assert first == third != second


@pytest.mark.parametrize("says", ["", "it has no room\x1b[2J", "x" * 100_000])
def test_a_message_and_its_point_are_what_others_take_in(config: Config, says: str) -> None:
    failing = {"drainer" + says[:20]: says}
    telling = Telling(config, "worker w-1")
    telling.due(failing, 5, 0.0)
    (health,) = telling.due(failing, 5_000, SETTLE_S)
    message = health_message(config, health)
    assert (message.role, message.partition) == ("signals", trainer_signals(config.topics.partitions))
    taken = take_in("signals", config.stream, message.value, message.headers)
    assert isinstance(taken, Health)
    assert taken == health
    point = health_point(health)
    assert (point.measurement, point.time_ms, dict(point.fields)["state"]) == ("health", 5, "failing")
