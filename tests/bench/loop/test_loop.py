"""That the bench of the closed loop measures what it says, and can fail. The quickest parts, small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bench.loop import bad_models, frog, kills, run, tampering
from tests.bench.loop.frog import Attacker
from tests.bench.loop.worlds import Loop, attack, burst, failed, flagged, ordinary, poisoned, stream_in

MODEL = {"max_steps": 200, "warm_steps": 50}


def test_parts_that_there_are_not_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--out", str(tmp_path / "loop.json"), "--only", "tampering,luck"])
    assert "no such part: luck" in capsys.readouterr().err


def test_what_was_done_to_a_log_is_found_and_told_in_the_file(tmp_path: Path) -> None:
    out = tmp_path / "loop.json"
    run.main(["--out", str(out), "--only", "tampering", "--quick", "--seed", "3"])
    found = json.loads(out.read_text())
    assert (found["audit_tampering_found"], found["left_out"]) == (True, {})
    about = found["measured"]["tampering"]
    assert (about["seed"], about["quick"], about["whole"]) == (3, True, True)
    assert {row["kind"] for row in found["audit_tampering"]} == set(tampering.KINDS)


def test_what_cannot_be_measured_is_left_out_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    out = tmp_path / "loop.json"
    run.main(["--out", str(out), "--only", "requests", "--quick", "--seed", "3"])
    assert json.loads(out.read_text())["left_out"] == {"requests": "KAFKA_HOME names no Apache Kafka"}


def test_a_file_is_made_part_by_part(tmp_path: Path) -> None:
    out, about = tmp_path / "loop.json", {"at": "2026-01-01", "whole": True}
    run.enter(out, "requests", {}, "there is no broker")
    run.enter(out, "rollback_s", {"rollback_s": 2.0, "traces": {"rollback_s": {"complete": True}}}, about)
    assert json.loads(out.read_text())["trace_complete"]
    run.enter(out, "requests", {"traces": {"requests": {"complete": False}}}, about)
    found = json.loads(out.read_text())
    assert (found["rollback_s"], found["trace_complete"], found["left_out"]) == (2.0, False, {})
    assert found["measured"].keys() == {"requests", "rollback_s"}


def test_the_places_where_the_trainer_is_killed_are_there() -> None:
    for place in kills.PLACES:
        assert callable(getattr(kills.owner_of(place), place.name)), place.step


def test_a_world_without_change_gains_no_model_and_an_attack_none_either(tmp_path: Path, seed: int) -> None:
    g, loop = np.random.default_rng(seed), Loop(stream_in(tmp_path, MODEL))
    first = loop.begin(ordinary(g, 40, 150))
    assert flagged(first, attack(g, 500), loop.config.event_rule.alpha) > 0.95
    attacked = poisoned(g, ordinary(g, 40, 150, 40))
    outcome = loop.ask(attacked)
    assert (outcome.verdict, failed(outcome)) == ("refuse", ["data"]), outcome.notice.reason
    outcome = loop.ask(attacked, unjudged=[burst("i1", 40, 80)])
    assert "no rows" in outcome.notice.reason or "too few" in outcome.notice.reason, outcome.notice.reason
    row = bad_models._row(loop, "an attack", outcome, attacked=True)
    assert row["before"] == row["after"] > 0.95


def test_a_frog_that_sits_at_the_edge_gets_through_quarantine_and_not_through_the_gates(
    tmp_path: Path, seed: int
) -> None:
    """One bold round, with the same rows for both."""
    g, loop, attacker = np.random.default_rng(seed), Loop(stream_in(tmp_path, MODEL)), Attacker("frog")
    first, alpha = loop.begin(ordinary(g, 40, 150)), loop.config.event_rule.alpha
    sent = attacker.sends(g, ordinary(g, 40, 150, 40), first, alpha)
    assert frog.share_flagged(first, attacker.rows(g, 500, attacker.at), alpha) < 0.1, "it lets them pass"
    assert loop.ask(sent).verdict != "pass"
    with frog.guarded_by("quarantine"):
        assert loop.take(loop.ask(sent)), "nothing else would have stopped it"
    assert loop.service is not None
    target = attacker.target(g)
    assert frog.share_flagged(loop.service, target, alpha) < 0.95 < frog.share_flagged(first, target, alpha)
