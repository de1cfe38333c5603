"""The data sheet finds what was planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from flowlib.table import DAY_MS, Floats, Table
from stream_app.config import EventConfig
from stream_app.stages.dropped import Dropped
from stream_app.trainer.data.rows import DELETED, Rows
from stream_app.trainer.data.sheet import DataSheet
from stream_app.trainer.data.sheet.findings import auc
from tests.trainer.data.worlds import CONFIG, START_MS, changed, day_of, iid, prepared, sheet_of, span, told

DAYS, CALIBRATE = 90, 62
Change = Callable[[Table, np.random.Generator], Table]


def since(table: Table, day: int) -> np.ndarray:
    return np.asarray(day_of(table) >= day)


def some(table: Table, g: np.random.Generator, share: float) -> np.ndarray:
    return np.asarray(g.random(len(table)) < share)


def again(table: Table, g: np.random.Generator, rows: np.ndarray, first: int, end: int) -> Table:
    """The table in which the chosen rows are copies of others, at their own times."""
    at = np.where(rows, g.integers(first, end, len(table)), np.arange(len(table)))
    return replace(table.take(at), time_ms=table.time_ms)


def every(table: Table) -> np.ndarray:
    return np.ones(len(table), bool)


def scaled(x: Floats) -> Floats:
    """Of another place and spread."""
    return np.asarray(3 * x + 15)


PLANTED: dict[str, tuple[str, str, tuple[str, ...], Change]] = {
    "a week without rows": (
        "gap", "warning", (), lambda t, g: t.take((day_of(t) < 20) | (day_of(t) > 26))),
    "a third of the time without rows": (
        "gap", "severe", (), lambda t, g: t.take((day_of(t) < 10) | (day_of(t) > 45))),
    "a slice that was silent for ten days": (
        "gap in slices", "warning", (),
        lambda t, g: t.take(~((day_of(t) >= 20) & (day_of(t) < 30) & (t.slices == "s1")))),
    "a tenth of the rows sent again": (
        "duplicates", "warning", (), lambda t, g: again(t, g, some(t, g, 0.1), 0, len(t))),
    "most rows sent again and again": (
        "duplicates", "severe", (), lambda t, g: again(t, g, every(t), 0, len(t) // 3)),
    "old rows sent again in the newest weeks": (
        "duplicates across spans", "warning", (),
        lambda t, g: again(t, g, since(t, CALIBRATE) & some(t, g, 0.3), 0, len(t) // 2)),
    "one content from a day on": (
        "flood", "severe", (),
        lambda t, g: changed(t, since(t, 70) & some(t, g, 0.35), w=0.1, x=0.2, y=1.1, z=0.3, c="a", s="s0")),
    "a counter": (
        "leakage", "severe", ("w",), lambda t, g: changed(t, every(t), w=np.arange(len(t)))),
    "the date with noise": (
        "leakage", "severe", ("w",), lambda t, g: changed(t, every(t), w=day_of(t) + 3 * g.standard_normal(len(t)))),
    "the date as text": (
        "leakage", "severe", ("c",), lambda t, g: changed(t, every(t), c=[f"batch-{d}" for d in day_of(t)])),
    "the minute of the day": (
        "row order", "warning", ("w",), lambda t, g: changed(t, every(t), w=t.time_ms % DAY_MS)),
    "a column that tells the gate from training": (
        "shift", "warning", ("w",), lambda t, g: changed(t, since(t, 70), w=lambda x: x + 6)),
    "metres to millimetres": (
        "unit change", "severe", ("y",), lambda t, g: changed(t, since(t, 40), y=lambda x: 1_000 * x)),
    "metres to millimetres around zero": (
        "unit change", "severe", ("w",), lambda t, g: changed(t, since(t, 40), w=lambda x: 1_000 * x)),
    "Celsius to Fahrenheit": (
        "unit change", "severe", ("w",),
        lambda t, g: changed(changed(t, every(t), w=scaled), since(t, 40), w=lambda x: 1.8 * x + 32)),
    "Celsius to Kelvin": (
        "unit change", "severe", ("w",),
        lambda t, g: changed(changed(t, every(t), w=scaled), since(t, 40), w=lambda x: x + 273.15)),
    "inches to centimetres": (
        "unit change", "severe", ("w",),
        lambda t, g: changed(changed(t, every(t), w=lambda x: x + 20), since(t, 40), w=lambda x: 2.54 * x)),
    "one slice in another unit": (
        "unit change", "severe", ("y",),
        lambda t, g: changed(t, since(t, 70) & (t.slices == "s2"), y=lambda x: 10 * x)),
    "an unknown factor": (
        "unit change", "severe", ("y",), lambda t, g: changed(t, since(t, 40), y=lambda x: 333_333 * x)),
    "one slice has nearly all rows": (
        "imbalance", "warning", (), lambda t, g: changed(t, some(t, g, 0.97), s="s0")),
    "a level that is nearly never": (
        "imbalance", "warning", ("c",), lambda t, g: changed(t, some(t, g, 0.97), c="a")),
    "slices that training has not seen": (
        "unseen", "severe", (), lambda t, g: changed(t, since(t, CALIBRATE), s="new")),
    "a constant": (
        "constant", "warning", ("w",), lambda t, g: changed(t, every(t), w=1.0)),
    "constant in training alone": (
        "constant", "severe", ("w",), lambda t, g: changed(t, ~since(t, CALIBRATE), w=1.0)),
    "gone from the gate": (
        "missing", "severe", ("w",), lambda t, g: changed(t, since(t, CALIBRATE), w=np.nan)),
    "the same with a little noise": (
        "near-duplicate", "warning", ("w", "x"),
        lambda t, g: changed(t, every(t), x=2 * t.numeric[:, 0] + 0.01 * g.standard_normal(len(t)))),
    "the same in another unit": (
        "near-duplicate", "warning", ("w", "x"), lambda t, g: changed(t, every(t), x=2 * t.numeric[:, 0] + 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_found(name: str, seed: int) -> None:
    kind, severity, columns, plant = PLANTED[name]
    table = plant(iid(seed, DAYS, 60), np.random.default_rng(seed))
    sheet = sheet_of(table, calibrate_from_day=CALIBRATE)
    found = [finding for finding in sheet.findings if (finding.kind, finding.columns) == (kind, columns)]
    assert [finding.severity for finding in found] == [severity], sheet.findings
    assert found[0].says.count("{") == 0
    assert (severity == "severe") == bool(sheet.severe)
    json.dumps(sheet.to_json(), allow_nan=False)


LABELLED = msgspec.structs.replace(
    CONFIG, event=EventConfig(time_field="t", numeric=["w", "x", "y", "z"], categorical=["c"], label_field="c")
)


def labelled(seed: int, errors: float) -> Table:
    table, g = iid(seed, DAYS, 60), np.random.default_rng(seed)
    true = np.where(table.numeric[:, 0] > 0.5, "high", np.where(table.numeric[:, 0] < -0.7, "low", "middle"))
    return changed(table, every(table), c=np.where(some(table, g, errors), g.permutation(true), true))


@pytest.mark.parametrize(("errors", "severity"), [(0.0, None), (0.12, "warning"), (0.3, "severe")])
def test_labels_that_the_other_columns_contradict_are_found(errors: float, severity: str | None, seed: int) -> None:
    sheet = sheet_of(labelled(seed, errors), config=LABELLED, calibrate_from_day=CALIBRATE)
    found = [finding for finding in sheet.findings if finding.kind == "label errors"]
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all(finding.columns == ("c",) for finding in found)


def test_labels_of_which_the_other_columns_tell_nothing_are_not_called_wrong(seed: int) -> None:
    assert sheet_of(iid(seed, DAYS, 60), config=LABELLED, calibrate_from_day=CALIBRATE).findings == ()


def uniform(power: float) -> Callable[[Table], Floats]:
    """p-values of a world that has moved: P(p ≤ t) = t ** power; 1 / a millionth where w is garbage."""

    def p_value(table: Table) -> Floats:
        u = np.random.default_rng(len(table)).random(len(table))
        return np.asarray(np.where(table.numeric[:, 0] == 50.0, 1e-6, u ** (1 / power)))

    return p_value


@pytest.mark.parametrize(
    ("power", "share", "severity"),
    [
        (1, 0.0, None),
        (1, 0.02, "warning"),
        (1, 0.05, "severe"),
        (1, 0.3, "severe"),
        (0.6, 0.0, None),
        (0.6, 0.1, "severe"),
    ],
)
def test_garbage_is_estimated_beside_a_drift(power: float, share: float, severity: str | None, seed: int) -> None:
    table = iid(seed, DAYS, 300)
    table = changed(table, since(table, CALIBRATE) & some(table, np.random.default_rng(seed), share), w=50.0)
    sheet = sheet_of(table, told(uniform(power)), calibrate_from_day=CALIBRATE)
    found = [finding for finding in sheet.findings if finding.kind == "contamination"]
    assert [finding.severity for finding in found] == ([severity] if severity else []), found
    for finding in found:
        low, high = finding.figure["interval_95"]
        assert abs(finding.figure["share"] - share) < 0.03
        assert low - 0.02 < share < high + 0.02


def test_garbage_that_is_not_far_out_is_estimated_too(seed: int) -> None:
    """Its p-values lie above alpha: three in ten rows of it are severe all the same."""
    table = iid(seed, DAYS, 300)
    table = changed(table, since(table, CALIBRATE) & some(table, np.random.default_rng(seed), 0.3), w=50.0)

    def p_value(rows: Table) -> Floats:
        u = np.random.default_rng(len(rows)).random(len(rows))
        return np.asarray(np.where(rows.numeric[:, 0] == 50.0, 0.003 + 0.017 * u, u))

    (finding,) = sheet_of(table, told(p_value), calibrate_from_day=CALIBRATE).severe
    assert finding.kind == "contamination"
    assert abs(finding.figure["share"] - 0.3) < 0.05


def test_what_a_person_has_accepted_is_no_contamination() -> None:
    table = iid(0, DAYS, 300)
    table = changed(table, since(table, 70), w=50.0)
    champion, accepted = told(uniform(1.0)), [span("i", 70, DAYS)]
    assert sheet_of(table, champion, calibrate_from_day=CALIBRATE).severe
    assert not [
        finding
        for finding in sheet_of(table, champion, calibrate_from_day=CALIBRATE, accepted=accepted).findings
        if finding.kind == "contamination"
    ]


def test_a_content_that_floods_all_the_time_is_told_by_the_model_in_service(seed: int) -> None:
    """It was always there, as far as these rows tell; the champion gives it no more than it gives ordinary rows."""
    table = iid(seed, DAYS, 60)
    flood = some(table, np.random.default_rng(seed), 0.3)
    table = changed(table, flood, w=0.1, x=0.2, y=1.1, z=0.3, c="a", s="s0")

    def spike(p: float) -> Callable[[Table], Floats]:
        return lambda t: np.where(t.numeric[:, 0] == 0.1, p, np.random.default_rng(0).uniform(0.1, 0.9, len(t)))

    kinds = {
        p: [f.kind for f in sheet_of(table, told(spike(p)), calibrate_from_day=CALIBRATE).severe] for p in (0.5, 1)
    }
    assert kinds == {0.5: ["flood"], 1: []}


@pytest.mark.parametrize(("gone", "severity"), [(0, None), (100, "warning"), (5_000, "severe")])
def test_a_range_that_retention_has_deleted_is_said(gone: int, severity: str | None) -> None:
    table, went = iid(0), Dropped()
    if gone:
        went.add(DELETED, "", f"e/0 up to offset {gone}", gone)
    rows = replace(Rows.of(table), rejected=went, asked=10_000, from_ms=START_MS - 90 * DAY_MS, to_ms=START_MS)
    sheet = sheet_of(rows)
    assert [finding.severity for finding in sheet.findings if finding.kind == "deleted"] == ([severity] if gone else [])
    assert "short reference" in [finding.kind for finding in sheet.findings]
    assert sheet.left_out.get(DELETED, 0) == gone


def test_a_stray_event_of_long_ago_is_no_history() -> None:
    """One in a thousand rows: it makes no gap, and no days of hours."""
    table = iid(0)
    table.time_ms[0] = 0
    assert not sheet_of(table).severe
    hours = replace(table, time_ms=START_MS + (table.time_ms - START_MS) // 50)
    hours.time_ms[0] = 0
    assert sheet_of(hours).block == "hour"


def test_a_sheet_says_what_the_parts_are() -> None:
    table = iid(0)
    rows = Rows.of(changed(table, np.arange(len(table)) == 0, w=np.inf))
    sheet: DataSheet = sheet_of(rows)
    parts = prepared(table).split.parts()
    assert sum(sheet.rows.values()) == len(table) - 1
    assert set(sheet.rows) == set(parts)
    assert (sheet.block, sheet.slices, sum(sheet.blocks.values())) == ("day", 3, 60)
    assert (sheet.from_ms, sheet.to_ms) == (table.time_ms[0], table.time_ms[-1])
    assert sheet.left_out == {"unscorable": 1}
    assert sheet.times_ms["calibration"][1] < sheet.times_ms["gate"][0]
    assert sheet.times_ms["gate"][1] == table.time_ms[-1]


def test_no_rows_have_a_sheet_too() -> None:
    table = iid(0)
    assert sheet_of(table.take(np.zeros(len(table), bool))).findings == ()


def test_findings_say_nothing_of_values_of_sensitive_columns() -> None:
    config = msgspec.structs.replace(
        CONFIG, event=EventConfig(time_field="t", numeric=["w", "x", "y", "z"], categorical=["c"], sensitive=["w"])
    )
    table = iid(0, DAYS)
    (finding,) = sheet_of(changed(table, every(table), w=17.25), config=config).findings
    assert (finding.says, finding.figure) == ("w: constant", {})


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0.875
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
