"""A new source partition is read once the signals topic has room for what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.worker.growth import make_room
from tests.worker.making import in_a_loop


class Signals:
    """The signals topic of a stream of two partials partitions; what is added shows after a while.

    Attributes:
        enlarged: how often it was asked to have room.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: set[int], error: Exception | None = None) -> None:
        self.answers, self.error, self.enlarged = list(answers), error, 0
        monkeypatch.setattr("stream_app.worker.growth.ensure_topics", self.enlarge)
        monkeypatch.setattr("stream_app.worker.growth._PAUSE_S", 0.0)

    async def known(self) -> set[int]:
        """The next answer; the last one stays."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def enlarge(self, config: Config) -> dict[str, int]:
        """Add what is missing."""
        self.enlarged += 1
        if self.error is not None:
            raise self.error
        return {}


OLD, NEW = set(range(5)), set(range(7))


@pytest.mark.parametrize(("sources", "enlarged"), [({0, 1}, 0), ({1, 3}, 1), (set(), 0)])
@in_a_loop
async def test_it_is_enlarged_for_new_partitions_only(
    config: Config, monkeypatch: pytest.MonkeyPatch, sources: set[int], enlarged: int
) -> None:
    signals = Signals(monkeypatch, OLD, OLD, OLD, NEW)
    await make_room(signals.known, config, sources)
    assert signals.enlarged == enlarged
    assert signals.answers == ([NEW] if enlarged else [OLD, OLD, OLD, NEW])


@in_a_loop
async def test_room_that_is_there_is_taken(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals(monkeypatch, NEW)
    await make_room(signals.known, config, {2, 3})
    assert signals.enlarged == 0


@in_a_loop
async def test_a_broker_that_lets_nobody_add_partitions_ends_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: Any = Signals(monkeypatch, OLD, error=DriftflowError("run kafka-topics.sh"))
    with pytest.raises(DriftflowError, match=r"run kafka-topics\.sh"):
        await make_room(signals.known, config, {3})


@in_a_loop
async def test_what_never_shows_ends_in_a_sentence(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.worker.growth._PATIENCE_S", 0.05)
    with pytest.raises(DriftflowError, match=r"does not show partition 5 of s\.signals after"):
        await make_room(Signals(monkeypatch, OLD).known, config, {2, 3})
