"""That the bench of attacks sees who is counted, and can fail."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.incidents import attack
from tests.bench.incidents.attack import Attack

SMALL = Attack("new", "start", honest=12, newcomers=2, hours=9, a_day=4_800, max_slices=40)


def test_known_slices_are_counted_whole_and_newcomers_get_places() -> None:
    row = attack.measured(SMALL)
    assert (row["honest_slices_with_windows"], row["newcomers_with_windows"]) == (12, 2)
    assert (row["said"]["field"], row["names_a_pane"], row["said"]["events"]) == ("slice", 200, 200)
    assert row["said"]["names"] == 200
    assert attack.table({"rows": [row]})[1][1:4] == ("12", "12", "2")


def test_where_nobody_can_tell_who_is_honest_an_attack_from_the_start_takes_windows() -> None:
    row = attack.measured(replace(SMALL, known=False, max_slices=8))
    assert row["honest_slices_with_windows"] < 12
