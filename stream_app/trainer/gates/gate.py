"""A gate and what it found; the verdict of all of them together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "wait", "refuse"]
"""``pass``: into service, or into the shadow; ``wait``: a person has to say; ``refuse``: never."""

CHIEF = ("likelihood", "calibration_high")
"""Gates that tell most of a model that has passed."""


@dataclass(frozen=True)
class Gate:
    """What one gate found.

    Attributes:
        name: of the gate.
        passed: whether it lets the candidate through.
        says: one sentence that needs no statistics to be understood, with figure, interval and threshold.
        figure: what was measured; None where nothing could be.
        interval: its 95 % interval, where it has one.
        threshold: what it is held against.
        waits: where it has failed, a person may let the candidate through all the same.
        detail: more figures, JSON.
    """

    name: str
    passed: bool
    says: str
    figure: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    waits: bool = False
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The gate as it stands in a notice: numbers that are none are None."""
        found = {
            "passed": self.passed,
            "waits": self.waits,
            "figure": self.figure,
            "interval_95": None if self.interval is None else list(self.interval),
            "threshold": self.threshold,
            **self.detail,
            "says": self.says,
        }
        return {name: _plain(value) for name, value in found.items()}


def figures(gates: Iterable[Gate]) -> dict[str, Any]:
    """Name to figures of each gate, for a notice."""
    return {gate.name: gate.to_json() for gate in gates}


def verdict(gates: Iterable[Gate]) -> Verdict:
    """``refuse`` where a gate has failed that no person may open, ``wait`` where only others have."""
    failed = [gate for gate in gates if not gate.passed]
    if not failed:
        return "pass"
    return "wait" if all(gate.waits for gate in failed) else "refuse"


def summary(gates: Sequence[Gate]) -> str:
    """The sentences of the gates that failed, each with its name; where none did, those of :data:`CHIEF`."""
    failed = [gate for gate in gates if not gate.passed]
    said = failed or [gate for gate in gates if gate.name in CHIEF]
    begin = "" if failed else f"all {len(gates)} gates passed; "
    return begin + "; ".join(f"{gate.name}: {gate.says}" for gate in said)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
