"""An attacker who boils the frog: whose model comes to take the attack for ordinary, and after how many rounds.

White box: in each round the attacker looks at the model in service and at the days that will train, and sends rows
with every one of them, as far on the way from ordinary events to the target as the model still lets pass; where a
round ends without another model, it takes smaller steps. The target stands fixed beforehand. ``kind``:

- ``frog``: 5 % of all events, about one place;
- ``flood``: 30 % of all events, equal ones;
- ``unit``: all events have the first field in a unit that changes a little each round, ten times as large at the end.

Each against ``quarantine`` (rows that the model in service flags do not train, a candidate has to be better; no data
sheet, no bursts, canaries, anchor or recall: a switch of this bench; it ends with its fall) and against ``all`` gates.
A candidate that waits for a person waits for ever. ``survived``: rounds in which the model in service flagged at least
95 % of the target, of the share that the first one flagged; ``swaps``: models that entered; ``waited``: candidates that
waited.

``frog`` of the file: ``{rounds, undefeated, rows}``. ``undefeated``: none of the attacks got through all gates, null
before all three were played. What the gates cost where a drift is true: :mod:`tests.bench.loop.true_drift`.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flowlib.density import Density
from flowlib.table import Floats, Table
from stream_app.trainer import training
from tests.bench.loop.worlds import ATTACK, Loop, failed, mixed, ordinary, stream_in, without_gates

ROUNDS, DAYS, A_DAY = 100, 40, 150
MODEL = {"max_steps": 400, "warm_steps": 150}
KEPT = 0.95
LEFT_OUT = ("bursts", "canaries", "anchor", "recall", "slices")
KINDS, GATES = ("frog", "flood", "unit"), ("all", "quarantine")
SHARES = {"frog": 0.05, "flood": 0.30}
PASSES = 0.98
"""The attacker goes as far as the model lets this share of its rows pass."""
UNIT = 10.0
SMALLEST = 1 / 16
Chance = np.random.Generator


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    rounds, rows = 4 if args.quick else ROUNDS, list[dict[str, Any]]()

    def found() -> dict[str, Any]:
        played = [row for row in rows if row["gates"] == "all"]
        undefeated = all(row["survived"] == rounds for row in played) if len(played) == len(KINDS) else None
        return {"frog": {"rounds": rounds, "undefeated": undefeated, "rows": rows}}

    for gates in GATES:
        for kind in KINDS:
            rows.append(_played(kind, gates, rounds, args.seed))
            args.keep(found())
    return found()


@contextmanager
def quarantine_alone() -> Iterator[None]:
    """Leave out all that holds a candidate to what was known before, and the data sheet."""
    kept = training.make_sheet

    def silent(*given: Any, **named: Any) -> Any:
        return replace(kept(*given, **named), findings=())

    with without_gates(*LEFT_OUT):
        training.make_sheet = silent
        try:
            yield
        finally:
            training.make_sheet = kept


@contextmanager
def guarded_by(gates: str) -> Iterator[None]:
    """``quarantine`` or ``all``."""
    with ExitStack() as stack:
        if gates == "quarantine":
            stack.enter_context(quarantine_alone())
        yield


# The attacks ----------------------------------------------------------------------------------------------------------


@dataclass
class Attacker:
    """What it does, and how bold it is by now.

    Attributes:
        kind: see above.
        step: how much of the way that is open it goes at once.
        reached: how far on the way a model has followed.
        at: how far its last rows were.
    """

    kind: str
    step: float = 1.0
    reached: float = 0.0
    at: float = 0.0

    def sends(self, g: Chance, table: Table, model: Density, alpha: float) -> Table:
        """The rows of a round with its own among them."""
        if self.kind == "unit":
            return _in_unit(table, UNIT ** min(self.reached + self.step * 0.02, 1.0))
        far = self._farthest(model, alpha)
        self.at = self.reached + (far - self.reached) * self.step if far > self.reached else far
        return mixed(table, self.rows(g, len(table), self.at), g.random(len(table)) < SHARES[self.kind])

    def learns(self, swapped: bool) -> None:
        """Whether another model entered after its round."""
        if self.kind == "unit":  # the world's own clock: it does not wait for a model
            self.reached = min(self.reached + 0.02, 1.0)
            return
        self.reached = self.at if swapped else self.reached
        self.step = min(self.step * 2.0, 1.0) if swapped else max(self.step / 2.0, SMALLEST)

    def _farthest(self, model: Density, alpha: float) -> float:
        """How far on the way, in [0, 1], the model lets its rows pass."""
        g, low, high = np.random.default_rng(3), 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2.0
            passed = 1.0 - share_flagged(model, self.rows(g, 500, middle), alpha) >= PASSES
            low, high = (middle, high) if passed else (low, middle)
        return low

    def rows(self, g: Chance, n: int, at: float) -> Floats:
        """Numbers of n of its events, so far on the way."""
        spread = 0.0 if self.kind == "flood" else 0.1
        return np.asarray(START + at * (ATTACK - START) + spread * g.standard_normal((n, 4)))

    def target(self, g: Chance) -> Floats:
        """Numbers that are to pass in the end."""
        if self.kind == "unit":
            return _in_unit(ordinary(g, 2, 1_000), UNIT).numeric
        return self.rows(g, 2_000, 1.0)


START = np.array([0.4, 0.3, 1.0, 0.0])
"""Where the attack begins: an ordinary event."""


def _in_unit(table: Table, factor: float) -> Table:
    numeric = table.numeric.copy()
    numeric[:, 0] *= factor
    return table.with_numeric(numeric)


def share_flagged(model: Density, numeric: Floats, alpha: float) -> float:
    """Share of rows that a model flags, or cannot score."""
    scores = model.score(Table.of(numeric, slices=np.full(len(numeric), "north")))
    return float(np.mean(~scores.scorable | (scores.p_value <= alpha)))


def _played(kind: str, gates: str, rounds: int, seed: int) -> dict[str, Any]:
    g, attacker = np.random.default_rng([seed, 5]), Attacker(kind)
    shares, waited, reasons = [], 0, dict[str, int]()
    with tempfile.TemporaryDirectory() as folder, guarded_by(gates):
        loop = Loop(stream_in(Path(folder), MODEL))
        model, alpha = loop.begin(ordinary(g, DAYS, A_DAY)), loop.config.event_rule.alpha
        target = attacker.target(g)
        first = share_flagged(model, target, alpha)
        for number in range(1, rounds + 1):
            assert loop.service is not None
            outcome = loop.ask(attacker.sends(g, ordinary(g, DAYS, A_DAY, number * DAYS), loop.service, alpha))
            attacker.learns(loop.take(outcome))
            waited += outcome.verdict == "wait"
            for name in failed(outcome):
                reasons[name.split(" (")[0]] = reasons.get(name.split(" (")[0], 0) + 1
            shares.append(share_flagged(loop.service, target, alpha))
            if number % 10 == 0:
                print(f"    {kind}, {gates}: round {number}, {shares[-1]:.1%} flagged", flush=True)
            if gates == "quarantine" and shares[-1] < KEPT * first:
                break
    fallen = next((number for number, share in enumerate(shares) if share < KEPT * first), len(shares))
    row = {"kind": kind, "gates": gates, "rounds": len(shares), "survived": fallen, "swaps": len(loop.promoted) - 1}
    row |= {
        "waited": waited,
        "refused_by": reasons,
        "flagged_at_first": first,
        "flagged_at_least": min(shares),
        "flagged_at_last": shares[-1],
    }
    print(f"  {row}", flush=True)
    return row


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    part = found["frog"]
    rows = [
        (f"{row['kind']}, {row['gates']}", f"{row['survived']} of {row['rounds']} rounds, {row['swaps']} swaps")
        for row in part["rows"]
    ]
    return [("what", "is"), ("undefeated", part["undefeated"]), *rows]
