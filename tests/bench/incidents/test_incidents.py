"""That the bench of incidents measures what it says, and can fail. Small streams, seconds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from flowlib.table import DAY_MS
from schemas.incidents import Incident
from stream_app.demo.run import DATA
from stream_app.stages.detection.detectors.simulated import Change, World
from stream_app.stages.judge.control import rejected
from tests.bench.detect.streams import Change as PlantedChange
from tests.bench.incidents import economy, false_incidents_per_month, kill, many, one_cause, run
from tests.bench.incidents.false_incidents_per_month import Quiet
from tests.bench.incidents.simulated import Simulated, config_of, played
from tests.people import incident


def test_parts_that_there_are_not_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--data", ".", "--out", str(tmp_path / "out.json"), "--parts", "many,noise"])
    assert "no such part: noise" in capsys.readouterr().err


def test_the_error_over_patience_is_seen_where_there_is_one(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A control that takes ten times its alpha."""
    of = many.Many(slices=50, drifted=0, alpha=0.05, horizon=30, runs=100, seed=seed)
    honest = many.measured(of)
    monkeypatch.setitem(many.CONTROLS, "e-d-BH", lambda weighted, alpha, n: rejected(weighted, 20 * alpha, n))
    greedy = many.measured(of)
    said = f"seed {of.seed}: {honest['error_over_patience']:.3f}, greedy {greedy['error_over_patience']:.3f}"
    print(said)
    assert honest["error_over_patience"] <= of.alpha < greedy["error_over_patience"], said


def test_the_figures_of_many_are_those_of_its_runs() -> None:
    of = many.Many(slices=4, drifted=2, change_pane=5, horizon=60, runs=2)
    never, late = np.array([0, 0, 0, 0]), np.array([10, 30, 0, 20])
    found = many.figures(of, [many._ran(of, never), many._ran(of, late)])
    assert found["power_at"] == {"5": 0.25, "10": 0.25, "20": 0.25, "50": 0.5}
    assert found["error_over_patience"] == pytest.approx(0.5 * 0.5 / 20)  # half of two rejections, in one of two runs
    assert found["at"] == "20"
    assert set(many.table([many.row(of, [many.run(of, 0)])])[0])


def test_a_quiet_stream_keeps_its_promise_and_a_changed_one_tells(seed: int) -> None:
    of = Quiet(6, 240, settings=(20.0,), seed=seed)
    for row in false_incidents_per_month.measured(of):
        print(row)
        assert row["low95"] <= row["setting"], row
    world = World(d=2, k=0, slices=6, panes=120, seed=seed)
    told = Simulated(config_of(world, 20.0), world)
    for partition, partials in played(world, 40, 1, 1, {2: Change(shift=1.5)}):
        told.feed(partition, partials)
    assert [incident.slice_count for incident in told.opened] == [1], f"seed {seed}"


def test_the_same_change_in_many_slices_is_one_incident() -> None:
    case = one_cause.Case(PlantedChange("shift_2", (1,)), slices=12, changed=8, partitions=2, before=24, after=36)
    found = one_cause.measured(case)
    assert (found["incidents"], found["members"]) == (1, 8), found
    assert one_cause.table({"rows": [found]})[1][1] == "1"


def test_a_year_is_counted_message_by_message() -> None:
    """The demo's year stands in for the four."""
    with economy.shipped(DATA) as path:
        answered, weeks = economy.played(economy.config(), path, live_ms=40 * DAY_MS)
    found = economy.figures(answered, weeks)
    told = [r for r in answered.signals if isinstance(r, Incident)]
    assert weeks == pytest.approx(40 / 7)
    assert found["messages_per_week"] == pytest.approx(len(told) / weeks, abs=1e-3)
    assert sum(found["by_kind"].values()) == found["incidents"] == len({r.id for r in told})
    assert found["models"] <= found["requests"]


def test_what_opens_twice_is_counted() -> None:
    opened = incident()
    again = msgspec.structs.replace(opened, number=2, state="update", reason="reminder")
    other = msgspec.structs.replace(opened, id="other")
    assert kill.figures([opened, again, other]) == {
        "opened_twice": 0,
        "numbers_twice": 0,
        "incidents": 2,
        "messages": 3,
    }
    assert kill.figures([opened, opened, again, again, other])["opened_twice"] == 1
    assert kill.figures([opened, opened, again, again, other])["numbers_twice"] == 2


def test_a_fault_comes_to_one_station_after_the_other() -> None:
    rows = [(name, b'{"TEMP": 1.5, "PRES": 1000.0}') for _ in range(24 * 9) for name in (b"a", b"b")]
    spoilt = [n for n, (row, bad) in enumerate(zip(rows, kill.faulty(rows), strict=True)) if row != bad]
    days = {(n // 48, rows[n][0]) for n in spoilt}
    assert days == {(0, b"a"), (1, b"a"), (3, b"b"), (4, b"b"), (6, b"a"), (7, b"a")}
