"""``driftflow keys list``, and the commands on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from flowlib.artifact import Ed25519PrivateKey
from stream_app.cli import main
from stream_app.config import Config
from stream_app.models.keys import files as key_files
from stream_app.models.keys import request_key, signing_key
from stream_app.models.keys.commands import rotate_key
from stream_app.models.keys.listing import lines_of, list_keys
from tests.models.keys.asking import name_of, with_settings
from tests.models.streams import config_in


def test_a_list_names_every_problem_and_makes_nothing(config: Config, keys: Path) -> None:
    assert lines_of(list_keys(config))[0].startswith("No keys yet")
    assert not keys.exists()
    signing_key(config)
    request_key(config)
    (keys / "signing.pem").chmod(0o644)
    (keys / "worker.pub").write_bytes(b"")
    (keys / "operator.pem").write_bytes(b"garbage")
    (keys / key_files.REVOKED).write_text("nonsense\n")
    found = list_keys(config)
    for part in (
        "signing.pem can be read by others",
        "worker.pub is not",
        "operator.pem is not",
        "revoked.txt is damaged",
    ):
        assert sum(part in problem for problem in found.problems) == 1, (part, found.problems)
    assert all(line.startswith("problem: ") for line in lines_of(found)[len(found.keys) :])


def test_a_list_sees_halves_that_do_not_match_and_keys_that_nobody_trusts(tmp_path: Path) -> None:
    config = with_settings(config_in(tmp_path), "state", trusted_keys=["agents/production.pub"])
    public = tmp_path / "keys" / "signing.pub"
    signing_key(config)
    (problem,) = list_keys(config).problems
    assert "is in no file of state.trusted_keys" in problem
    public.unlink()
    key_files.put_first(public, Ed25519PrivateKey.generate().public_key())
    assert "does not hold the public half" in list_keys(config).problems[0]


def test_where_only_public_halves_are_the_first_is_current(config: Config, keys: Path) -> None:
    old = name_of(signing_key(config))
    rotate_key(config, "trainer")
    (keys / "signing.pem").unlink()
    found = list_keys(config)
    assert [(key.state, key.key_id == old) for key in found.keys] == [("current", False), ("former", True)]
    assert [key.private for key in found.keys] == [False, False]
    assert lines_of(found)[0].split("; ")[1:] == ["no private key here", str(keys / "signing.pub")]
    assert found.problems == []


def test_of_a_file_that_cannot_be_used_nothing_else_is_said(config: Config, keys: Path) -> None:
    request_key(config)
    (keys / "worker.pub").chmod(0o666)
    (problem,) = list_keys(config).problems
    assert "can be written by others" in problem


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "driftflow.toml"
    path.write_text('stream = "s"\n[topics]\nevents = "e"\n[event]\ntime_field = "t"\nnumeric = ["x", "y"]\n')
    return path


def run(toml: Path, *words: str, status: int = 0) -> str:
    done = CliRunner(env={"COLUMNS": "2000"}).invoke(main, ["keys", *words, "-c", str(toml)])
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    return done.output


def test_the_commands(toml: Path, tmp_path: Path) -> None:
    config = config_in(tmp_path)
    for role in ("trainer", "worker", "operator"):
        assert f"the {role}'s key" in run(toml, "new", role)
    old = name_of(signing_key(config))
    run(toml, "rotate", "trainer", "--prepare")
    assert "is now" in run(toml, "rotate", "trainer")
    assert "is revoked: " in run(toml, "revoke", old)
    found = json.loads(run(toml, "list", "--json"))
    assert found == msgspec.to_builtins(list_keys(config))
    assert [key["role"] for key in found["keys"] if key["state"] == "current"] == ["trainer", "worker", "operator"]
    assert old in run(toml, "list")


def test_the_commands_end_in_a_sentence(toml: Path, tmp_path: Path) -> None:
    assert "no key of the worker to rotate" in run(toml, "rotate", "worker", status=1)
    assert "no passphrase" in run(toml, "new", "worker", "--encrypt", status=1)
    assert "no key feed is known here (known: none)" in run(toml, "revoke", "feed", status=1)
    run(toml, "new", "nobody", status=2)
    (tmp_path / "keys").write_bytes(b"a file")
    assert "cannot be written" in run(toml, "new", "trainer", status=1)
    assert "No keys yet" in run(toml, "list")
