"""Keys where they belong, and a record of models that a crash cannot spoil."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib import artifact
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key, trusted_keys
from stream_app.models.registry import Registry, ordered
from tests.models.streams import config_in, density, notice_of
from tests.worker.making import make_config


def stream(root: Path, key: str, trusted: list[str]) -> Config:
    config = make_config("127.0.0.1:1", "s")
    return msgspec.structs.replace(
        config,
        root=str(root),
        trainer=msgspec.structs.replace(config.trainer, signing_key=key),
        state=msgspec.structs.replace(config.state, trusted_keys=trusted),
    )


def test_the_public_key_alone_goes_where_the_agents_look(tmp_path: Path) -> None:
    config = stream(tmp_path, "private/signing.pem", ["public/signing.pub", "public/other.pub"])
    with pytest.raises(ModelError, match=r"public/signing\.pub does not exist"):
        trusted_keys(config)
    signing_key(config)
    assert [path.name for path in (tmp_path / "public").iterdir()] == ["signing.pub"], "nobody else's key is made up"
    assert stat.S_IMODE((tmp_path / "private" / "signing.pem").stat().st_mode) == 0o600
    before = (tmp_path / "public" / "signing.pub").read_bytes()
    signing_key(config)
    assert (tmp_path / "public" / "signing.pub").read_bytes() == before


def test_a_line_cut_short_by_a_crash_spoils_nothing(tmp_path: Path) -> None:
    config = stream(tmp_path, "keys/signing.pem", ["keys/signing.pub"])
    signing_key(config)
    registry = Registry(config)
    first, second = Entry("m1", "r1", 1), Entry("m2", "r2", 2)
    registry.change(first)
    path = tmp_path / "models" / "s.jsonl"
    path.write_bytes(path.read_bytes() + b'{"model_id":"m9"')
    assert Registry(config).history() == [first]
    registry.change(second)
    assert Registry(config).history() == [first, second]


def test_notices_without_numbers_are_of_an_earlier_build(tmp_path: Path) -> None:
    """No worker takes one, so publishing them again is no way out."""
    config = stream(tmp_path, "keys/signing.pem", ["keys/signing.pub"])
    signing_key(config)
    registry = Registry(config)
    path = tmp_path / "models" / "s.notices.jsonl"
    path.write_bytes(msgspec.json.encode(notice_of("m1")) + b"\n")
    for look in (registry.notices, lambda: registry.answer_to("r-m1"), lambda: registry.record(notice_of("m2"))):
        with pytest.raises(ModelError, match=r"have no number: move \S+/models away, then train .* --bootstrap-until"):
            look()


def test_a_notice_is_kept_once_under_its_number(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    registry, notice = Registry(config), notice_of("m", "refused")
    first = registry.record(notice)
    assert first == msgspec.structs.replace(notice, sequence=1)
    assert registry.record(msgspec.structs.replace(notice, reason="said anew"), above=7) == first
    assert registry.notices() == [first]
    assert registry.answer_to("r-m") == first
    assert registry.answer_to("r-n") is None


def test_what_is_on_its_way_is_no_answer_yet_and_a_request_has_one(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    registry, model = Registry(config), notice_of("m", "candidate")
    for status in ("candidate", "waiting", "candidate"):
        registry.record(msgspec.structs.replace(model, status=status))
    assert registry.answer_to("r-m") is None
    promoted = registry.record(msgspec.structs.replace(model, status="promoted", model_id="m-calibrated"))
    assert registry.record(msgspec.structs.replace(model, status="refused", model_id="refused-m")) == promoted
    assert registry.answer_to("r-m") == promoted
    assert [(notice.status, notice.sequence) for notice in registry.notices()] == [
        ("candidate", 1),
        ("waiting", 2),
        ("promoted", 3),
    ]


def test_the_model_in_service_is_what_the_recorded_decisions_say(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    registry = Registry(config)
    for number, model_id in enumerate("abc"):
        registry.change(Entry(model_id, f"r-{model_id}", number))
    said = [
        (Entry("c", "x1", 4, "rollback", "b"), "b"),
        (Entry("c", "x1", 4, "rollback", "b"), "b"),
        (Entry("a", "x2", 5, "pin"), "a"),
        (Entry("d", "r-d", 6), "a"),
        (Entry("", "x3", 7, "unpin"), "d"),
        (Entry("d", "x4", 8, "rollback", "b"), "b"),
    ]
    for entry, current in said:
        registry.change(entry)
        assert Registry(config).in_service() == current
    assert len(registry.history()) == 8, "what comes twice counts once"
    assert registry.anchor() == "a", "the first that was promoted"
    registry.change(Entry("b", "action", 9, "anchor"))
    assert (registry.anchor(), registry.in_service()) == ("b", "b")


def test_numbers_rise_above_all_that_are_known(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    numbers = [
        Registry(config).record(notice_of(name, "refused"), above).sequence
        for name, above in [("a", 0), ("b", 0), ("c", 40), ("d", 7)]
    ]
    assert numbers == [1, 2, 41, 42]


def test_two_that_write_at_once_give_no_number_twice(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: Registry(config).record(notice_of(f"m{i}", "refused")), range(24)))
    assert [notice.sequence for notice in Registry(config).notices()] == list(range(1, 25))


def test_a_promotion_is_written_once_whatever_its_time(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    signing_key(config)
    for entry in [Entry("m1", "r1", 1), Entry("m2", "r2", 2), Entry("m1", "r1", 1), Entry("m2", "r2", 3)]:
        Registry(config).change(entry)
    assert Registry(config).history() == [Entry("m1", "r1", 1), Entry("m2", "r2", 2)]


class Calls:
    """What is done to files, in order: ``sync NAME`` and ``rename NAME``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self._sync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self.sync)
        monkeypatch.setattr(os, "replace", self.replace)

    def sync(self, file: int) -> None:
        self.done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{file}')).name.split('.')[0]}")
        self._sync(file)

    def replace(self, source: Any, target: Any) -> None:
        self.done.append(f"rename {Path(target).name.split('.')[0]}")
        self._replace(source, target)


