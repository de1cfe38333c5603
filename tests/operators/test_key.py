"""Without a key that can be used nothing is sent, and the sentence names the file; the broker is not asked before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damages import CONFIG, cut, into_folder, into_loop, invoke, overwrite, removed

ANSWERS = (
    ["accept", "0f1e2d3c"],
    ["ack", "0f1e2d3c"],
    ["silence", "--to", "4h", "--why", "works"],
    ["unsilence", "0f1e2d3c"],
    ["mark", "release 4.2"],
    ["feedback", "0f1e2d3c", "useful"],
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A stream with an operator's key, whose broker nobody would reach."""
    (tmp_path / "driftflow.toml").write_text(CONFIG.format(port=1))
    assert invoke(tmp_path, "keys", "new", "operator").exit_code == 0
    return tmp_path


@pytest.mark.parametrize("words", ANSWERS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    "harm",
    [
        lambda path: overwrite(path, b""),
        lambda path: cut(path, 40),
        lambda path: overwrite(path, b"\xff\xfe\x00\n" * 200),
        lambda path: overwrite(path, path.with_suffix(".pub").read_bytes()),
        into_folder,
        into_loop,
        removed,
    ],
    ids=["empty", "half", "garbage", "the public one", "a folder", "a loop of links", "removed"],
)
def test_a_damaged_key_is_a_sentence(place: Path, words: list[str], harm: Callable[[Path], Path]) -> None:
    path = harm(place / "keys" / "operator.pem")
    run = invoke(place, *words)
    said = " ".join(run.output.split())
    assert isinstance(run.exception, SystemExit), repr(run.exception)
    assert (run.exit_code, "Traceback" in said, said.count("driftflow:")) == (1, False, 1), said
    assert str(path) in said
    assert "operator" in said


def test_a_revoked_key_signs_nothing(place: Path) -> None:
    listed = invoke(place, "keys", "list").output
    (name,) = [line.split()[0] for line in listed.splitlines() if "operator" in line and "current" in line]
    assert invoke(place, "keys", "revoke", name).exit_code == 0
    run = invoke(place, "mark", "release 4.2")
    assert run.exit_code == 1
    assert f"the operator's key {name}" in run.output
    assert "is revoked: `driftflow keys rotate operator` makes another" in " ".join(run.output.split())


def test_an_encrypted_key_needs_its_passphrase(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTFLOW_OPERATOR_PASSPHRASE", "pa55")
    assert invoke(place, "keys", "rotate", "operator", "--encrypt").exit_code == 0
    monkeypatch.delenv("DRIFTFLOW_OPERATOR_PASSPHRASE")
    run = invoke(place, "mark", "release 4.2")
    assert run.exit_code == 1
    assert "set the environment variable DRIFTFLOW_OPERATOR_PASSPHRASE" in run.output


def test_nobody_acts_without_a_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr("stream_app.operators.acting.getpass.getuser", nobody)
    run = invoke(place, "mark", "release 4.2")
    assert run.exit_code == 1
    assert "say who you are with --by NAME" in run.output
