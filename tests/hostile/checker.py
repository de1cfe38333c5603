"""One checker for every consumer: it lives, everything is accounted for, and the good message behind is handled."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.intake import take_in
from schemas.records import DeadLetter
from stream_app.config import Config
from tests.hostile.cases import Case

Ledger = dict[int, DeadLetter | None]
"""Place among the cases handed in to its dead letter, None where it was taken; the rest is unaccounted for."""


class Consumer(Protocol):
    """What takes messages of a topic in. Each call is a new beginning, as after a restart.

    Attributes:
        topic, partition: where its dead letters say that the messages were.
        first: offset of the first case.
    """

    topic: str
    partition: int
    first: int

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """Take the cases in order, and a good message behind them.

        Raises:
            AssertionError: the good one is not handled, or something that was refused has had an effect.
        """
        ...


@dataclass(slots=True)
class Tally:
    """What was handed in.

    Attributes:
        cases: messages.
        kinds: their kinds.
        unaccounted: of them, those that were neither taken nor refused.
    """

    cases: int = 0
    kinds: set[str] = field(default_factory=set)
    unaccounted: int = 0


class Faulty(AssertionError):
    """A consumer did with some cases what it must not do; the message names the fewest that show it."""


def check(consumer: Consumer, cases: Iterable[Case], size: int) -> Tally:
    """Hand all cases in, ``size`` at a time.

    Raises:
        Faulty: with the fewest cases that show what is wrong.
    """
    tally = Tally()
    for some in batched(cases, size):
        try:
            check_once(consumer, some)
        except Exception as error:
            fewest, why = _narrowed(consumer, some, error)
            shown = "\n  ".join(map(repr, fewest[:3]))
            raise Faulty(f"{type(consumer).__name__}: {why!r} after {len(fewest)} case(s):\n  {shown}") from why
        tally.cases += len(some)
        tally.kinds.update(case.kind for case in some)
    return tally


def batched(cases: Iterable[Case], size: int) -> Iterator[list[Case]]:
    """Lists of ``size`` cases, the last one shorter."""
    rest = iter(cases)
    while some := list(itertools.islice(rest, size)):
        yield some


def check_once(consumer: Consumer, cases: Sequence[Case]) -> None:
    """Hand some cases in; each must have been taken or refused, as it says, and refusals must say what and where."""
    ledger = consumer.hand_in(cases)
    for place, case in enumerate(cases):
        assert place in ledger, f"unaccounted for: {case!r}"
        letter = ledger[place]
        if letter is None:
            assert case.usable is not False, f"taken: {case!r}"
        else:
            assert case.usable is not True, f"refused, {letter.reason} {letter.detail!r}: {case!r}"
            _check_letter(consumer, consumer.first + place, case, letter)


def _check_letter(consumer: Consumer, offset: int, case: Case, letter: DeadLetter) -> None:
    where = (letter.topic, letter.partition, letter.offset)
    assert where == (consumer.topic, consumer.partition, offset), f"{where}, not at {offset}: {case!r}"
    assert letter.reason, f"no reason: {case!r}"
    assert letter.detail, f"no detail: {case!r}"
    value = case.value or b""
    assert (letter.size, letter.sha256) == (len(value), hashlib.sha256(value).hexdigest()), repr(case)
    assert value.startswith(letter.body), repr(case)


def letter_of(config: Config, value: bytes, headers: Sequence[tuple[str, bytes]]) -> DeadLetter:
    """The dead letter in a message; it must be fit to be read by whoever reads them."""
    letter = take_in("dead_letters", config.stream, value, headers)
    assert isinstance(letter, DeadLetter), letter
    return letter


def _narrowed(consumer: Consumer, cases: list[Case], error: Exception) -> tuple[list[Case], Exception]:
    """The fewest of the cases, by halving, that still fail, and how."""
    while len(cases) > 1:
        half = len(cases) // 2
        for some in (cases[:half], cases[half:]):
            try:
                check_once(consumer, some)
            except Exception as other:
                cases, error = some, other
                break
        else:
            return cases, error
    return cases, error
