"""A stream that does not change, or in the way that is asked for, and its trainer without a broker.

Each request goes through :func:`stream_app.trainer.training.answer` as the trainer's own do: rows are admitted, looked
through and split, a real flow is trained, the gates judge it, and it is signed; what is promoted is loaded again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowlib import artifact
from flowlib.artifact import Artifact, Ed25519PrivateKey
from flowlib.density import Density
from flowlib.table import DAY_MS, Bools, Floats, Table
from schemas.records import IncidentSpan, OffsetRange, RetrainRequest
from stream_app.config import Config, EventConfig, ModelConfig, TopicsConfig
from stream_app.stages.dropped import Dropped
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.gates import running
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.training import Known, answer

START_DAY = 15_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
ATTACK = np.array([2.2, -2.6, 3.0, 0.0])
"""Where an attack lies: each value by itself is seen now and then, together they never are."""
ATTACK_SHARE = 0.05
CONFIG = Config(
    stream="loop",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["w", "x", "y", "z"], slicings=[["place"]]),
)


def stream_in(folder: Path, model: dict[str, Any] | None = None, **trainer: Any) -> Config:
    """The stream with its files in a folder, and other settings of the model and of the trainer."""
    settings = msgspec.structs.replace(CONFIG.trainer, **trainer)
    return msgspec.structs.replace(CONFIG, model=ModelConfig(**(model or {})), trainer=settings, root=str(folder))


def ordinary(g: np.random.Generator, days: int, a_day: int, day: int = 0, moved: float = 0.0) -> Table:
    """Rows of so many days from a day on: two numbers that belong together, one skew, one on a grid, of two places.

    Args:
        g: chance.
        days, a_day: how many rows.
        day: the first, from the beginning of the stream on.
        moved: how far the first number has moved, in standard deviations.
    """
    n = days * a_day
    x = g.standard_normal((n, 4))
    x[:, 0] += moved
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    x[:, 2] = np.exp(0.5 * x[:, 2])
    x[:, 3] = np.round(x[:, 3], 1)
    time_ms = (START_DAY + day) * DAY_MS + np.arange(n) * (days * DAY_MS) // n
    return Table.of(x, slices=np.where(g.random(n) < 0.8, "north", "south"), time_ms=time_ms)


def attack(g: np.random.Generator, n: int) -> Floats:
    """Numbers of n events of an attack."""
    return np.asarray(ATTACK + 0.1 * g.standard_normal((n, 4)))


def mixed(table: Table, numeric: Floats, rows: Bools) -> Table:
    """The table with other numbers ``(n, 4)`` in some rows ``(n,)``."""
    return table.with_numeric(np.where(rows[:, None], numeric, table.numeric))


def poisoned(g: np.random.Generator, table: Table, share: float = ATTACK_SHARE) -> Table:
    """The table with an attack in a share of its rows."""
    return mixed(table, attack(g, len(table)), g.random(len(table)) < share)


def day_of(table: Table) -> Any:
    """``(n,)`` days since the beginning of the stream."""
    return table.time_ms // DAY_MS - START_DAY


def flagged(model: Density, numeric: Floats, alpha: float) -> float:
    """Share of events of now with these numbers that a model flags, or cannot score."""
    scores = model.score(Table.of(numeric, slices=np.full(len(numeric), "north")))
    return float(np.mean(~scores.scorable | (scores.p_value <= alpha)))


def burst(name: str, first_day: int, end_day: int, kind: str = "burst") -> IncidentSpan:
    """What JUDGE lists of an incident of all places on whole days that nobody has judged."""
    times = (START_DAY + first_day) * DAY_MS, (START_DAY + end_day) * DAY_MS
    return IncidentSpan(incident_id=name, kind=kind, slicing="place", slices=[], from_ms=times[0], to_ms=times[1])


@contextmanager
def without_gates(*names: str) -> Iterator[None]:
    """Leave gates out, as a monitor that has none of them does."""
    kept, alike = running.GATES, [gate for gate in running.GATES if gate.__name__ not in names]
    running.GATES = tuple(alike)  # type: ignore[assignment]
    try:
        yield
    finally:
        running.GATES = kept


@dataclass
class Loop:
    """A trainer and what is in service.

    Attributes:
        config: the stream.
        service: the model in service, None before the first.
        anchor: the first one.
        asked: requests so far.
    """

    config: Config
    service: Density | None = None
    anchor: Density | None = None
    asked: int = 0
    promoted: list[str] = field(default_factory=list)

    def begin(self, table: Table) -> Density:
        """The first model; raises RuntimeError where its gates refuse it."""
        outcome = self.ask(table)
        if not self.take(outcome):
            raise RuntimeError(f"no first model: {outcome.notice.reason}")
        assert self.service is not None
        self.anchor = self.service
        return self.service

    def ask(
        self,
        table: Table,
        unjudged: Sequence[IncidentSpan] = (),
        accepted: Sequence[IncidentSpan] = (),
        deleted: int = 0,
    ) -> Outcome:
        """Answer a request for all rows of a table.

        Args:
            table: the rows.
            unjudged, accepted: as JUDGE lists them.
            deleted: so many more were asked for, and retention has deleted them.
        """
        self.asked += 1
        dropped = Dropped()
        if deleted:
            dropped.add("deleted", "e/0", "deleted by the topic's retention", deleted)
        rows = replace(Rows.of(table), rejected=dropped, asked=len(table) + deleted)
        request, newest_ms = self.request(table, unjudged, accepted), int(table.time_ms[-1])
        return answer(self.config, request, rows, self.service, KEY, seen_ms=newest_ms, known=Known(self.anchor))

    def take(self, outcome: Outcome) -> bool:
        """Put a model that has passed its gates in service; whether it did."""
        if outcome.verdict != "pass" or outcome.model is None:
            return False
        self.service = self.load(outcome.model)
        self.promoted.append(self.service.model_id)
        return True

    def load(self, model: Artifact) -> Density:
        """A signed model."""
        public = KEY.public_key()
        return artifact.load(model, {artifact.key_id(public): public})

    def request(
        self, table: Table, unjudged: Sequence[IncidentSpan] = (), accepted: Sequence[IncidentSpan] = ()
    ) -> RetrainRequest:
        """A request for all rows of a table."""
        start_ms, end_ms = int(table.time_ms[0]), int(table.time_ms[-1]) + 1
        part = OffsetRange(topic="e", partition=0, start=0, end=len(table), start_ms=start_ms, end_ms=end_ms)
        return RetrainRequest(
            id=f"request-{self.asked}",
            stream=self.config.stream,
            reason="bootstrap" if self.service is None else "drift",
            slices=[],
            alerts=[],
            model_id="" if self.service is None else self.service.model_id,
            requested_pane_ms=end_ms,
            train=[part],
            calibrate_from_ms=start_ms,
            unjudged=list(unjudged),
            accepted=list(accepted),
        )


def failed(outcome: Outcome) -> list[str]:
    """Names of the gates that a candidate has failed; where it did not come as far as them, why."""
    names = [name for name, gate in outcome.notice.gates.items() if not gate["passed"]]
    return names or ([] if outcome.verdict == "pass" else [outcome.notice.reason])
