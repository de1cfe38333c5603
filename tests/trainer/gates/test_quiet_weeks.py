"""A week without alarms is no model that is switched off, where alarms come in clumps."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.table import DAY_MS, Table
from stream_app.trainer.gates.calibration import calibration_low
from tests.trainer.gates.worlds import fit, rows, trial


def days(seed: int, stormy: tuple[int, ...], n: int = 3_000) -> Table:
    """Ten days; two rows in a hundred are far out, all of them on those that are stormy."""
    table, chance = rows(n, seed, moved=0.0, days=10), 0.2 / max(len(stormy), 1)
    wild = np.isin(table.time_ms // DAY_MS, stormy) & (np.random.default_rng(seed).random(n) < chance)
    calm = np.clip(table.numeric, -1.8, 1.8)
    return table.with_numeric(np.where(wild[:, None], calm + 8.0, calm))


@pytest.mark.parametrize(("stormy", "passes"), [((3,), True), (tuple(range(10)), False)])
def test_alarms_in_clumps_say_less(stormy: tuple[int, ...], passes: bool) -> None:
    calibration, quiet = days(2, stormy), days(3, ())
    candidate = fit(days(1, stormy), calibration)
    gate = calibration_low(trial(candidate, None, quiet, calibration=(calibration, calibration.time_ms // DAY_MS)))
    assert gate.figure == 0.0
    assert gate.passed == passes, gate.says
