"""Three spans in order of time, cut between whole blocks, and validation blocks that nobody can foresee."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from flowlib.table import DAY_MS, Table
from stream_app.config import PrivacyConfig, TrainerConfig
from stream_app.errors import ConfigError
from stream_app.trainer.data.spans import HOUR_MS, VALIDATION_SHARE, Folds, cuts, fold_secret, validates
from tests.trainer.data.worlds import CONFIG, SECRET, START_MS, iid, prepared, request

PRIVATE = msgspec.structs.replace(CONFIG, privacy=PrivacyConfig(enabled=True))


def spread(n: int, step_ms: int) -> Table:
    return Table.of(np.random.default_rng(0).standard_normal((n, 4)), time_ms=START_MS + np.arange(n) * step_ms)


@given(st.integers(25, 90), st.integers(0, 90), st.integers(0, 9))
def test_all_training_rows_lie_before_all_calibration_rows_and_those_before_the_gate(
    days: int, calibrate_from_day: int, seed: int
) -> None:
    made = prepared(iid(seed, days, 10), calibrate_from_day=calibrate_from_day)
    assert made.fault == ""
    parts, blocks = made.split.parts(), made.split.blocks
    assert blocks.length_ms == DAY_MS
    numbers = {name: set(blocks.of(part).tolist()) for name, part in parts.items()}
    assert max(numbers["train"] | numbers["validation"]) < min(numbers["calibration"])
    assert max(numbers["calibration"]) < min(numbers["gate"])
    assert not numbers["train"] & numbers["validation"], "whole blocks"
    assert 0 <= len(numbers["calibration"]) - len(numbers["gate"]) <= 1
    assert len(numbers["gate"]) >= CONFIG.trainer.min_blocks
    held = len(numbers["calibration"]) + len(numbers["gate"])
    assert held <= 0.4 * days + 1
    assert (np.diff(made.split.held_out.time_ms) >= 0).all(), "the reference looks at panes one after the other"


def test_the_spans_begin_where_the_request_says() -> None:
    made = prepared(iid(0, 100), calibrate_from_day=72)
    assert int(made.split.blocks.of(made.split.calibration)[0]) * DAY_MS == START_MS + 72 * DAY_MS
    assert int(made.split.blocks.of(made.split.gate)[0]) * DAY_MS == START_MS + 86 * DAY_MS


def test_a_first_request_says_nothing_and_holds_the_newest_weeks_out() -> None:
    made = prepared(iid(0, 100))
    assert made.split.blocks.count(made.split.held_out) == CONFIG.retrain.calibration // DAY_MS


@pytest.mark.parametrize(("n", "step_ms", "name", "length_ms"), [
    (600, HOUR_MS, "day", DAY_MS),
    (600, 20 * 60_000, "hour", HOUR_MS),
    (600, 60_000, "pane", int(CONFIG.windows.pane)),
])  # fmt: skip
def test_blocks_are_days_or_hours_or_panes(n: int, step_ms: int, name: str, length_ms: int) -> None:
    table = spread(n, step_ms)
    blocks = cuts(CONFIG, table, START_MS, START_MS, int(table.time_ms[-1])).blocks
    assert (blocks.name, blocks.length_ms) == (name, length_ms)


def test_too_few_blocks_are_a_sentence() -> None:
    table = iid(0, 22)
    few = table.take((table.time_ms - START_MS) // DAY_MS % 3 == 0)
    assert "the rows lie on 8 days, and 25 are needed, so that 5 (trainer.min_blocks) calibrate" in prepared(few).fault


def test_no_rows_are_a_sentence() -> None:
    table = iid(0)
    assert prepared(table.take(np.zeros(len(table), bool))).fault == "no rows"


def test_the_same_key_and_request_draw_the_same_blocks_and_any_other_key_or_request_others() -> None:
    table = iid(0, 100)
    parts = [prepared(table, secret=secret, name=name) for secret, name in (
        (SECRET, "r"), (SECRET, "r"), (b"x" * 32, "r"), (SECRET, "q"))]  # fmt: skip
    days = [set(made.split.blocks.of(made.split.validation).tolist()) for made in parts]
    assert days[0] == days[1]
    assert days[0] != days[2]
    assert days[0] != days[3]


def test_nobody_without_the_key_can_tell_validation_blocks(seed: int) -> None:
    """Over keys each block validates with the same chance, whatever its place in any calendar, and knowing those of
    other requests under the same key tells nothing of the next one's.
    """
    g = np.random.default_rng(seed)
    keys = [g.bytes(32) for _ in range(400)]
    drawn = np.array([[Folds(key, name).draws(range(70)) < VALIDATION_SHARE for name in ("a", "b")] for key in keys])
    for period in (2, 5, 7):
        for phase in range(period):
            some = drawn[:, :, phase::period]
            low, high = VALIDATION_SHARE + np.array([-6, 6]) * np.sqrt(0.16 / some.size)
            assert low < some.mean() < high, (period, phase)
    first, second = drawn[:, 0], drawn[:, 1]
    share = (first & second).sum() / first.sum()
    assert abs(share - VALIDATION_SHARE) < 6 * np.sqrt(0.16 / first.sum())
    after = first[:, :-1] & first[:, 1:]
    assert abs(after.sum() / first[:, :-1].sum() - VALIDATION_SHARE) < 6 * np.sqrt(0.16 / first[:, :-1].sum())
    best_guess = max(float(drawn[:, :, block].mean()) for block in range(70))
    assert best_guess < VALIDATION_SHARE + 6 * np.sqrt(0.16 / 800), "no block is safer to poison than another"


def test_one_block_at_least_validates_and_one_trains() -> None:
    for number in range(200):
        for blocks in (2, 3):
            for alone in (False, True):
                chosen = validates(np.arange(blocks), Folds(SECRET, str(number)), alone)
                assert 0 < chosen.sum() < blocks
        assert validates(np.arange(36), Folds(SECRET, str(number))).sum() == 7, "a fifth, whatever the key"


def test_the_secret_follows_from_the_private_key_and_is_not_it() -> None:
    one, other = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
    config = CONFIG
    assert fold_secret(config, one) == fold_secret(config, one)
    assert len({fold_secret(config, one), fold_secret(config, other), one.private_bytes_raw(), bytes(32)}) == 4


def test_trainers_that_share_a_file_draw_the_same_folds(tmp_path: Path) -> None:
    one, other = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
    config = msgspec.structs.replace(CONFIG, root=str(tmp_path), trainer=TrainerConfig(folds_file="folds"))
    with pytest.raises(ConfigError, match="folds cannot be read: No such file"):
        fold_secret(config, one)
    (tmp_path / "folds").write_bytes(b"short")
    with pytest.raises(ConfigError, match="holds 5 bytes, and 16 are needed"):
        fold_secret(config, one)
    (tmp_path / "folds").write_bytes(b"long enough to be a secret")
    assert fold_secret(config, one) == fold_secret(config, other) != fold_secret(CONFIG, one)


@given(st.integers(0, 99))
def test_privately_the_parts_of_rows_do_not_depend_on_the_others(seed: int) -> None:
    """Any half of the rows lies in the same parts as among all, copies and all."""
    table = iid(seed, 100, 8)
    table = table.take(np.sort(np.concatenate([np.arange(len(table)), np.arange(0, len(table), 7)])))
    times = START_MS, START_MS, request(table).train[0].end_ms
    half = np.random.default_rng(seed).random(len(table)) < 0.5
    where, where_half = cuts(PRIVATE, table, *times), cuts(PRIVATE, table.take(half), *times)
    assert where == where_half
    for every, some in zip(where.spans(table), where_half.spans(table.take(half)), strict=True):
        assert (every[half] == some).all()
    whole = prepared(table, config=PRIVATE)
    assert sum(map(len, whole.split.parts().values())) == len(table)
