"""Backtest: the rules in service, tried on the history that they have judged, tell the same, incident for incident.

The demo's year with a trainer that answers is the live run: models are swapped as it goes. The backtest is given its
events, its decisions and its models, and judges them by a file of rules that holds those in service.

- ``live``, ``backtest``: how many incidents each told of, and ``messages`` of them.
- ``equal``: whether every message is the same, field by field.
- ``other``: incidents that rules with a hundredth of the promise would have told of; so that a backtest that does not
  look at the rules is seen.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from flowlib.table import DAY_MS
from schemas.incidents import Incident
from stream_app.config import Config
from stream_app.demo.run import DATA
from stream_app.offline.backtest.sides import Sides
from stream_app.offline.backtest.threads import folded
from stream_app.stages.batches import RawBatch
from tests.bench.incidents import economy
from tests.bench.incidents.answered import Answered, Timed

DAYS, _QUICK_DAYS = 180, 50
_STRICTER = 100.0


@dataclass
class Recorded(Answered):
    """A run that keeps what it was fed."""

    fed: list[RawBatch] = field(default_factory=list)

    def feed(self, rows: Iterable[Timed]) -> None:
        """See :class:`Answered`."""
        feed: Callable[[RawBatch], Any] = self.run.feed
        taken = self.fed

        def keeping(raw: RawBatch) -> Any:
            taken.append(raw)
            return feed(raw)

        self.run.feed = keeping  # type: ignore[method-assign]
        try:
            super().feed(rows)
        finally:
            self.run.feed = feed  # type: ignore[method-assign]


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    with economy.shipped(DATA) as path:
        return measured(path, (_QUICK_DAYS if args.quick else DAYS) * DAY_MS)


def measured(path: Path, live_ms: int) -> dict[str, Any]:
    """The figures of so much of the demo's year."""
    live, _ = economy.played(economy.config(), path, live_ms, Recorded)
    assert isinstance(live, Recorded)
    told = _in_order(record for record in live.signals if isinstance(record, Incident))
    again = _backtested(live, live.config)
    alerts = live.config.alerts
    stricter = msgspec.structs.replace(alerts, false_incidents_per_month=alerts.false_incidents_per_month / _STRICTER)
    other = _backtested(live, msgspec.structs.replace(live.config, alerts=stricter))
    return {
        "live": len(folded(told)),
        "backtest": len(folded(again)),
        "equal": told == again,
        "messages": len(told),
        "other": len(folded(other)),
        "models": len(live.models),
    }


def _backtested(live: Recorded, rules: Config) -> list[Incident]:
    densities = live.run.pipeline.models.densities
    ordered = [densities[name] for name in live.models]
    sides = Sides(live.config, rules, live.run.pipeline.decisions, ordered)
    for raw in live.fed:
        sides.feed(raw)
    return _in_order(sides.others.incidents)


def _in_order(incidents: Iterable[Incident]) -> list[Incident]:
    return sorted(incidents, key=lambda of: (of.id, of.number))


def table(found: dict[str, Any]) -> Sequence[tuple[str, ...]]:
    """For people."""
    musts = {"equal": "True"}
    return [("what", "is", "must be"), *((name, str(value), musts.get(name, "")) for name, value in found.items())]
