"""The privacy ledger: nothing is free, nothing is forgotten, and what would be too much is refused."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from flowlib.privacy.dp_sgd import Spent, epsilon_of
from stream_app.config import Config, EventConfig, PrivacyConfig, TopicsConfig, parse
from stream_app.errors import ConfigError, DriftflowError
from stream_app.trainer.ledger import Ledger, OverBudget

ONE = Spent(2.0, 0.05, 200)


def config_in(folder: Path, **privacy: Any) -> Config:
    return Config(
        stream="s",
        topics=TopicsConfig(events="e"),
        event=EventConfig(time_field="t", numeric=["x"]),
        root=str(folder),
        privacy=PrivacyConfig(enabled=True, **privacy),
    )


def test_costs_add_up_by_the_accountant_until_the_budget_refuses(tmp_path: Path) -> None:
    alone = epsilon_of([ONE], 1e-5)
    three = epsilon_of([ONE] * 3, 1e-5)
    ledger = Ledger(config_in(tmp_path, epsilon_budget=three + 0.01))
    totals = [ledger.charge(f"r{i}", ONE).epsilon_total for i in range(3)]
    assert totals == pytest.approx([alone, epsilon_of([ONE] * 2, 1e-5), three])
    assert totals[2] < 3 * alone
    written = ledger.path.read_bytes()
    with pytest.raises(OverBudget, match=r"3 so far cost epsilon .* privacy.epsilon_budget is"):
        ledger.charge("r3", ONE)
    assert ledger.path.read_bytes() == written
    again = Ledger(config_in(tmp_path, epsilon_budget=100.0))
    assert [entry.request_id for entry in again.entries()] == ["r0", "r1", "r2"]
    assert again.charge("r0", ONE).epsilon_total > three, "the same request twice costs twice"


def test_a_line_cut_short_began_nothing_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    ledger = Ledger(config_in(tmp_path))
    ledger.charge("whole", ONE)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + whole[:40])
    assert [entry.request_id for entry in ledger.entries()] == ["whole"]
    ledger.charge("next", ONE)
    assert [entry.request_id for entry in ledger.entries()] == ["whole", "next"]


def test_a_damaged_ledger_trains_nothing(tmp_path: Path) -> None:
    ledger = Ledger(config_in(tmp_path))
    ledger.charge("one", ONE)
    ledger.path.write_bytes(b"{}\n" + ledger.path.read_bytes())
    with pytest.raises(DriftflowError, match="line 1 is damaged"):
        ledger.charge("two", ONE)


@pytest.mark.parametrize("blob", [b"", b'{"request_id"', bytes(90), b"\xff\n", b"[" * 10_000 + b"\n", None])
def test_no_training_begins_and_no_line_is_written_while_the_ledger_is_damaged(
    tmp_path: Path, blob: bytes | None
) -> None:
    """It is made with its first entry in it: one of no bytes has lost what was in it."""
    ledger = Ledger(config_in(tmp_path))
    ledger.path.parent.mkdir()
    ledger.path.mkdir() if blob is None else ledger.path.write_bytes(blob)
    for ask in (ledger.entries, lambda: ledger.charge("r", ONE)):
        with pytest.raises(DriftflowError, match=f"{ledger.path}.*(empty|damaged|is a directory)"):
            ask()
    assert ledger.path.is_dir() if blob is None else ledger.path.read_bytes() == blob


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_training_that_cannot_be_written_down_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: int
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ledger = Ledger(config_in(tmp_path))
    for number in range(earlier):
        ledger.charge(f"r{number}", ONE)
    with monkeypatch.context() as patch:
        patch.setattr("stream_app.disk.os.fsync", full)
        with pytest.raises(DriftflowError, match=f"{ledger.path} cannot be written, no space left on device"):
            ledger.charge("lost", ONE)
    assert len(ledger.entries()) == earlier
    assert len(list(ledger.path.parent.iterdir())) == earlier
    ledger.charge("next", ONE)
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_a_refusal_leaves_no_ledger_behind(tmp_path: Path) -> None:
    ledger = Ledger(config_in(tmp_path, epsilon_budget=0.001))
    with pytest.raises(OverBudget):
        ledger.charge("r", ONE)
    assert not ledger.path.exists()


def test_two_trainers_cannot_spend_the_same_budget(tmp_path: Path) -> None:
    config = config_in(tmp_path, epsilon_budget=epsilon_of([ONE], 1e-5) + 0.01)
    outcomes: list[str] = []

    def charge(name: str) -> None:
        try:
            Ledger(config).charge(name, ONE)
            outcomes.append("charged")
        except OverBudget:
            outcomes.append("refused")

    threads = [threading.Thread(target=charge, args=(f"r{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["charged", "refused", "refused", "refused"]


def raw(**privacy: Any) -> dict[str, Any]:
    return {
        "stream": "s",
        "topics": {"events": "e"},
        "event": {"time_field": "t", "numeric": ["x"]},
        "privacy": {"enabled": True, **privacy},
    }


def test_settings_that_cannot_hold_are_refused_at_the_start() -> None:
    assert parse(raw()).privacy.epsilon == 3.0
    with pytest.raises(ConfigError, match=r"above privacy\.epsilon_budget"):
        parse(raw(epsilon=11.0))
    with pytest.raises(ConfigError, match=r"privacy\.delta"):
        parse(raw(delta=0.5))
    with pytest.raises(ConfigError, match=r"model\.contamination: must be 0"):
        parse(raw() | {"model": {"contamination": 0.1}})
    with pytest.raises(ConfigError, match=r"model\.distance: columns or base"):
        parse(raw() | {"model": {"distance": "mixture"}})


def test_a_missing_accountant_is_a_fault_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'driftflow\[private\]'"):
        parse(raw())
    assert not parse(raw(enabled=False)).privacy.enabled
