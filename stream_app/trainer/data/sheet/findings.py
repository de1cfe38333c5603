"""What a data sheet says: findings, and the figures of the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from flowlib.density import Density
from flowlib.table import Floats, Ints, Table
from schemas.records import IncidentSpan
from stream_app.config import Config
from stream_app.trainer.data.admit import within
from stream_app.trainer.data.rows import Rows, joined
from stream_app.trainer.data.spans import Blocks, Split

Severity = Literal["info", "warning", "severe"]
"""``severe``: no model is trained on it."""

LOOKED_AT = 20_000
"""Rows of a part that columns are looked at on, evenly over time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the rows of a training.

    Attributes:
        kind: a short code, such as ``gap`` or ``unit change``.
        severity: whether it stops the training.
        columns: names it is about; none where it is about rows.
        figure: numbers by name.
        says: one sentence: what is there, and what to do.
    """

    kind: str
    severity: Severity
    columns: tuple[str, ...]
    figure: dict[str, Any]
    says: str


@dataclass(frozen=True, slots=True)
class DataSheet:
    """Of one training set.

    Attributes:
        rows: rows of each part.
        blocks: blocks of each part that have rows.
        block: what a block is: day, hour or pane.
        times_ms: event times of the first row and of the last one of each part that has rows.
        from_ms, to_ms: event times of the first row and of the last one.
        slices: slices of the first slicing.
        findings: the most severe first.
        left_out: reason to rows that were asked for and are in no part.
    """

    rows: dict[str, int]
    blocks: dict[str, int]
    block: str
    times_ms: dict[str, tuple[int, int]]
    from_ms: int
    to_ms: int
    slices: int
    findings: tuple[Finding, ...]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def severe(self) -> list[Finding]:
        """Findings that stop the training."""
        return [finding for finding in self.findings if finding.severity == "severe"]

    def to_json(self) -> dict[str, Any]:
        """Plain values; no number that JSON has not."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Material:
    """What the checks look at.

    Attributes:
        split: the parts.
        rows: all rows that were read, before any left.
        champion: the model in service, None before the first.
        config: the stream.
        accepted: spans that a person has called the new normal.
    """

    split: Split
    rows: Rows
    champion: Density | None
    config: Config
    accepted: Sequence[IncidentSpan] = ()

    @property
    def blocks(self) -> Blocks:
        """What time is cut into."""
        return self.split.blocks

    @cached_property
    def train(self) -> Table:
        """Rows of the training span, in order of time."""
        return joined(self.split.train, self.split.validation)

    @cached_property
    def held(self) -> Table:
        """Rows that calibrate or judge, with their copies, less those that a person has called the new normal."""
        return self.strange_only(self.split.held_out)

    def strange_only(self, table: Table) -> Table:
        """The rows outside of what a person has called the new normal."""
        return table.take(~within(table, self.accepted, self.config)) if self.accepted else table

    @cached_property
    def every(self) -> Table:
        """Rows of all parts, in order of time; at most :data:`LOOKED_AT` of the training span and of the others."""
        return joined(self.looked_at(self.train), self.looked_at(self.split.held_out))

    @property
    def names(self) -> list[str]:
        """Numeric columns."""
        return self.config.event.numeric

    @staticmethod
    def looked_at(table: Table) -> Table:
        """At most :data:`LOOKED_AT` rows, evenly over time."""
        return table if len(table) <= LOOKED_AT else table.take(np.linspace(0, len(table) - 1, LOOKED_AT).astype(int))


def auc(low: Floats, high: Floats) -> float:
    """How often a value of ``high (m,)`` is above one of ``low (n,)``, ties half (Mann and Whitney 1947)."""
    ordered = np.sort(low)
    below, upto = np.searchsorted(ordered, high, "left"), np.searchsorted(ordered, high, "right")
    return float((below + upto).sum() / (2.0 * max(len(low), 1) * max(len(high), 1)))


def discreet(finding: Finding, sensitive: Sequence[str]) -> Finding:
    """The finding without figures and sentences about values of sensitive columns."""
    if set(finding.columns).isdisjoint(sensitive):
        return finding
    return replace(finding, figure={}, says=f"{' and '.join(finding.columns)}: {finding.kind}")


def slices_of(table: Table, least: int, most: int) -> list[tuple[str, Ints]]:
    """``(slice, its rows)`` of the slices with so many rows, the largest ones of them."""
    names, of_row, count = np.unique(table.slices.astype(str), return_inverse=True, return_counts=True)
    largest = [int(i) for i in np.argsort(-count, kind="stable")[:most] if count[i] >= least]
    return [(str(names[i]), np.flatnonzero(of_row == i)) for i in largest]