def test_a_models_bytes_and_name_are_on_disk_before_its_promotion_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path)
    model = artifact.pack(density(), signing_key(config))
    registry, calls = Registry(config), Calls(monkeypatch)
    registry.save(model)
    assert calls.done == [f"sync {model.model_id}", f"rename {model.model_id}", "sync models"]
    registry.change(Entry(model.model_id, "r", 1))
    assert calls.done[3:] == ["sync s", "sync models"]
    current = Registry(config).current()
    assert current is not None
    assert current.model_id == model.model_id


def test_a_file_that_holds_another_model_is_not_accepted(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    model = artifact.pack(density(), signing_key(config))
    registry = Registry(config)
    registry.save(model)
    (tmp_path / "models" / f"{model.model_id}.model").rename(tmp_path / "models" / "other.model")
    with pytest.raises(ModelError, match=rf"other\.model is not accepted: it holds model {model.model_id}; copy"):
        registry.load("other")


def test_a_model_of_another_stream_is_not_accepted(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    model = artifact.pack(density(), signing_key(config))
    Registry(config).save(model)
    with pytest.raises(ModelError, match="it was made for stream 's', not 'other'; use the settings"):
        Registry(config_in(tmp_path, stream="other")).load(model.model_id)


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    key = signing_key(config)
    registry = Registry(config)
    (tmp_path / "models" / "s.jsonl").mkdir()
    with pytest.raises(DriftflowError, match=r"s\.jsonl cannot be written, is a directory"):
        registry.change(Entry("m", "r", 1))
    (tmp_path / "models" / "s.jsonl").rmdir()
    (tmp_path / "models").rmdir()
    (tmp_path / "models").write_text("a file")
    with pytest.raises(DriftflowError, match=r"\.model cannot be written, not a directory"):
        registry.save(artifact.pack(density(), key))
    with pytest.raises(DriftflowError, match="models cannot be written, file exists"):
        Registry(config)


def test_a_key_is_whole_from_the_start_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written under another name and linked: a crash before that leaves no key, one after it a whole one."""
    config = config_in(tmp_path)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", crash)
        with pytest.raises(KeyboardInterrupt):
            signing_key(config)
    assert list((tmp_path / "keys").iterdir()) == []
    key = signing_key(config)
    assert artifact.key_id(key.public_key()) in trusted_keys(config)
    assert stat.S_IMODE((tmp_path / "keys" / "signing.pem").stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["signing.pem", "signing.pub"]


def test_of_two_processes_that_make_a_key_the_first_ones_counts(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from flowlib import artifact\n"
        "from stream_app.models.keys import signing_key; from tests.models.streams import config_in\n"
        "print(artifact.key_id(signing_key(config_in(Path(sys.argv[1]))).public_key()))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    ids = {process.communicate(timeout=60)[0].strip() for process in both}
    assert ids == set(trusted_keys(config_in(tmp_path)))


def test_a_configuration_is_brought_into_the_order_of_a_model(tmp_path: Path) -> None:
    config, moved = config_in(tmp_path), config_in(tmp_path, numeric=("y", "x"))
    assert ordered(moved) is moved, "no key and no model yet"
    made = artifact.pack(density(), signing_key(config))
    registry = Registry(config)
    registry.save(made)
    assert ordered(moved) is moved, "none is in service"
    assert ordered(moved, made.model_id) == config
    registry.change(Entry(made.model_id, "r", 1))
    assert ordered(moved) == config
    assert Registry(ordered(moved)).current() is not None
    others = config_in(tmp_path, numeric=("y", "z"))
    assert ordered(others) is others
    assert ordered(moved, "0" * 16) is moved
    (tmp_path / "models" / f"{made.model_id}.model").write_bytes(b"garbage")
    assert ordered(moved) is moved, "whoever loads it says so"
