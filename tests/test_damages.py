"""Every command against every damage to every file of a stream: whoever reads it ends with a sentence."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.shape import recorded_width
from stream_app.worker.files import FileStore
from tests.damages import (
    COMMANDS,
    WITHOUT_BROKER,
    Damage,
    cut,
    flip,
    into_folder,
    into_loop,
    invoke,
    model_file,
    overwrite,
    removed,
)

Names = frozenset[str]

ALL = frozenset(COMMANDS)
SCORE = frozenset(name for name in COMMANDS if name.startswith(("score", "replay")))
OFFLINE = SCORE | {"evaluate"}
EXPORT = frozenset({"export", "export FILE"})
MODEL = (OFFLINE | EXPORT | {"models", "trainer"}) - {"score --bootstrap-until"}
LOG = (OFFLINE | {"models", "trainer"}) - {"replay"}
SIGNING = frozenset({"score --bootstrap-until", "trainer"})

DAMAGES: dict[str, Callable[[Path], Path]] = {
    "empty": lambda path: overwrite(path, b""),
    "half": lambda path: cut(path, len(path.read_bytes()) // 2),
    "zeros": lambda path: overwrite(path, bytes(len(path.read_bytes()))),
    "garbage": lambda path: overwrite(path, b"\xff\xfe\x00\n" * 200),
    "a folder": into_folder,
    "a loop of links": into_loop,
    "removed": removed,
}


@dataclass(frozen=True)
class File:
    """A file of a stream, the commands that cannot do without it, and where a damage is an exception.

    Attributes:
        readers: end with a sentence that names it, whatever the damage.
        except_for: by damage, those that do; for a damage that is none, or that only some commands notice.
        more: damages of its own, to the file.
    """

    at: Callable[[Path], Path]
    readers: Names
    except_for: dict[str, Names] = field(default_factory=dict)
    more: dict[str, Callable[[Path], Path]] = field(default_factory=dict)


def named(name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / name


FILES = {
    "configuration": File(named("driftflow.toml"), ALL, more={"no value": lambda path: overwrite(path, b"stream = ")}),
    "model": File(
        model_file,
        MODEL,
        {"a folder": MODEL | {"score --bootstrap-until"}},
        more={
            "a byte of the weights": lambda path: flip(path, -100),
            "a byte of the head": lambda path: flip(path, 20),
            "the length of the head": lambda path: flip(path, 4),
            "the last bytes missing": lambda path: cut(path, -50),
        },
    ),
    "promotions": File(
        named("models/s.jsonl"),
        LOG,
        {"removed": frozenset()},  # as before the first promotion: see test_lost_promotions
        more={"a line": lambda path: overwrite(path, b"{]\n" + path.read_bytes())},
    ),
    "notices": File(
        named("models/s.notices.jsonl"),
        frozenset({"score --store", "score --bootstrap-until", "evaluate", "models"}),
        {"removed": frozenset({"evaluate"})},
        more={"a line": lambda path: overwrite(path, b'{"model_id": 3}\n' + path.read_bytes())},
    ),
    "public key": File(
        named("keys/signing.pub"),
        OFFLINE | EXPORT | {"models", "trainer", "worker"},
        {"removed": OFFLINE - SIGNING | EXPORT | {"models", "worker"}},  # the others make it from the private one
        more={"the private one": lambda path: overwrite(path, path.with_suffix(".pem").read_bytes())},
    ),
    "private key": File(
        named("keys/signing.pem"),
        SIGNING,
        {"a loop of links": SIGNING | {"keys list"}},
        more={"the public one": lambda path: overwrite(path, path.with_suffix(".pub").read_bytes())},
    ),
    "events": File(named("events.csv"), OFFLINE, {"half": frozenset()}),
    "decisions": File(
        named("decisions.jsonl"),
        frozenset({"replay"}),
        {"half": frozenset()},  # two lines: a last one that is cut short is one that never was
        more={"a line": lambda path: overwrite(path, b'{"type":"activation"}\n' + path.read_bytes())},
    ),
    "store": File(named("driftflow.sqlite"), frozenset({"score --store", "console"}), {"removed": frozenset()}),
    "spool": File(
        named("spool.sqlite"), frozenset({"score --store", "sink list"}), {"removed": frozenset({"sink list"})}
    ),
}
CASES = {
    f"{name}: {damage}": (file.at, harm, file.except_for.get(damage, file.readers))
    for name, file in FILES.items()
    for damage, harm in (DAMAGES | file.more).items()
}
INDIFFERENT = DAMAGES["garbage"]
"""What commands are tried with that do not read a file: it cannot matter to them how it is damaged."""


@pytest.fixture(autouse=True)
def nobody_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that could be served has been."""
    monkeypatch.setattr("stream_app.console.server.uvicorn.Server.run", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def the_broker_answers_the_first_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer knocks before it looks at its models: without a broker there is nothing to do. None is here."""
    monkeypatch.setattr("stream_app.kafka.probes.require_reachable", lambda kafka: None)


def copies(whole: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """A copy of the whole stream for each command: they write into it."""
    for name in COMMANDS:
        yield name, Path(shutil.copytree(whole, folder / name.replace(" ", "-")))


@pytest.mark.parametrize(("at", "harm", "readers"), CASES.values(), ids=CASES.keys())
def test_who_reads_a_damaged_file_says_so_and_leaves_it_as_it_is(
    whole_folder: Path, tmp_path: Path, at: Damage, harm: Callable[[Path], Path], readers: Names
) -> None:
    for command, folder in copies(whole_folder, tmp_path):
        if command not in readers and harm is not INDIFFERENT:
            continue
        words = COMMANDS[command](folder)
        path = harm(at(folder))
        before = content(path)
        if command in readers:
            ends_in_a_sentence(command, folder, words, path)
            assert content(path) == before, f"{command} has changed {path}"
        else:
            goes_on(command, folder, words)


def content(path: Path) -> object:
    """What there is, whatever it is: nothing may be lost that somebody could still mend."""
    return path.read_bytes() if path.is_file() else (path.is_dir(), path.is_symlink())


def ends_in_a_sentence(command: str, folder: Path, words: list[str], path: Path) -> None:
    run = invoke(folder, *words)
    said = " ".join(run.output.split())
    assert isinstance(run.exception, SystemExit), f"{command}: {run.exception!r}"
    assert "Traceback" not in said
    if run.exit_code == 2:  # click's own: an argument that is a folder, or no file at all
        assert "Error: Invalid value" in said, f"{command}: {said}"
    else:
        assert (run.exit_code, said.count("driftflow:")) == (1, 1), f"{command}: {said}"
    assert str(path) in said or (path.suffix == ".model" and path.stem in said), f"{command}: {said}"


def goes_on(command: str, folder: Path, words: list[str]) -> None:
    run = invoke(folder, *words)
    said = " ".join(run.output.split())
    assert "Traceback" not in said
    if command in WITHOUT_BROKER:
        told = f"FAILED {WITHOUT_BROKER[command]}" in said or "the broker cannot be reached" in said
        assert (run.exit_code, told) == (1, True), f"{command}: {said}"
    elif run.exit_code:
        assert "there is no model yet" in said, f"{command}: {said}"


def test_where_nothing_is_damaged_every_command_goes_on(whole_folder: Path, tmp_path: Path) -> None:
    for command, folder in copies(whole_folder, tmp_path):
        goes_on(command, folder, COMMANDS[command](folder))


@pytest.mark.parametrize("blob", [b"", b"\xff\xfe\n", b"no key\n"])
def test_a_damaged_list_of_revoked_keys_believes_nobody(folder: Path, blob: bytes) -> None:
    path = overwrite(folder / "keys" / "revoked.txt", blob)
    for command in sorted(FILES["public key"].readers):
        ends_in_a_sentence(command, folder, COMMANDS[command](folder), path)
    assert path.read_bytes() == blob


def test_lost_promotions_are_as_if_there_had_been_none(folder: Path) -> None:
    """Nobody knows then which model is in service: none is, until one is named or trained, as ``score`` does."""
    (folder / "models/s.jsonl").unlink()
    run = invoke(folder, *COMMANDS["evaluate"](folder))
    assert run.exit_code == 1
    assert "there is no model yet" in run.output
    run = invoke(folder, *COMMANDS["score"](folder))
    assert "no model yet: the first 30% of the time" in run.output
    assert "scored by model" in run.output
    assert invoke(folder, "models", "list").exit_code == 0


@pytest.mark.parametrize("name", ["models/s.jsonl", "models/s.notices.jsonl", "decisions.jsonl"])
def test_a_last_line_cut_short_by_a_crash_is_one_that_never_was(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b'{"model_id": "9396')
    for command in ("score", "replay", "evaluate", "models"):
        goes_on(command, folder, COMMANDS[command](folder))


# Places and files without rights --------------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the superuser's rights, where the tests have them."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if superuser:
            os.seteuid(0)


@pytest.fixture
def shown(whole_folder: Path) -> Iterator[Path]:
    """A copy that everybody may read and nobody may write."""
    with tempfile.TemporaryDirectory(prefix="driftflow-test-") as name:
        folder = Path(shutil.copytree(whole_folder, Path(name) / "shown"))
        for command in ("score --bootstrap-until", "evaluate", "export", "models", "trainer"):
            invoke(folder, *COMMANDS[command](folder))  # nobody may read what these import, where it is the superuser's
        shutil.rmtree(folder / "state", ignore_errors=True)
        (folder / "report.html").unlink()
        (folder / "flow.pt").unlink()
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o700)


WRITTEN: dict[str, tuple[list[str], str]] = {
    "signals": (["score", "{}/events.csv", "--signals", "{}/signals.jsonl"], "signals.jsonl"),
    "report": (["evaluate", "{}/events.csv", "--out", "{}/report.html"], "report.html"),
    "plots": (["evaluate", "{}/events.csv", "--out", "/dev/null", "--png", "{}/plots"], "plots"),
    "export": (["export", "{id}", "--format", "torchscript", "--out", "{}/flow.pt"], "flow.pt"),
    "registry": (["score", "{}/events.csv", "--bootstrap-until", "2026-02-19"], "models/"),
}


@pytest.mark.parametrize(("words", "name"), WRITTEN.values(), ids=WRITTEN.keys())
def test_a_folder_that_takes_no_files_is_a_sentence(shown: Path, words: list[str], name: str) -> None:
    filled = [word.replace("{}", str(shown)).replace("{id}", model_file(shown).stem) for word in words]
    before = sorted(shown.rglob("*"))
    with as_nobody():
        run = invoke(shown, *filled)
    said = " ".join(run.output.split())
    assert (run.exit_code, said.count("driftflow:"), "Traceback" in said) == (1, 1, False), said
    assert re.search(f"{shown}/{name}\\S* cannot be written, permission( is)? denied", said), said
    assert sorted(shown.rglob("*")) == before


UNREADABLE = {name: file for name, file in FILES.items() if name in ("configuration", "model", "promotions", "notices")}


@pytest.mark.parametrize("file", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_may_not_be_read_is_a_sentence(shown: Path, file: File) -> None:
    path = file.at(shown)
    path.chmod(0)
    for command in sorted(file.readers & {"score", "evaluate", "models", "export"}):
        words = COMMANDS[command](shown)
        if command == "evaluate":
            words[-1] = "/dev/null"
        with as_nobody():
            run = invoke(shown, *words)
        said = " ".join(run.output.split())
        assert (run.exit_code, said.count("driftflow:"), "Traceback" in said) == (1, 1, False), f"{command}: {said}"
        assert str(path) in said, f"{command}: {said}"


# What a worker finds of itself ----------------------------------------------------------------------------------------

STATE = {
    "state/shape.json": ["empty", "half", "zeros", "garbage", "a folder", "a loop of links"],
    "spool.sqlite": ["empty", "half", "zeros", "garbage", "a folder", "a loop of links"],
    "driftflow.sqlite": ["empty", "half", "zeros", "garbage", "a folder", "a loop of links"],
    "state/decisions.jsonl": ["empty", "zeros", "garbage", "a folder", "a loop of links"],
}
STATE_CASES = [(name, damage) for name, damages in STATE.items() for damage in damages]


@pytest.mark.parametrize(("name", "damage"), STATE_CASES, ids=[": ".join(case) for case in STATE_CASES])
def test_a_worker_ends_where_its_own_files_are_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    """Without a broker: up to the point where it would connect."""

    async def connect(_: object) -> None:
        raise DriftflowError("nobody is there")

    monkeypatch.setattr("stream_app.worker.process.open_state", with_shape)
    monkeypatch.setattr("stream_app.worker.process._Run.until_the_end", connect)
    (folder / "state").mkdir(exist_ok=True)
    shutil.copy(folder / "decisions.jsonl", folder / "state")
    assert "nobody is there" in invoke(folder, "worker", "--skip-preflight").output
    path = DAMAGES[damage](folder / name)
    before = content(path)
    ends_in_a_sentence("worker", folder, ["worker", "--skip-preflight"], path)
    assert content(path) == before


def with_shape(config: Config) -> tuple[Config, FileStore]:
    """What is looked at beside the broker."""
    recorded_width(config)
    return config, FileStore(config)
