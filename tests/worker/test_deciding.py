"""Decisions are made only where they change nothing that has been said, and lose nothing that is still to be read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from flowlib.density import Density
from schemas.records import ServiceChange
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.stages.decisions import Activated, PassedOver, Service
from stream_app.stages.pipeline import Pipeline
from stream_app.worker.deciding import Decider
from stream_app.worker.files import FileStore
from stream_app.worker.progress import Progress
from stream_app.worker.status import Status, StatusFile


class Rig:
    """A decider of one source and one partials partition, and what it has written down."""

    def __init__(self, config: Config, store: FileStore) -> None:
        self.config, self.store = config, store
        self.pipeline = Pipeline(config, 2, store.decisions())
        self.pipeline.open_score(0)
        self.pipeline.open_watch(0)
        self.decider = Decider(config, store, self.pipeline)
        self._sequence = 0

    def put_in_service(self, model_id: str) -> None:
        """A model that has arrived; what scores it is written down with the decision."""
        density = SimpleNamespace(engine=SimpleNamespace(name="fused"))
        self.pipeline.models.densities[model_id] = cast(Density, density)
        self._sequence += 1
        self.decider.promoted(model_id, self._sequence, 0)

    def catch_up(self, settled: int, high: int | None) -> None:
        """The source partition has come so far."""
        self.decider.activate_all()
        self.decider.end_catching_up({self.source: (settled, high)})

    @property
    def source(self) -> TopicPartition:
        """The source partition."""
        return TopicPartition(self.config.topics.events, 0)

    @property
    def activated(self) -> list[str]:
        """Models put in service, in order."""
        return [decision.model_id for decision in self.store.decisions() if isinstance(decision, Activated)]


@pytest.fixture
def rig(config: Config, store: FileStore) -> Rig:
    return Rig(config, store)


class Silence:
    """Source partition 1 closes no pane for five seconds, where ``windows.idle_after`` is one."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        rig.pipeline.watch_states[0].closed_ms = {0: 9_000, 1: 2_000}
        clock = iter((0.0, 5.0))
        monkeypatch.setattr("stream_app.worker.deciding.time", SimpleNamespace(monotonic=lambda: next(clock)))

    def pass_over(self, lag: int) -> list[Any]:
        """The decisions, where WATCH still has ``lag`` records to take in."""
        progress: Progress = {TopicPartition(self.rig.config.topics.partials, 0): (10 - lag, 10)}
        assert not self.rig.decider.pass_over_idle(progress), "the first time it only takes note of both"
        self.rig.decider.pass_over_idle(progress)
        return self.rig.store.decisions()


