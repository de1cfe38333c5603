"""What makes a trainer's training fail in a process of its own: each function puts one fault into it."""

from __future__ import annotations

import importlib
import os
import signal
import time
from typing import Any

from stream_app.trainer import training, trying
from stream_app.trainer.gates.gate import Gate


def dying() -> None:
    """The machine's memory is not enough for a training."""
    trying.answer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,misc,return-value]


def slow(before_s: float = 0.0) -> None:
    """The rows take long."""
    train: Any = trying.answer

    def slowly(config: Any, request: Any, rows: Any, model: Any, key: Any, progress: Any, *rest: Any) -> Any:
        def step(done: Any) -> None:
            print("in training", flush=True)
            time.sleep(0.5)
            progress(done)

        if before_s:
            print("in training", flush=True)
            time.sleep(before_s)
        return train(config, request, rows, model, key, step, *rest)

    trying.answer = slowly


def lenient() -> None:
    """The gates let everything through: what comes after them is tried."""
    training.run_gates = lambda _: [Gate("likelihood", True, "it is taken at its word")]


def killed(module: str, owner: str, name: str, at: int, after: bool) -> None:
    """SIGKILL at a call of a method, before or after it; the gates are lenient."""
    lenient()
    of = getattr(importlib.import_module(module), owner)
    done, calls = getattr(of, name), iter(range(10**9))

    def die(*given: Any, **named: Any) -> Any:
        is_now = next(calls) == at
        if is_now and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = done(*given, **named)
        if is_now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(of, name, die)


def hanging() -> None:
    """It does not come back for a minute."""
    slow(before_s=60.0)
