"""What a worker keeps on disk is whole after a crash, and never taken for another stream's."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from stream_app import disk
from stream_app.config import Config
from stream_app.errors import DriftflowError, SnapshotError
from stream_app.kafka.types import TopicPartition
from stream_app.stages.decisions import Activated, Joined
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.snapshot import REMEDY, pack
from stream_app.worker.partitions import Partitions
from stream_app.worker.state import StateStore

FIRST, SECOND, THIRD = (Activated(0, 1_000 * n, f"m{n}", "fused") for n in range(3))


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_decision_cut_short_by_a_crash_is_forgotten_and_does_no_harm(
    config: Config, store: StateStore, cut: int
) -> None:
    path = config.path(config.state.dir) / "decisions.jsonl"
    store.record(FIRST)
    whole = path.read_bytes()
    store.record(SECOND)
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert store.decisions() == [FIRST]
    store.record(THIRD)
    assert store.decisions() == [FIRST, THIRD]


def test_a_snapshot_is_replaced(store: StateStore) -> None:
    assert store.load("source-0") is None
    for blob in (b"old", b"new"):
        store.save("source-0", blob)
        assert store.load("source-0") == blob
    assert store.load("watch-0") is None


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
    "another version": (lambda blob: b"DFS1" + blob[4:], r"of another version of driftflow \(DFS1\)"),
    "whole, of something else": (lambda _: pack({"x": 1}), "it makes no sense here"),
    "whole, of nothing": (lambda _: pack(None), "it makes no sense here"),
}


@pytest.mark.parametrize("name", ["source-0", "watch-0"])
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_snapshot_is_named_with_what_to_do(
    config: Config, store: StateStore, name: str, damage: Callable[[bytes], bytes], said: str
) -> None:
    """Never taken for none: its partition would go on with empty windows and nobody would know."""
    store.path(name).write_bytes(damage(whole_snapshots(config)[name]))
    with pytest.raises(SnapshotError, match=f"{store.path(name)} cannot be used: .*{said}.*; {REMEDY}"):
        open_in(config, store, name)


@pytest.mark.parametrize("name", ["source-0", "watch-0"])
def test_a_snapshot_that_cannot_be_read_is_named_and_a_whole_one_is_taken(
    config: Config, store: StateStore, name: str
) -> None:
    store.save(name, whole_snapshots(config)[name])
    open_in(config, store, name)
    store.path(name).unlink()
    open_in(config, store, name)
    store.path(name).mkdir()
    with pytest.raises(SnapshotError, match=f"{store.path(name)} cannot be read, is a directory: {REMEDY}"):
        open_in(config, store, name)


def open_in(config: Config, store: StateStore, name: str) -> None:
    topic = config.topics.events if name.startswith("source") else config.topics.partials
    Partitions(config, store, Pipeline(config, config.topics.partitions)).open(TopicPartition(topic, 0))


def test_a_full_disk_is_a_sentence_and_keeps_what_is_there(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save("source-0", b"old")
    store.record(FIRST)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "fsync", full)
        with pytest.raises(DriftflowError, match=r"source-0\.snapshot cannot be written, no space left on device"):
            store.save("source-0", b"new")
        with pytest.raises(DriftflowError, match=r"decisions\.jsonl cannot be written, no space left on device"):
            store.record(SECOND)
    assert (store.load("source-0"), store.decisions()) == (b"old", [FIRST])


@pytest.mark.parametrize("blob", [b"", b'{"type"', bytes(80), b"[]\n", b"\xff\n"])
def test_damaged_decisions_are_named(config: Config, store: StateStore, blob: bytes) -> None:
    path = config.path(config.state.dir) / "decisions.jsonl"
    path.write_bytes(blob)
    with pytest.raises(DriftflowError, match=f"{path}.*(damaged|is empty or cut short).*: restore the file"):
        store.decisions()


def test_a_run_that_repeats_no_decisions_writes_none(config: Config, store: StateStore) -> None:
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
def test_the_state_of_another_configuration_is_refused(config: Config, store: StateStore, what: str) -> None:
    StateStore(config)
    other = OTHERS[what](config)
    StateStore(other)  # there is no state yet
    StateStore(config).save("watch-0", b"")
    with pytest.raises(SnapshotError, match="holds the state of another configuration"):
        StateStore(other)


def test_the_state_is_that_of_the_same_rules_at_other_thresholds(config: Config, store: StateStore) -> None:
    StateStore(config).save("watch-0", b"")
    StateStore(other_rule(config, resolve=0.01))


def test_a_run_can_be_started_with_the_decisions_of_another_and_started_again(store: StateStore) -> None:
    store.preset([FIRST, SECOND])
    assert store.decisions() == [FIRST, SECOND]
    store.preset([FIRST, SECOND])
    with pytest.raises(SnapshotError, match="holds other decisions: repeat a run"):
        store.preset([FIRST])


def test_a_run_is_repeated_with_as_many_partials_partitions_as_it_had(store: StateStore) -> None:
    store.preset([FIRST, Joined(0, 3, 0), Joined(0, 2, 0)])
    with pytest.raises(
        SnapshotError, match=r"a run with 1 partials partitions, and s.partials has 2: make a partials t"
    ):
        store.preset([FIRST, Joined(0, 1, 0)])
