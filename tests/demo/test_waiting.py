"""Waiting ends when what is waited for has happened, or when nothing moves any more."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from stream_app.demo import waiting
from stream_app.demo.waiting import STALL_S, Waiting
from stream_app.errors import DriftflowError


class Clock:
    """Stands in for the time module: sleeping takes a minute and no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep))

    def _sleep(self, _: float) -> None:
        self.now += 60.0


def test_it_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    seen, answers = [], iter([False, False, True])

    def done() -> bool:
        seen.append(one.what)
        return next(answers)

    one = Waiting(lambda: 0, lambda: "")
    one.wait("rain", done)
    assert seen == ["rain"] * 3
    assert one.what == ""


def test_it_goes_on_as_long_as_anything_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, steps = Clock(monkeypatch), itertools.count()
    Waiting(lambda: next(steps) // 3, lambda: "").wait("rain", lambda: clock.now > 10 * STALL_S)
    assert clock.now > 10 * STALL_S


def test_it_ends_with_a_sentence_where_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with pytest.raises(DriftflowError, match=r"(?s)waits for rain, and nothing has moved for 5 minutes.*last words"):
        Waiting(lambda: 0, lambda: "last words").wait("rain", lambda: False)
    assert clock.now > STALL_S
