"""Hostile messages on every topic while two workers, a trainer and a console are up; and every wrong request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.brokers import APACHE, EMBEDDED
from tests.hostile.requesting import Requesting
from tests.hostile.soak import soak
from tests.integration.stream import Stream

SECONDS = 20.0


@pytest.fixture
def stream(tmp_path: Path, broker: tuple[str, str], unique: Callable[[str], str], models: Path) -> Stream:
    """A stream with two models on the broker at hand."""
    made = Stream(tmp_path / "air", broker[1], unique("soak"))
    made.adopt(models)
    return made


@APACHE
@pytest.mark.timeout(400)
def test_nothing_hostile_changes_what_is_said(stream: Stream, example: Path, seed: int) -> None:
    report = soak(stream, stream.rows(example), SECONDS, seed, print)
    assert not report.faults, "\n".join(report.faults)
    assert (report.exits, report.hung, report.unaccounted, report.signals_equal) == (0, 0, 0, True)
    assert sum(report.hostile.values()) > 400


@EMBEDDED
@pytest.mark.timeout(400)
def test_every_request_is_answered_once(stream: Stream, example: Path, seed: int) -> None:
    stream.produce(stream.rows(example))
    answers = Requesting(stream, seed).run(rounds=1, copies=3)
    assert not answers.faults, "\n".join(answers.faults)
    assert answers.answered_once == answers.sent > 20
