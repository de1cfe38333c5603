"""On a slow machine the demo's season waits for the trainer, for so long and no longer."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream_app.demo import story as plot
from stream_app.demo.facts import Facts
from stream_app.demo.story import TRAINING_MS, Story
from stream_app.kafka import produce
from tests.stages.streams import config


def promoted(model_id: str, request_id: str) -> dict[str, Any]:
    return {"model_id": model_id, "request_id": request_id, "status": "promoted"}


def asked(request_id: str, model_id: str, time_ms: int) -> dict[str, Any]:
    return {"id": request_id, "model_id": model_id, "time_ms": time_ms}


def test_what_the_trainer_still_owes() -> None:
    facts = Facts(config())
    assert facts.awaited_ms is None
    facts.models = [promoted("m0", "")]
    facts.retrains = [asked("a", "m0", 5), asked("b", "m0", 9)]
    assert facts.awaited_ms == 5
    facts.models.append({"model_id": "m1", "request_id": "a", "status": "refused"})
    assert facts.awaited_ms == 9
    facts.models.append(promoted("m2", "b"))
    facts.retrains.append(asked("c", "m0", 11))  # speaks of a model that has been replaced
    assert facts.awaited_ms is None
    facts.retrains.append(asked("d", "m2", 20))
    assert facts.awaited_ms == 20


def test_traffic_waits_for_a_training_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Story, "_start_broker", lambda _: "127.0.0.1:1")
    options = {"folder": str(tmp_path), "stream": "air", "bootstrap": "127.0.0.1:1", "report": None}
    with ExitStack() as stack:
        story = Story(options, stack, 0.0)
    clock = [100.0]
    monkeypatch.setattr(plot, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    story.facts.models = [promoted("m0", "")]
    assert not story._trainer_is_late(10 * TRAINING_MS)
    story.facts.retrains = [asked("a", "m0", 1_000)]
    assert not story._trainer_is_late(1_000 + TRAINING_MS)
    assert story._trainer_is_late(1_001 + TRAINING_MS)
    clock[0] += 59.0
    assert story._trainer_is_late(1_001 + TRAINING_MS)
    clock[0] += 2.0
    assert not story._trainer_is_late(1_001 + TRAINING_MS), "a trainer that hangs must not hang the demo"
    story.facts.models.append(promoted("m1", "a"))
    assert not story._trainer_is_late(2 * TRAINING_MS)


def test_the_clock_stands_while_events_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(produce, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    held = iter([False, True, True, True, False, False])
    pace = produce._Pace(2.0, cast(produce.Hold, lambda _: next(held)))
    pace.wait(0)
    pace.wait(1_000)
    assert clock[0] == pytest.approx(0.3 + 0.5)
    pace.wait(3_000)
    assert clock[0] == pytest.approx(0.3 + 1.5), "what was held is not caught up in a rush"
