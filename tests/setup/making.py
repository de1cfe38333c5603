"""Rows of a small stream that many kinds of files can hold."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2024, 1, 1, tzinfo=UTC)
Times = Callable[[datetime], Any]


def rows(n: int = 700, minutes: int = 30, time: Times = datetime.isoformat, name: str = "when") -> list[dict[str, Any]]:
    """Rows half an hour apart: a time, two numbers, a kind and the place it is of."""
    chance = random.Random(7)
    made = []
    for i in range(n):
        moment = START + timedelta(minutes=minutes * i)
        kind, place = chance.choice(["dry", "wet", "cold"]), chance.choice(["north", "south"])
        made.append(
            {
                name: time(moment),
                "price": round(50 + chance.gauss(0, 3), 2),
                "demand": 1_000 + int(chance.gauss(0, 40)),
                "weather": kind,
                "aisle": place,
            }
        )
    return made


def table(made: Sequence[dict[str, Any]], delimiter: str = ",") -> str:
    """The rows as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(made[0])
    writer.writerows([list(row.values()) for row in made])
    return out.getvalue()