@pytest.fixture
def silence(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Silence:
    return Silence(rig, monkeypatch)


def write_unread(config: Config, lag: int | None) -> None:
    """What the owner of source partition 1 writes into its status."""
    StatusFile(config).write(Status(unread={1: lag}))


@pytest.mark.parametrize(("unread", "lag", "passed"), [(0, 0, True), (7, 0, False), (None, 0, False), (0, 3, False)])
def test_only_a_source_with_nothing_to_read_is_idle(
    config: Config, silence: Silence, unread: int | None, lag: int, passed: bool
) -> None:
    write_unread(config, unread)
    passed_over = PassedOver(partials_partition=0, partition=1, from_ms=2_000, to_ms=9_000)
    assert silence.pass_over(lag) == ([passed_over] if passed else [])


def test_a_source_that_nobody_owns_is_not_idle(silence: Silence) -> None:
    assert not silence.pass_over(0)


def test_a_source_is_not_idle_while_a_model_of_its_panes_is_missing(
    config: Config, rig: Rig, silence: Silence, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_unread(config, 0)
    monkeypatch.setattr(rig.pipeline, "missing_for_watch", lambda partition: {"on its way"})
    assert not silence.pass_over(0)


def test_a_source_that_has_closed_a_pane_meanwhile_is_not_idle(
    config: Config, rig: Rig, silence: Silence, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_unread(config, 0)
    progress: Progress = {TopicPartition(config.topics.partials, 0): (10, 10)}
    rig.decider.pass_over_idle(progress)
    rig.pipeline.watch_states[0].closed_ms[1] = 3_000
    rig.decider.pass_over_idle(progress)
    assert not rig.store.decisions()


def test_a_new_model_waits_until_what_a_killed_worker_may_have_scored_is_behind(
    config: Config, store: FileStore
) -> None:
    store.record(Activated(0, 0, "old"))
    rig = Rig(config, store)
    rig.put_in_service("old")
    rig.decider.gained(rig.source)
    rig.put_in_service("new")
    for settled, high in ((3, None), (3, 10), (9, 12)):  # the end counts as it was when it was first known
        rig.catch_up(settled, high)
        assert rig.activated == ["old"]
    rig.catch_up(10, 15)
    assert rig.activated == ["old", "new"]


def test_a_partition_that_was_lost_and_gained_waits_anew(config: Config, store: FileStore) -> None:
    store.record(Activated(0, 0, "old"))
    rig = Rig(config, store)
    rig.put_in_service("old")
    rig.decider.gained(rig.source)
    rig.put_in_service("new")
    rig.catch_up(3, 10)
    rig.decider.lost(rig.source)
    rig.decider.gained(rig.source)
    rig.catch_up(10, 30)
    assert rig.activated == ["old"]
    rig.catch_up(30, 30)
    assert rig.activated == ["old", "new"]


def test_a_worker_whose_models_feed_is_behind_takes_no_partition_back_to_an_older_model(
    config: Config, store: FileStore
) -> None:
    store.record(Activated(0, 0, "old"))
    store.record(Activated(0, 0, "new"))
    rig = Rig(config, store)
    rig.put_in_service("old")
    rig.decider.gained(rig.source)
    rig.catch_up(10, 10)
    assert rig.activated == ["old", "new"]
    rig.put_in_service("new")
    rig.decider.activate_all()
    assert rig.activated == ["old", "new"], "it is in service there already"
    rig.put_in_service("newest")
    rig.decider.activate_all()
    assert rig.activated == ["old", "new", "newest"]


def test_the_first_model_need_not_wait(rig: Rig) -> None:
    rig.decider.gained(rig.source)
    assert not rig.store.decisions()
    rig.put_in_service("first")
    rig.decider.activate(0)
    assert rig.store.decisions() == [Activated(0, 0, "first", "fused")]
    rig.decider.activate(0)
    assert rig.activated == ["first"], "it is in service already"


def change(verb: str, model_id: str, returns_to: str, number: int) -> ServiceChange:
    return ServiceChange(
        id=f"change-{number}",
        stream="s",
        verb=verb,
        model_id=model_id,
        returns_to=returns_to,
        by="ann",
        pane_end_ms=9_000,
        why="",
    )


@pytest.mark.parametrize(
    ("changes", "service"),
    [
        ([], "c"),
        ([("rollback", "c", "b")], "b"),
        ([("rollback", "b", "c")], "c"),
        ([("rollback", "c", "b"), ("rollback", "b", "a")], "a"),
        ([("pin", "a", "a")], "a"),
        ([("pin", "a", "a"), ("unpin", "", "c")], "c"),
        ([("rollback", "c", "b"), ("pin", "c", "c")], "c"),
        ([("rollback", "c", "b"), ("pin", "c", "c"), ("unpin", "", "b")], "b"),
        ([("pin", "unknown", "unknown")], "c"),
        ([("rollback", "c", "b"), ("pin", "unknown", "unknown")], "b"),
    ],
)
def test_what_is_in_service_follows_from_the_decisions_whatever_comes_again(
    rig: Rig, changes: list[tuple[str, str, str]], service: str
) -> None:
    rig.pipeline.open_judge()
    rig.decider.gained(TopicPartition(rig.config.topics.evidence, 0))
    for model in ("a", "b", "c"):
        rig.put_in_service(model)
    made = [change(*of, number) for number, of in enumerate(changes)]
    rig.decider.serve(made)
    rig.decider.serve(made)
    assert rig.decider.service == service
    assert [d.id for d in rig.store.decisions() if isinstance(d, Service)] == [of.id for of in made]
    rig.decider.promoted("c", 3, 0)  # its notice is read again, as after the topic was copied
    rig.decider.activate_all()
    assert rig.decider.service == service
    rig.put_in_service("d")
    pinned = [model for verb, model, _ in changes if verb in ("pin", "unpin")][-1:]
    assert rig.decider.service == ("d" if pinned in ([], [""], ["unknown"]) else service)


def test_another_worker_takes_over_what_was_decided(config: Config, store: FileStore) -> None:
    rig = Rig(config, store)
    rig.put_in_service("old")
    rig.put_in_service("new")
    rig.decider.activate_all()
    other = Rig(config, store)
    other.pipeline.open_judge()
    other.decider.serve([change("rollback", "new", "old", 1)])
    rig.decider.learn(surely=True)
    assert rig.activated == ["new", "old"]
    rig.decider.learn(surely=True)
    assert rig.activated == ["new", "old"], "once"


class Canary(Rig):
    """Four source partitions on the model ``a``; a new one begins on one of them."""

    def __init__(self, config: Config, store: FileStore, share: float = 0.25) -> None:
        trainer = msgspec.structs.replace(config.trainer, canary_share=share)
        super().__init__(msgspec.structs.replace(config, trainer=trainer), store)
        for partition in range(1, 4):
            self.pipeline.open_score(partition)
        self.put_in_service("a")
        self.decider.activate_all()

    def arrives(self, model_id: str) -> None:
        """A new model is promoted."""
        self.put_in_service(model_id)
        self.decider.activate_all()

    @property
    def scored_by(self) -> str:
        """The model of each source partition."""
        return "".join(state.activations[-1][1] for _, state in sorted(self.pipeline.score_states.items()))


@pytest.mark.parametrize(
    ("share", "said", "scored_by"),
    [
        (0.25, [], "baaa"),
        (0.5, [], "bbaa"),
        (0.01, [], "baaa"),
        (0.0, [], "bbbb"),
        (0.25, [("extend", "b", "b")], "bbbb"),
        (0.25, [("rollback", "b", "a")], "aaaa"),
        (0.25, [("pin", "b", "b")], "bbbb"),
        (0.25, [("rollback", "a", "b")], "bbbb"),
        (0.25, [("pin", "a", "a"), ("unpin", "", "b")], "baaa"),
    ],
)
def test_a_new_model_begins_on_a_share_of_the_partitions_until_that_is_decided(
    config: Config, store: FileStore, share: float, said: list[tuple[str, str, str]], scored_by: str
) -> None:
    rig = Canary(config, store, share)
    assert rig.scored_by == "aaaa", "a first model is tried on nobody"
    rig.arrives("b")
    rig.pipeline.open_judge()
    for number, of in enumerate(said):
        rig.decider.serve([change(*of, number)])
    assert rig.scored_by == scored_by
    again = Canary(config, store, share)  # another worker, or this one after a crash
    again.arrives("b")
    assert again.scored_by == scored_by
    assert again.activated == rig.activated, "and decides nothing anew"


def test_one_model_after_the_other_is_tried_and_the_others_wait(config: Config, store: FileStore) -> None:
    rig = Canary(config, store)
    for model_id in ("b", "c"):
        rig.arrives(model_id)
    assert rig.scored_by == "caaa"
    rig.pipeline.open_judge()
    rig.decider.serve([change("rollback", "c", "b", 1)])
    assert rig.scored_by == "baaa"
    rig.decider.serve([change("extend", "b", "b", 2)])
    assert rig.scored_by == "bbbb"


def test_another_worker_follows_where_a_model_is_extended(config: Config, store: FileStore) -> None:
    rig, other = Canary(config, store), Canary(config, store)
    rig.arrives("b")
    other.pipeline.open_judge()
    other.decider.serve([change("extend", "b", "b", 1)])
    assert rig.scored_by == "baaa"
    rig.decider.learn(surely=True)
    assert rig.scored_by == "bbbb"


def test_a_replay_decides_nothing_of_its_own(config: Config, store: FileStore) -> None:
    rig = Rig(config, store)
    rig.pipeline.make_decisions = False
    rig.decider.serve([change("rollback", "new", "old", 1)])
    assert store.decisions() == []
