"""What a worker keeps on disk is whole after a crash, and never taken for another stream's."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app import disk
from stream_app.config import Config
from stream_app.errors import DriftflowError, SnapshotError, TakenOver
from stream_app.kafka.types import TopicPartition
from stream_app.stages.decisions import Activated, Joined
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.snapshot import REMEDY, pack
from stream_app.worker.files import FileStore
from stream_app.worker.heads import Head, Mark, Saved, digest
from stream_app.worker.partitions import Partitions

FIRST, SECOND, THIRD = (Activated(0, 1_000 * n, f"m{n}", "fused") for n in range(3))


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_decision_cut_short_by_a_crash_is_forgotten_and_does_no_harm(
    config: Config, store: FileStore, cut: int
) -> None:
    path = config.path(config.state.dir) / "decisions.jsonl"
    store.record(FIRST)
    whole = path.read_bytes()
    store.record(SECOND)
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert store.decisions() == [FIRST]
    store.record(THIRD)
    assert store.decisions() == [FIRST, THIRD]


def keep(store: FileStore, name: str, base: bytes, next_offset: int = 0) -> Head:
    """Keep a base and a head that names it."""
    head = Head(base=digest(base), size=len(base), next_offset=next_offset, mark=Mark(done=next_offset + 5))
    store.put_base(name, base)
    store.put_head(name, head)
    return head


def test_a_base_counts_once_a_head_names_it_and_the_former_goes(config: Config, store: FileStore) -> None:
    assert store.take("source-0") is None
    old = keep(store, "source-0", b"old", 3)
    store.put_base("source-0", b"new")
    assert FileStore(config).take("source-0") == Saved(old, b"old")
    store.take("source-0")
    new = keep(store, "source-0", b"new", 9)
    assert store.take("source-0") == Saved(new, b"new")
    assert [path.suffix for path in folder(config).glob("source-0.*.base")] == [".base"]
    assert store.take("watch-0") is None


def folder(config: Config) -> Path:
    return config.path(config.state.dir)


def test_a_worker_that_was_believed_dead_writes_nothing_any_more(config: Config, store: FileStore) -> None:
    """It would put an older state in place of a newer one, or decide about a partition that is another's."""
    store.take("source-0")
    kept = keep(store, "source-0", b"old")
    other = FileStore(config)
    assert other.take("source-0") == Saved(kept, b"old")
    for late in (
        lambda: store.put_base("source-0", b"late"),
        lambda: store.put_head("source-0", kept),
        lambda: store.record(FIRST),
    ):
        with pytest.raises(TakenOver, match="another worker has taken source-0 over"):
            late()
    other.record(FIRST)
    keep(other, "source-0", b"new")
    assert other.decisions() == [FIRST]


def whole_snapshots(config: Config) -> dict[str, bytes]:
    pipeline = Pipeline(config, config.topics.partitions)
    pipeline.open_score(0)
    pipeline.open_watch(0)
    return {"source-0": pipeline.snapshot_score(0), "watch-0": pipeline.snapshot_watch(0)}


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "it is empty"),
    "cut short": (lambda blob: blob[:-1], "truncated or altered"),
    "three bytes": (lambda blob: blob[:3], "truncated or altered"),
    "zeros": (lambda blob: bytes(len(blob)), "truncated or altered"),
    "a byte of the body": (lambda blob: blob[:50] + bytes([blob[50] ^ 1]) + blob[51:], "truncated or altered"),
    "a byte of the checksum": (lambda blob: blob[:9] + bytes([blob[9] ^ 1]) + blob[10:], "truncated or altered"),
}
OF_HEADS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another version": (lambda blob: b"DFH0" + blob[4:], r"of another version of driftflow \(DFH0\)"),
    "whole, of something else": (lambda _: _whole(b'{"x":1}'), "it makes no sense"),
    "whole, of nothing": (lambda _: _whole(b"null"), "it makes no sense"),
    "an offset below 0": (
        lambda _: _whole(b'{"base":"%s","size":1,"next_offset":-1}' % (b"a" * 64)),
        "it makes no sense",
    ),
    "a path": (lambda _: _whole(b'{"base":"../../secret","size":1,"next_offset":1}'), "it makes no sense"),
}
OF_BASES: dict[str, tuple[bytes, str]] = {
    "another version": (b"DFS6" + bytes(60), r"of another version of driftflow \(DFS6\)"),
    "of something else": (pack({"x": 1}), "it makes no sense here"),
    "of nothing": (pack(None), "it makes no sense here"),
}


def _whole(body: bytes) -> bytes:
    return b"DFH1" + hashlib.sha256(body).digest() + body


@pytest.mark.parametrize("name", ["source-0", "watch-0"])
@pytest.mark.parametrize("which", ["head", "base"])
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_what_to_do(
    config: Config, store: FileStore, name: str, which: str, damage: Callable[[bytes], bytes], said: str
) -> None:
    """Never taken for none: its partition would go on with empty windows and nobody would know."""
    head = keep(store, name, whole_snapshots(config)[name])
    path = store.head_path(name) if which == "head" else store.base_path(name, head)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SnapshotError, match=f"{path} cannot be used: .*{said}.*; {REMEDY}"):
        open_in(config, store, name)


