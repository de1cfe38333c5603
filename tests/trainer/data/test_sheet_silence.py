"""The data sheet stops no training on data in which nothing is wrong."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from math import nan
from pathlib import Path

import numpy as np
import pytest

import stream_app
from flowlib.intervals import wilson
from flowlib.table import DAY_MS, Floats, Table
from stream_app.config import Config
from stream_app.config.loading import load
from tests.trainer.data.worlds import iid, sheet_of, told

EXAMPLE = Path(stream_app.__file__).parent / "demo" / "example"
WORLDS = 100


def uniform(table: Table) -> Floats:
    """p-values of a model that holds."""
    return np.random.default_rng(len(table)).random(len(table))


def test_nothing_severe_is_found_in_a_hundred_worlds_that_do_not_change(seed: int) -> None:
    """None of 100: with 95 % confidence fewer than 3.7 % of such trainings are stopped."""
    severe, warned = 0, 0
    for number in range(WORLDS):
        sheet = sheet_of(iid(seed + number, 60, 24), told(uniform), calibrate_from_day=40)
        severe += bool(sheet.severe)
        warned += bool(sheet.findings)
    assert severe == 0
    assert wilson(severe, WORLDS)[1] < 0.04
    assert warned <= 5


@pytest.fixture(scope="module")
def example() -> tuple[Config, Table]:
    """The example's rows and its configuration."""
    config = load(EXAMPLE / "driftflow.toml")
    numeric, slices, times = [], [], []
    with gzip.open(EXAMPLE / "beijing_air_2013.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            numeric.append([float(row[name]) if row[name] != "NA" else nan for name in config.event.numeric])
            slices.append(row["station"])
            times.append(int(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp() * 1000))
    return config, Table.of(numeric, slices=slices, time_ms=times)


@pytest.mark.parametrize("days", [60, 180, 380])
def test_nothing_severe_is_found_in_the_first_year_of_the_example(days: int, example: tuple[Config, Table]) -> None:
    config, table = example
    sheet = sheet_of(table.take(table.time_ms < table.time_ms[0] + days * DAY_MS), config=config)
    assert sheet.severe == []
    assert sum(sheet.blocks.values()) == days
