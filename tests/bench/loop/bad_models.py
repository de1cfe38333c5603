"""Models that once went into service, and which gate stops each of them now.

``bad_models``: rows of ``{kind, verdict, refused_by, before, after, says}``. Where a kind is made by what somebody
sends, it comes through the whole of a request (``through`` is "request"): rows, data sheet, split, training, gates;
where a model is made wrong by hand, real weights and calibration, it comes before the gates ("gates"). ``refused_by``
names gates; ``verdict`` is ``refuse``, or ``wait`` where a person has to say. Of attacks ``before`` and ``after`` are
the shares of the attack that the model in service flags before and after the request.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flowlib.table import Table
from stream_app.trainer.data.admit import prepare
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.data.spans import Folds
from stream_app.trainer.outcome import Outcome
from tests.bench.loop.at_the_gates import at_the_gates
from tests.bench.loop.worlds import Loop, attack, burst, day_of, failed, flagged, mixed, ordinary, poisoned, stream_in

DAYS, A_DAY, NEXT = 70, 240, 70
EQUAL_SHARE, GARBAGE_SHARE = 0.3, 0.3
Chance = np.random.Generator


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    a_day = 120 if args.quick else A_DAY
    with tempfile.TemporaryDirectory() as folder:
        g = np.random.default_rng([args.seed, 3])
        loop = Loop(stream_in(Path(folder)))
        loop.begin(ordinary(g, DAYS, a_day))
        rows = [*_asked(loop, g, a_day), *_calendar(loop, args.seed, a_day), _later(loop, g, a_day)]
    return {"bad_models": [*rows, *at_the_gates()]}


# Through a whole request ----------------------------------------------------------------------------------------------


def _asked(loop: Loop, g: Chance, a_day: int) -> Iterator[dict[str, Any]]:
    """Kinds that are made by what is sent."""
    for kind, ask in REQUESTS.items():
        outcome = ask(loop, g, ordinary(g, DAYS, a_day, NEXT))
        yield _row(loop, kind, outcome, attacked="attack" in kind)


def _row(loop: Loop, kind: str, outcome: Outcome, attacked: bool = False) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": kind,
        "verdict": outcome.verdict,
        "refused_by": [name.split(" (")[0] for name in failed(outcome)],
        "through": "request",
        "says": outcome.notice.reason,
    }
    if attacked and loop.service is not None:
        g, alpha = np.random.default_rng(7), loop.config.event_rule.alpha
        after = loop.load(outcome.model) if outcome.verdict == "pass" and outcome.model else loop.service
        row |= {name: flagged(of, attack(g, 2_000), alpha) for name, of in (("before", loop.service), ("after", after))}
    return row


def _equal(table: Table, g: Chance) -> Table:
    return mixed(table, np.tile([0.5, 0.4, 1.2, 0.1], (len(table), 1)), g.random(len(table)) < EQUAL_SHARE)


def _garbage(table: Table, g: Chance) -> Table:
    return mixed(table, g.uniform(-20.0, 20.0, (len(table), 4)), g.random(len(table)) < GARBAGE_SHARE)


def _in_part(table: Table, changed: Table, first: int, end: int) -> Table:
    """The table with what changes between two days after its first."""
    day = day_of(table) - NEXT
    return mixed(table, changed.numeric, (day >= first) & (day < end))


def _timed(table: Table) -> Table:
    """The last field counts up."""
    numeric = table.numeric.copy()
    numeric[:, 3] = np.arange(len(numeric)) / 100.0
    return table.with_numeric(numeric)


def _in_another_unit(table: Table) -> Table:
    numeric = table.numeric.copy()
    numeric[(day_of(table) - NEXT >= 25) & (table.slices == "north"), 2] *= 1_000.0
    return table.with_numeric(numeric)


def _split_attack(loop: Loop, g: Chance, table: Table) -> Outcome:
    """Nobody has judged the burst, whose days are those that calibrate and judge."""
    return loop.ask(_in_part(table, poisoned(g, table), 42, DAYS), [burst("i1", NEXT + 42, NEXT + DAYS)])


REQUESTS: dict[str, Callable[[Loop, Chance, Table], Outcome]] = {
    "nothing has changed": lambda loop, g, table: loop.ask(table),
    "30 % of the events are garbage": lambda loop, g, table: loop.ask(_garbage(table, g)),
    "30 % garbage on the newest days alone": lambda loop, g, table: loop.ask(
        _in_part(table, _garbage(table, g), 42, DAYS)
    ),
    "a sudden attack with 5 % of the events": lambda loop, g, table: loop.ask(
        _in_part(table, poisoned(g, table), 35, DAYS)
    ),
    "an attack with 5 % of the events from the first day on": lambda loop, g, table: loop.ask(poisoned(g, table)),
    "an attack with 5 % whose incident nobody has judged": _split_attack,
    "an attack with 5 % of the events that train, and no others": lambda loop, g, table: loop.ask(
        _in_part(table, poisoned(g, table), 0, 42)
    ),
    "an attack with half a percent of the events": lambda loop, g, table: loop.ask(poisoned(g, table, 0.005)),
    "30 % equal records": lambda loop, g, table: loop.ask(_equal(table, g)),
    "half of the training range is already deleted": lambda loop, g, table: loop.ask(table, deleted=len(table)),
    "a field that tells the time": lambda loop, g, table: loop.ask(_timed(table)),
    "a field that tells the time, a first model": lambda loop, g, table: Loop(loop.config).ask(_timed(table)),
    "a unit that changes within the training rows": lambda loop, g, table: loop.ask(_in_another_unit(table)),
    "four days of rows": lambda loop, g, table: loop.ask(table.take(day_of(table) >= NEXT + DAYS - 4)),
}


def _calendar(loop: Loop, seed: int, a_day: int) -> Iterator[dict[str, Any]]:
    """An attack on the days that once trained alone, whichever they were."""
    for number in range(5):
        g = np.random.default_rng([seed, 4, number])
        table = ordinary(g, DAYS, a_day, NEXT)
        poison = mixed(table, attack(g, len(table)), (g.random(len(table)) < 0.06) & (day_of(table) % 5 != number))
        kind = f"an attack on all days but those with day mod 5 = {number}"
        yield _row(loop, kind, loop.ask(poison), attacked=True)


def _later(loop: Loop, g: Chance, a_day: int) -> dict[str, Any]:
    """Gate rows lie later than all others of a request; no choice of a model can change that."""
    table = ordinary(g, DAYS, a_day, NEXT)
    made = prepare(loop.config, loop.request(table), Rows.of(table), loop.service, Folds(b"k" * 32, "r"))
    spans = [
        part.time_ms for part in (made.split.train, made.split.validation, made.split.calibration, made.split.gate)
    ]
    later = max(spans[0].max(), spans[1].max()) < spans[2].min() and spans[2].max() < spans[3].min()
    says = "all rows that train lie before all that calibrate, and those before all that judge"
    row = {
        "kind": "gate rows between the training days",
        "through": "request",
        "refused_by": ["split"] if later else [],
    }
    return {**row, "verdict": "refuse" if later else "pass", "says": says}


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    rows = [
        (row["kind"], row["verdict"], ", ".join(row["refused_by"])[:70], _shares(row)) for row in found["bad_models"]
    ]
    return [("kind", "verdict", "refused by", "attack flagged"), *rows]


def _shares(row: dict[str, Any]) -> str:
    return f"{row['before']:.1%} → {row['after']:.1%}" if "after" in row else ""
