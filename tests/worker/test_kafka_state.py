"""State in topics is whole after a crash between any two records, and the newest owner's counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer

from stream_app.config import Config
from stream_app.errors import DriftflowError, SnapshotError, TakenOver
from stream_app.stages.decisions import Activated
from stream_app.worker import damages, kafka_state
from stream_app.worker.bridge import Bridge
from stream_app.worker.heads import Head, Mark, Saved, digest
from stream_app.worker.journal import Housed, Journal
from stream_app.worker.kafka_state import KafkaStore
from stream_app.worker.opening import claim_state, open_state
from tests.brokers import APACHE, ApacheKafka
from tests.segments import Segment
from tests.worker.making import make_config

Names = Callable[[str], str]
FIRST, SECOND = Activated(0, 1_000, "m1", "fused"), Activated(0, 2_000, "m2", "fused")


class Ends(Exception):
    """The process ends here."""


class Rig:
    """Workers of one stream, each in a folder of its own."""

    def __init__(self, config: Config, tmp_path: Path) -> None:
        self.config, self._folder = config, tmp_path
        self._stores: list[KafkaStore] = []

    def config_of(self, machine: str, **state: Any) -> Config:
        """The configuration on a machine."""
        folder = self._folder / machine
        folder.mkdir(exist_ok=True)
        section = msgspec.structs.replace(self.config.state, **state)
        return msgspec.structs.replace(self.config, root=str(folder), state=section)

    def store(self, machine: str = "a", at: Callable[[str], None] = lambda gap: None) -> KafkaStore:
        """What a worker on that machine opens."""
        _, store = open_state(self.config_of(machine))
        assert isinstance(store, KafkaStore)
        store._at = at
        self._stores.append(store)
        return store

    def close(self) -> None:
        """End all of them."""
        for store in self._stores:
            store.close()


@pytest.fixture
def rig(broker: tuple[str, str], unique: Names, tmp_path: Path) -> Iterator[Rig]:
    config = make_config(broker[1], unique("state"), partitions=2)
    made = Rig(msgspec.structs.replace(config, state=msgspec.structs.replace(config.state, store="kafka")), tmp_path)
    yield made
    made.close()


def keep(store: KafkaStore, name: str, base: bytes, done: int = 0) -> Head:
    """Keep a base and a head that names it."""
    head = Head(base=digest(base), size=len(base), next_offset=done, mark=Mark(done=done))
    store.put_base(name, base)
    store.put_head(name, head)
    return head


def test_the_next_owner_has_what_was_kept_wherever_it_runs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_state, "CHUNK_BYTES", 1_000)
    first, other = rig.store("a"), rig.store("b")
    for name in ("source-0", "source-1", "watch-0", "judge-0"):
        assert first.take(name) is None
    kept = {name: keep(first, name, name.encode() * 700, n) for n, name in enumerate(("source-0", "watch-0"))}
    later = msgspec.structs.replace(kept["watch-0"], mark=Mark(done=99))
    first.put_head("watch-0", later)
    assert other.take("source-0") == Saved(kept["source-0"], b"source-0" * 700)
    assert other.take("watch-0") == Saved(later, b"watch-0" * 700)
    assert other.take("source-1") is None
    first.decisions()  # it has read so far
    with pytest.raises(TakenOver, match="another worker has taken source-0 over"):
        keep(first, "source-0", b"late")
    with pytest.raises(TakenOver):
        first.put_head("watch-0", later)
    keep(first, "judge-0", b"still its own")
    newest = keep(other, "source-0", b"short", 5)
    assert rig.store("c").take("source-0") == Saved(newest, b"short")


def test_a_crash_between_any_two_records_leaves_the_old_or_the_new(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_state, "CHUNK_BYTES", 100)
    rng, store = random.Random(7), rig.store()
    store.take("source-0")
    kept = Saved(keep(store, "source-0", b"x" * 250), b"x" * 250)
    for n in range(8):
        left = rng.randint(0, 5)
        blob = bytes([65 + n]) * rng.randint(1, 700)

        def at(gap: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Ends

        store._at = at
        try:
            head = keep(store, "source-0", blob, n)
            kept = Saved(head, blob)
        except Ends:
            pass
        store._at = lambda gap: None
        assert store.take("source-0") == kept


def test_decisions_are_those_of_the_owners_in_one_order_for_all(rig: Rig) -> None:
    first, other = rig.store("a"), rig.store("b")
    assert first.decisions() == []
    first.take("source-0")
    first.record(FIRST)
    assert other.decisions() == [FIRST]
    assert not other.has_news()
    other.take("source-0")
    with pytest.raises(TakenOver, match="another worker has taken source-0 over"):
        first.record(SECOND)
    other.record(SECOND)
    assert first.decisions() == other.decisions() == [FIRST, SECOND] == rig.store("c").decisions()


def test_what_strangers_write_is_passed_over_and_another_version_is_refused(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    store = rig.store()
    store.take("source-0")
    store.record(FIRST)
    head = keep(store, "source-0", b"base")
    topics, bootstrap = rig.config.topics, rig.config.kafka.bootstrap
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        producer.send(topics.decisions, b"junk", partition=0).get(30)
        for key in (b"source-0/x", b"source-0/9/head", b"source-0/9/1/y", b"\xff"):
            producer.send(topics.state, b"junk", key, partition=0).get(30)
    other = rig.store("b")
    assert other.decisions() == [FIRST]
    assert other.take("source-0") == Saved(head, b"base")
    assert f"{topics.decisions}/0@" in caplog.text
    assert "is no state of ours" in caplog.text
    with KafkaProducer(bootstrap_servers=bootstrap) as producer:
        producer.send(topics.decisions, b'{"new":1}', headers=[("driftflow", b"2")], partition=0).get(30)
    with pytest.raises(DriftflowError, match="is of another version of driftflow"):
        rig.store("c")


def test_a_base_that_is_not_whole_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_state, "_PAUSE_S", 0.0)
    store = rig.store()
    store.take("source-0")
    keep(store, "source-0", b"base")
    epoch = store._own["source-0"].epoch
    with KafkaProducer(bootstrap_servers=rig.config.kafka.bootstrap) as producer:
        key = f"source-0/{epoch}/0/0".encode()
        for value, said in ((b"bass", "it is truncated or altered"), (None, "1 of 1 pieces of its base are not there")):
            producer.send(rig.config.topics.state, value, key, partition=0).get(30)
            with pytest.raises(SnapshotError, match=f"the state of source-0 on .*state/0 cannot be used: {said}"):
                rig.store("b").take("source-0")


def test_the_shape_of_the_stream_comes_along_and_another_one_is_refused(rig: Rig) -> None:
    rig.store("a")
    wider = msgspec.structs.replace(rig.config.topics, partitions=3)
    rig.config = msgspec.structs.replace(rig.config, topics=wider)
    config, store = open_state(rig.config_of("b"))
    store.close()
    assert config.topics.partitions == 2, "as the stream began"
    event = msgspec.structs.replace(rig.config.event, numeric=["x", "z"])
    rig.config = msgspec.structs.replace(rig.config, event=event)
    with pytest.raises(SnapshotError, match="hold the state of another configuration"):
        rig.store("c")


def test_a_group_keeps_its_state_in_one_place(rig: Rig) -> None:
    files, other = rig.config_of("a", store="files"), rig.config_of("b", store="files")
    for _ in range(2):
        open_state(files)[1].close()
    for second in (other, rig.config_of("c")):
        with pytest.raises(SnapshotError) as refused:
            open_state(second)
        said = str(refused.value)
        assert f"is kept in {Path(files.root).resolve()}/state on " in said
        assert "run `driftflow state claim` here" in said
    assert str(Path(other.root).resolve()) in str(refused.value) or "on the broker" in str(refused.value)
    before, now = claim_state(other)
    assert (files.root in before, other.root in now) == (True, True)
    open_state(other)[1].close()
    with pytest.raises(SnapshotError, match="give all workers of a group one folder"):
        open_state(files)
    (Path(other.root) / "state" / "folder.id").write_bytes(b"\xff")
    with pytest.raises(SnapshotError, match=r"folder\.id holds no id"):
        open_state(other)
    moved = msgspec.structs.replace(files, kafka=msgspec.structs.replace(files.kafka, group="another"))
    open_state(moved)[1].close()


def test_of_two_first_workers_at_once_one_is_refused(rig: Rig) -> None:
    """Both have read the topic when neither has written to it."""
    open_state(rig.config_of("a"))[1].close()
    bridge, journals = Bridge("t", 30.0), [Journal(rig.config) for _ in range(2)]
    for journal in journals:
        bridge.run(journal.start())
    for name, journal in zip("ab", journals, strict=True):
        bridge.run(journal.append(Housed("other-group", name, name)))
    for journal in journals:
        bridge.run(journal.read())
        assert journal.homes["other-group"].id == "a"
        bridge.run(journal.stop())
    bridge.close()


@APACHE
def test_what_the_brokers_disk_has_damaged_is_read_again_and_never_passed_over(
    rig: Rig, kafka_node: ApacheKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damages, "PAUSES_S", (0.05, 0.05))
    topics, store = rig.config.topics, rig.store()
    store.take("source-0")
    head = keep(store, "source-0", b"base-a" * 9)
    store.settle()
    state = Segment(kafka_node, topics.state)
    state.flip(b"base-a")
    with pytest.raises(
        DriftflowError, match=f"record at {topics.state}/0@0 cannot be taken apart, at 3 tries .*replica"
    ):
        store.take("source-0")
    state.flip(b"base-`")
    assert store.take("source-0") == Saved(head, b"base-a" * 9)
    Segment(kafka_node, topics.decisions).flip(b'"claim')
    with pytest.raises(DriftflowError, match=f"{topics.decisions}/0@.* cannot be taken apart"):
        rig.store("b")
