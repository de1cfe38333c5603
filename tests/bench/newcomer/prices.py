"""A file as a newcomer has it: half-hourly prices and demand of two places over 944 days, as JSON lines."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 45_312
BEFORE = 16_000
"""Rows before the first change, in the real file and in the one that is made up."""
_IN_CENTS = 34_000
"""Rows before a unit changes in the one that is made up: late enough whatever part a first model takes."""
_BEGIN = datetime(1996, 5, 7, tzinfo=UTC)
_HALF_HOURS = 48
_NUMBERS = ("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")


def write_prices(path: Path, data: Path | None, seed: int = 7) -> Path:
    """Write the electricity file (Harries 1999) where its data are, else one of its shape; returns the path."""
    real = data / "bench" / "elec2.csv.gz" if data is not None else None
    rows = _real(real) if real is not None and real.exists() else _made_up(seed)
    with path.open("w", encoding="utf-8") as file:
        for i, row in enumerate(rows):
            at = _BEGIN + timedelta(minutes=30 * i)
            file.write(json.dumps({"at": at.isoformat().replace("+00:00", "Z"), **row}) + "\n")
    return path


def _real(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {name: float(row[name]) for name in _NUMBERS} | {"move": row["class"]}


def _made_up(seed: int) -> Iterator[dict[str, Any]]:
    """Demand with its hours and weekdays, prices that follow it; the second place, still at first, begins to move, and
    in the end the prices of the first come in cents.
    """
    rng, noise, last = np.random.default_rng(seed), 0.0, 0.0
    for i in range(ROWS):
        hour, weekday = i % _HALF_HOURS / 2, i // _HALF_HOURS % 7
        noise = 0.8 * noise + 0.02 * float(rng.normal())
        demand = 0.45 + 0.15 * np.sin((hour - 8) / 24 * 2 * np.pi) - (0.08 if weekday >= 5 else 0.0) + noise
        price = 0.05 + 0.06 * demand**2 + 0.004 * abs(float(rng.normal()))
        moves = i >= BEFORE + 500
        values = (
            price * 100.0 if i >= _IN_CENTS else price,
            demand,
            0.003467 + (0.0006 * float(rng.normal()) if moves else 0.0),
            0.422915 + (0.1 * float(rng.normal()) if moves else 0.0),
            0.414912 + (0.1 * float(rng.normal()) if moves else 0.0),
        )
        rounded = {name: round(float(value), 6) for name, value in zip(_NUMBERS, values, strict=True)}
        yield rounded | {"move": "UP" if price > last else "DOWN"}
        last = price
