"""Interchanging RBF: fifteen classes change places every 3,000 rows; the whole hardly moves, each class does.

Through the trainer, SCORE and WATCH with the default rules. Each class is a slice, a row comes every five minutes, a
pane is an hour. Each of the 66 changes is a stream of its own: a model (``mixture``) is trained on the first 2,592 rows
(nine days) after the change before, as a retraining would; then the other 408 rows are watched, on which all that is
found is false, and 1,500 rows behind the change: what is found there first finds it, at the end of its pane.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.bench.detect import product
from tests.bench.detect.pool import each
from tests.bench.detect.public_sets.ours import Floats
from tests.bench.detect.streams import HOUR_MS, START_MS

CHANGES, EVERY, TRAIN, WINDOW, ROWS_A_PANE = 66, 3_000, 2_592, 1_500, 12
ROW_MS = HOUR_MS // ROWS_A_PANE


def measure(folder: Path, quick: bool = False) -> list[dict[str, Any]]:
    """One row: changes found, delays in rows, false alarms."""
    values = pl.read_csv(folder / "interchanging_rbf.csv.gz").to_numpy().astype(np.float64)
    chosen = range(0, CHANGES, 22 if quick else 1)
    seen: list[tuple[int | None, int]] = each(
        _change, [values[EVERY * k : EVERY * (k + 1) + WINDOW] for k in chosen], 1
    )
    delays = np.sort([delay for delay, _ in seen if delay is not None])
    false, slices = sum(f for _, f in seen), len(np.unique(values[:, 2]))
    return [
        {
            "set": "interchanging RBF",
            "subset": f"{len(seen)} changes, within {WINDOW} rows",
            "metric": "found",
            "value": len(delays),
            "of": len(seen),
            "median_delay_rows": float(np.median(delays)) if len(delays) else None,
            "p90_delay_rows": float(np.quantile(delays, 0.9, method="higher")) if len(delays) else None,
            "false_alarms": false,
            "slice_panes": len(seen) * slices * ((EVERY - TRAIN) // ROWS_A_PANE),
        }
    ]


def _change(rows: Floats) -> tuple[int | None, int]:
    """Rows until a change is found, if it is, and what was found before it; ``rows`` begin at the change before."""
    bodies = [
        (b"c%d" % c, b'{"time":%d,"slice":"c%02d","x0":%.7g,"x1":%.7g}' % (START_MS + i * ROW_MS, c, x0, x1))
        for i, (x0, x1, c) in enumerate(rows)
    ]
    config = product.at_evidence(product.config_of(["x0", "x1"], model={"flow": "mixture"}), 2 * product.LEVEL)
    density = product.train(config, bodies[:TRAIN])
    opened = product.watch(config, density, bodies[TRAIN:], keep=False).opened()
    changed = EVERY // ROWS_A_PANE
    first = next((seen for seen in opened if seen.pane >= changed), None)
    delay = None if first is None else (first.pane - changed + 1) * ROWS_A_PANE
    return delay, sum(seen.pane < changed for seen in opened)