@pytest.mark.parametrize(("damage", "said"), OF_HEADS.values(), ids=OF_HEADS.keys())
def test_a_head_of_something_else_is_named(
    config: Config, store: FileStore, damage: Callable[[bytes], bytes], said: str
) -> None:
    path = store.head_path("source-0")
    keep(store, "source-0", whole_snapshots(config)["source-0"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SnapshotError, match=f"{path} cannot be used: .*{said}.*; {REMEDY}"):
        open_in(config, store, "source-0")


@pytest.mark.parametrize("name", ["source-0", "watch-0"])
@pytest.mark.parametrize(("base", "said"), OF_BASES.values(), ids=OF_BASES.keys())
def test_a_whole_base_of_something_else_is_named(
    config: Config, store: FileStore, name: str, base: bytes, said: str
) -> None:
    keep(store, name, base)
    with pytest.raises(SnapshotError, match=f"{store.head_path(name)} cannot be used: .*{said}.*; {REMEDY}"):
        open_in(config, store, name)


@pytest.mark.parametrize("blob", [b"", b"DFS6" + bytes(40)])
def test_the_state_of_an_earlier_version_is_refused(config: Config, store: FileStore, blob: bytes) -> None:
    path = folder(config) / "source-0.snapshot"
    path.write_bytes(blob)
    with pytest.raises(SnapshotError, match=f"{path} cannot be used: it is of another version.*; {REMEDY}"):
        open_in(config, store, "source-0")
    path.unlink()
    open_in(config, store, "source-0")


@pytest.mark.parametrize("which", ["head", "base"])
def test_a_file_that_cannot_be_read_is_named_and_a_missing_base_too(
    config: Config, store: FileStore, which: str
) -> None:
    head = keep(store, "source-0", whole_snapshots(config)["source-0"])
    open_in(config, store, "source-0")
    path = store.head_path("source-0") if which == "head" else store.base_path("source-0", head)
    path.unlink()
    if which == "head":
        open_in(config, store, "source-0")  # as lost
    else:
        with pytest.raises(SnapshotError, match=f"{path} is not there, and .*head names it; {REMEDY}"):
            open_in(config, store, "source-0")
    path.mkdir()
    with pytest.raises(SnapshotError, match=f"{path} cannot be read, is a directory: {REMEDY}"):
        open_in(config, store, "source-0")


def open_in(config: Config, store: FileStore, name: str) -> None:
    topic = config.topics.events if name.startswith("source") else config.topics.partials
    Partitions(config, store, Pipeline(config, config.topics.partitions)).open(TopicPartition(topic, 0))


def test_a_full_disk_is_a_sentence_and_keeps_what_is_there(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(store, "source-0", b"old")
    store.record(FIRST)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "fsync", full)
        with pytest.raises(DriftflowError, match=r"source-0\.\w+\.base cannot be written, no space left on device"):
            store.put_base("source-0", b"new")
        with pytest.raises(DriftflowError, match=r"source-0\.head cannot be written, no space left on device"):
            store.put_head("source-0", msgspec.structs.replace(kept, next_offset=7))
        with pytest.raises(DriftflowError, match=r"decisions\.jsonl cannot be written, no space left on device"):
            store.record(SECOND)
    assert (store.take("source-0"), store.decisions()) == (Saved(kept, b"old"), [FIRST])


@pytest.mark.parametrize("blob", [b"", b'{"type"', bytes(80), b"[]\n", b"\xff\n"])
def test_damaged_decisions_are_named(config: Config, store: FileStore, blob: bytes) -> None:
    path = config.path(config.state.dir) / "decisions.jsonl"
    path.write_bytes(blob)
    with pytest.raises(DriftflowError, match=f"{path}.*(damaged|is empty or cut short).*: restore the file"):
        store.decisions()


def test_a_run_that_repeats_no_decisions_writes_none(config: Config, store: FileStore) -> None:
    store.preset([])
    assert store.decisions() == []
    store.preset([])


def other_rule(config: Config, **change: Any) -> Config:
    name, rule = next(iter(config.rules.items()))
    return msgspec.structs.replace(config, rules=config.rules | {name: msgspec.structs.replace(rule, **change)})


OTHERS: dict[str, Callable[[Config], Config]] = {
    name: lambda config, name=name: msgspec.structs.replace(
        config, event=msgspec.structs.replace(config.event, **{name: ["x"]})
    )
    for name in ("numeric", "categorical")
} | {
    "detectors": lambda config: other_rule(config, detectors=["volume"]),
    "a rule's slicing": lambda config: other_rule(config, slicing=config.event.slicings[0]),
    "options": lambda config: other_rule(config, options={"hold": 3.0}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_the_state_of_another_configuration_is_refused(config: Config, store: FileStore, what: str) -> None:
    FileStore(config)
    other = OTHERS[what](config)
    FileStore(other)  # there is no state yet
    keep(FileStore(config), "watch-0", b"")
    with pytest.raises(SnapshotError, match="holds the state of another configuration"):
        FileStore(other)


def test_the_state_is_that_of_the_same_rules_at_other_thresholds(config: Config, store: FileStore) -> None:
    keep(FileStore(config), "watch-0", b"")
    FileStore(other_rule(config, resolve=0.01))


def test_a_run_can_be_started_with_the_decisions_of_another_and_started_again(store: FileStore) -> None:
    store.preset([FIRST, SECOND])
    assert store.decisions() == [FIRST, SECOND]
    store.preset([FIRST, SECOND])
    with pytest.raises(SnapshotError, match="holds other decisions: repeat a run"):
        store.preset([FIRST])


def test_a_run_is_repeated_with_as_many_partials_partitions_as_it_had(store: FileStore) -> None:
    store.preset([FIRST, Joined(0, 3, 0), Joined(0, 2, 0)])
    with pytest.raises(
        SnapshotError, match=r"a run with 1 partials partitions, and s.partials has 2: make a partials t"
    ):
        store.preset([FIRST, Joined(0, 1, 0)])
