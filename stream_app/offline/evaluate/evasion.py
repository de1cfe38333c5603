"""``driftflow evaluate --attack``: what slips through when somebody who knows the model changes events a little."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flowlib.attack import Box, at_random, descend, slips
from flowlib.density import Density
from flowlib.intervals import wilson
from flowlib.table import Bools, Ints, Table
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.reporting import parts as blocks
from stream_app.trainer.data.admit import thin
from stream_app.trainer.gates.faults import FAULTS, faulty

ROWS_MAX = 200
"""Events of a kind that are attacked."""

ROWS_MIN = 10
_LABELS_MAX = 5

DETECTED = "detected"
"""The kind of events that the model calls strange by itself."""


@dataclass(frozen=True)
class Plan:
    """What the attacker may do.

    Attributes:
        budgets: standard deviations by which each value may move.
        columns: that may be moved; none named are all numeric ones.
    """

    budgets: tuple[float, ...] = (0.5,)
    columns: tuple[str, ...] = ()

    def check(self, names: Collection[str]) -> None:
        """Raise DriftflowError on a budget or a column that cannot be."""
        for name in self.columns:
            if name not in names:
                raise DriftflowError(
                    f"--attack-features: {name!r} is no numeric column of the model, these are: {', '.join(names)}"
                )
        for budget in self.budgets:
            if not 0 < budget < float("inf"):
                raise DriftflowError(f"--attack-budget: a positive number of standard deviations, got {budget:g}")


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: Bools) -> Share:
        """Of some events."""
        low, high = wilson(hits.sum(), len(hits))
        return cls(float(hits.mean()), float(low), float(high))


@dataclass(frozen=True)
class Slip:
    """Of the events of one kind the shares that are not called strange.

    Attributes:
        kind, what: the kind, and in words.
        budget: standard deviations by which values were moved.
        rows: events.
        before: as they are.
        after: moved along the gradient, from there and from what the others found, by somebody who knows the model.
        at_random: moved at random and asked for, as often.
        transferred: moved along the gradient of a simpler model of the same data; None where there is none.
    """

    kind: str
    what: str
    budget: float
    rows: int
    before: Share
    after: Share
    at_random: Share
    transferred: Share | None

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def attacked(config: Config, density: Density, judged: Table, plan: Plan, simple: Density | None) -> list[Slip]:
    """Attack events of every kind with every budget, the smallest first.

    Args:
        config: the stream: its event rule's level decides what is called strange.
        density: the model.
        judged: events that it has not seen.
        plan: what the attacker may do.
        simple: a simpler model of the same data, whose attack is tried on this one; None for none.

    Raises:
        DriftflowError: the plan does not fit the model.
    """
    plan.check(density.spec.numeric)
    alpha, found = config.event_rule.alpha, []
    kinds = list(kinds_of(config, density, judged))
    if not kinds:
        return []
    rows, of = _together([rows for *_, rows in kinds])
    unmoved = slips(density, rows, alpha)
    for budget in sorted(set(plan.budgets)):
        box = Box.of(density, judged, budget, plan.columns or None)
        others = [at_random(density, rows, box, alpha)]
        # The other model's steps lead on past its own level, which says little of this one's.
        others += [descend(simple, rows, box, 1.0, starts=1)] if simple is not None else []
        best = descend(density, rows, box, alpha, tried=others)
        shares = [unmoved, *(slips(density, moved, alpha) for moved in (best, *others))]
        for number, (kind, what, _) in enumerate(kinds):
            here = of == number
            before, after, by_chance, *transferred = [Share.of(slipped[here]) for slipped in shares]
            other = transferred[0] if transferred else None
            found.append(Slip(kind, what, budget, int(here.sum()), before, after, by_chance, other))
    return found


def _together(tables: Sequence[Table]) -> tuple[Table, Ints]:
    """The rows of all tables, and which table each row is of."""
    parts = [(table.numeric, table.categories, table.slices, table.time_ms) for table in tables]
    numeric, categories, slices, time_ms = map(np.concatenate, zip(*parts, strict=True))
    return Table(numeric, categories, slices, time_ms), np.repeat(np.arange(len(tables)), list(map(len, tables)))


def kinds_of(config: Config, density: Density, judged: Table) -> Iterator[tuple[str, str, Table]]:
    """Kind, in words, and rows: what the model calls strange, what carries a rare label, and faults that are put in."""
    scores = density.score(judged)
    strange = thin(judged.take(scores.scorable & (scores.p_value <= config.event_rule.alpha)), ROWS_MAX)
    if len(strange) >= ROWS_MIN:
        yield DETECTED, "events that the model calls strange", strange
    yield from _labelled(config, density, judged)
    usual = thin(judged.take(scores.scorable & (scores.p_value > config.event_rule.alpha)), ROWS_MAX)
    for kind, rows, changed in faulty(usual, seed=0):
        if changed.sum() >= ROWS_MIN:
            yield kind, FAULTS[kind][0], rows.take(changed)


def _labelled(config: Config, density: Density, judged: Table) -> Iterator[tuple[str, str, Table]]:
    """Events of each label but the most frequent one, the rarest labels first."""
    name = config.event.label_field
    if name not in density.spec.categorical:
        return
    labels = judged.categories[:, density.spec.categorical.index(name)].astype(str)
    known, counts = np.unique(labels, return_counts=True)
    rare = [i for i in np.argsort(counts, kind="stable")[:-1].tolist() if counts[i] >= ROWS_MIN][:_LABELS_MAX]
    hidden = name in config.event.sensitive
    for number, i in enumerate(rare, 1):
        said = f"label {number}" if hidden else f"label {known[i]}"
        yield said, f"events with the {said} of {name}", thin(judged.take(labels == known[i]), ROWS_MAX)


def words(found: Sequence[Slip], plan: Plan) -> list[str]:
    """What an attack comes to, in sentences."""
    if not found:
        return ["There were too few events to attack."]
    largest = max(slip.budget for slip in found)
    of = [slip for slip in found if slip.budget == largest]
    n = sum(slip.rows for slip in of)
    before, after = (sum(getattr(s, at).value * s.rows for s in of) / n for at in ("before", "after"))
    which = f"the values of {', '.join(plan.columns)}" if plan.columns else "every value"
    worst = max(of, key=lambda slip: slip.after.value - slip.before.value)
    return [
        f"Somebody who knows the model and may move {which} by {largest:g} standard deviations (sd) gets "
        f"{after:.0%} of {n:,} events past it that are strange, labelled or faulty; {before:.0%} pass as they are.",
        f"Most is gained with {worst.what}: {worst.before.value:.0%} before, {worst.after.value:.0%} after.",
    ]


def evasion_part(found: Sequence[Slip], plan: Plan, drawing: str) -> blocks.Part:
    """The part of the page; ``drawing`` is inline SVG."""
    rows = [
        (slip.what, f"{slip.budget:g} sd", f"{slip.rows:,}", *map(_cell, _shares(slip)))
        for slip in sorted(found, key=lambda slip: (slip.kind != DETECTED, slip.what, slip.budget))
    ]
    head = ("events", "moved by", "number", "slip through", "after the attack", "at random", "by another model")
    pictures = [blocks.Pictures([blocks.Picture(drawing)], "half")] if drawing else []
    said = blocks.Text(" ".join(words(found, plan)))
    content: list[blocks.Block] = [said, blocks.Text(_EVASION), *pictures, blocks.Table(head, rows)]
    return blocks.Part("Events that are made to look ordinary", content)


def _shares(slip: Slip) -> tuple[Share | None, ...]:
    return slip.before, slip.after, slip.at_random, slip.transferred


def _cell(share: Share | None) -> str:
    if share is None:
        return "–"
    return f"{share.value:.1%} ({100 * share.low:.0f} to {100 * share.high:.0f})".replace(" ", "\u00a0")


_EVASION = (
    "Each event is moved within its budget, step by step along the slope of the score (projected gradient descent, "
    "Madry et al. 2018), until the model no longer calls it strange at the event rule's level; every one that counts "
    "was scored as it would be on the topic. Beside it the same number of questions asked at random, and the attack of "
    "somebody who has the data and only a simple model of their own. Texts, gaps and the time stay as they are."
)
