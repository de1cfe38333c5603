"""A trainer's probes and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stream_app.config import Config
from stream_app.guard import Guard
from stream_app.kafka.probes import Reachable
from stream_app.trainer.monitoring import SILENT_S, Monitoring
from stream_app.trainer.trainer import Trainer
from tests.integration.monitored import ask, metrics, missing
from tests.trainer.asking import asked, request


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Guard(60.0) as guarding:
        yield guarding


def test_a_trainer_tells_how_it_stands(
    config: Config, guard: Guard, start: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reachable, "why_not", lambda _: list[str]())
    trainer = start(min_rows=10_000)
    with Monitoring(config, guard, trainer).serving() as url:
        assert ask(url, "/livez") == (200, "ok\n")
        assert ask(url, "/readyz")[0] == 503, "the first model is being trained"
        trainer.listening = True
        assert ask(url, "/readyz") == (200, "ok\n")
        trainer.refused["untrusted_key"] += 2
        trainer.handle(asked(request()))
        found = metrics(url, "trainer")
        assert found["driftflow_dead_letters_total", "reason=untrusted_key"] == 2
        assert found["driftflow_trainer_requests_total", "outcome=refused"] == 1
        assert found["driftflow_step_seconds_count", "step=training"] == 1
        assert missing(found, "trainer") == set()
        monkeypatch.setattr(trainer._stopping, "asked_s", trainer._stopping.asked_s - SILENT_S - 9)
        status, why = ask(url, "/livez")
        assert (status, why[:36]) == (503, "the trainer has not come round for 1")
