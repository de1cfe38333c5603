"""A worker that ends anywhere and is started again sends what it would have sent, and nothing of it twice that a head
knows of.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from flowlib.density import Density
from schemas.codecs import encode_partials
from schemas.incidents import Action
from schemas.records import PaneClosed
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.stages.batches import PartialMessage
from stream_app.stages.decisions import Activated, Decision
from stream_app.stages.outputs import Outgoing, Outputs, Point
from stream_app.stages.pipeline import Pipeline
from stream_app.worker import budget
from stream_app.worker.files import FileStore
from stream_app.worker.partitions import Partitions
from stream_app.worker.steps import Steps
from tests.stages import streams
from tests.stages.streams import partials_of, raw

LIVES = 12


class Life:
    """One process of a worker, from its start to its end.

    Attributes:
        out: what it has sent, in order.
        kept: how many of these when a head was last kept.
    """

    def __init__(self, config: Config, model: Density, tp: TopicPartition, clock: Iterator[float]) -> None:
        self.store, self.tp = FileStore(config), tp
        self.pipeline = Pipeline(config, 2, self.store.decisions())
        self.pipeline.models.add(model)
        self.partitions = Partitions(config, self.store, self.pipeline, lambda: next(clock))
        self.steps = Steps(self.pipeline, self.partitions)
        self.partitions.open(tp)
        self.out: list[Outgoing | Point] = []
        self.kept = 0

    def send(self, out: Outputs) -> None:
        """What came of a step."""
        self.out += [*out.messages, *out.points]

    def save(self) -> None:
        """A checkpoint."""
        self.partitions.save(self.tp)
        if self.partitions._kept[self.tp].head is not None and self._says_all():
            self.kept = len(self.out)

    def _says_all(self) -> bool:
        head = self.partitions._kept[self.tp].head
        return head is not None and head.mark.done >= (self.partitions.next_offset(self.tp) or 0)


class Lives:
    """A partition through many processes, each killed somewhere.

    Args:
        start: makes the next process.
        whole: what a run without an end in between sends.
    """

    def __init__(self, start: Callable[[], Life]) -> None:
        self.start = start
        self.first: dict[bytes, int] = {}
        self.again = 0
        self.known: set[bytes] = set()
        """What had been sent when a head was kept: it may not come again."""

    def run(self, live: Callable[[Life], None]) -> None:
        """Let processes live one after the other; each ends where ``live`` returns."""
        for _ in range(LIVES):
            life = self.start()
            live(life)
            self._check(life)

    def _check(self, life: Life) -> None:
        keys = [repr(one).encode() for one in life.out]
        assert not self.known & set(keys), "sent again though a head knew of it"
        for key in keys:
            self.again += key in self.first
            self.first.setdefault(key, len(self.first))
        self.known |= set(keys[: life.kept])


def sent(out: Outputs) -> set[bytes]:
    """What a run without an end in between sends."""
    return {repr(one).encode() for one in (*out.messages, *out.points)}


def in_order(lives: Lives, out: Outputs) -> None:
    """Each partition has its messages in order, whatever came twice."""
    for (role, partition), messages in streams.channels(out.messages).items():
        places = [lives.first[repr(message).encode()] for message in messages]
        assert places == sorted(places), (role, partition)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A second at each look, so that bases become due by what was taken in and no sooner than that."""
    monkeypatch.setattr(budget, "EVERY_S", 4.0)
    return iter(float(n) for n in range(10**9))


def drawn(seed: int) -> random.Random:
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize("seed", range(3))
def test_score_goes_on_where_it_was(config: Config, model: Density, clock: Iterator[float], seed: int) -> None:
    rng, values = drawn(seed), streams.bodies(seed, 600, 20_000)
    source = TopicPartition(config.topics.events, 0)
    FileStore(config).record(Activated(0, 0, model.model_id))
    expected = Pipeline(config, 2, [Activated(0, 0, model.model_id)])
    expected.models.add(model)
    expected.open_score(0)
    whole = expected.score(raw(0, values))

    def live(life: Life) -> None:
        at = life.partitions.next_offset(source) or 0
        end = len(values) if lives_left.pop() == 0 else min(at + rng.randrange(len(values) // 3), len(values))
        while at < end:
            n = rng.randint(1, 90)
            life.send(life.steps.score(source, raw(0, values[at : at + n], at)))
            at += n
            if rng.random() < 0.6:
                life.save()
        life.save() if end == len(values) else None

    lives_left = list(range(LIVES))
    lives = Lives(lambda: Life(config, model, source, clock))
    lives.run(live)
    assert set(lives.first) == sent(whole)
    in_order(lives, whole)
    last = Life(config, model, source, clock)
    last.steps.score(source, raw(0, values))
    assert last.pipeline.snapshot_score(0) == expected.snapshot_score(0)


def partials_in(config: Config, model: Density, seed: int) -> list[PartialMessage]:
    """What two source partitions send to the first partials partition, one of them silent for a while."""
    made = streams.pipeline(config, [model], sources=2)
    of_source = []
    for source in (0, 1):
        values = streams.bodies(7 * seed + source, 500, 24_000)
        kept = [body for n, body in enumerate(values) if source == 0 or not 100 <= n < 300]
        sent = streams.score_all(made, source, kept, [40]).messages
        of_source.append(streams.channels(sent)["partials", 0])
    rng, mixed = random.Random(seed), []
    while any(of_source):
        chosen = rng.choice([messages for messages in of_source if messages])
        mixed += [chosen.pop(0) for _ in range(min(rng.randint(1, 6), len(chosen)))]
    return partials_of(mixed)


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_watch_goes_on_where_it_was(config: Config, model: Density, clock: Iterator[float], seed: int) -> None:
    """Decisions fall anywhere, and a process may end between one and what follows from it."""
    rng, messages = drawn(seed), partials_in(config, model, seed)
    first = [Activated(p, 0, model.model_id) for p in (0, 1)]
    for decision in first:
        FileStore(config).record(decision)
    watch = TopicPartition(config.topics.partials, 0)
    turns = 1  # panes of a slice in a turn

    def live(life: Life) -> None:
        at = life.partitions.next_offset(watch) or 0
        end = len(messages) if lives_left.pop() == 0 else min(at + rng.randrange(len(messages) // 3), len(messages))
        while at < end:
            n = rng.randint(1, 12)
            if not finish(life, messages[at : at + n]):
                return
            at += n
            furthest.append(at)
            caught_up = at == max(furthest) and not life.partitions.replays(watch)
            if caught_up and rng.random() < 0.2 and not decide(life):
                return
            if rng.random() < 0.5:
                life.save()
        life.save() if end == len(messages) else None

    def finish(life: Life, taken: list[PartialMessage]) -> bool:
        """Take messages, in however many turns that takes; False where the process ends between two of them."""
        out = life.steps.watch(watch, taken, True, turns)
        life.send(out)
        while out.unfinished:
            life.save()
            if lives_left and rng.random() < 0.2:
                return False
            out = life.steps.watch(watch, taken, True, turns)
            life.send(out)
        return True

    def decide(life: Life) -> bool:
        """Pass over a source partition; False where the process ends before anything follows from it."""
        decision = life.pipeline.decide_pass_over(0, rng.choice([0, 1]))
        if decision is None or not life.pipeline.is_watch_settled(0):
            return True
        life.store.record(decision)
        if lives_left and rng.random() < 0.4:
            return False
        life.send(life.pipeline.apply(decision))
        return True

    lives_left = list(range(LIVES))
    furthest = [0]
    lives = Lives(lambda: Life(config, model, watch, clock))
    lives.run(live)
    decisions = FileStore(config).decisions()
    assert len(decisions) > 2, "something was passed over"
    expected = streams.pipeline(config, [model], 2, decisions)
    whole = expected.watch(0, messages)
    assert set(lives.first) == sent(whole)
    in_order(lives, whole)


def evidence_in(config: Config, model: Density, seed: int) -> list[PartialMessage]:
    """What WATCH sends of both partials partitions."""
    made = streams.pipeline(config, [model], sources=2)
    scored = [
        message
        for source in (0, 1)
        for message in streams.score_all(made, source, streams.bodies(seed + source, 500, 24_000), [50]).messages
    ]
    out = [streams.watch_all(made, q, streams.channels(scored)["partials", q]).messages for q in (0, 1)]
    evidence = [[message for message in messages if message.role == "evidence"] for messages in out]
    rng, mixed = random.Random(seed), []
    while any(evidence):
        mixed.append(rng.choice([messages for messages in evidence if messages]).pop(0))
    return partials_of(mixed)


@pytest.mark.parametrize("seed", range(3))
def test_judge_goes_on_where_it_was(config: Config, model: Density, clock: Iterator[float], seed: int) -> None:
    """People say something anywhere, and a process may end between that and what follows from it."""
    rng, messages = drawn(seed), evidence_in(config, model, seed)
    for p in (0, 1):
        FileStore(config).record(Activated(p, 0, model.model_id))
    evidence = TopicPartition(config.topics.evidence, 0)
    said: list[str] = []

    def live(life: Life) -> None:
        at = life.partitions.next_offset(evidence) or 0
        end = len(messages) if lives_left.pop() == 0 else min(at + rng.randrange(len(messages) // 3), len(messages))
        while at < end:
            n = rng.randint(1, 8)
            life.send(life.steps.judge(evidence, messages[at : at + n]))
            at += n
            furthest.append(at)
            caught_up = at == max(furthest) and not life.partitions.replays(evidence)
            if caught_up and rng.random() < 0.3 and not act(life):
                return
            if rng.random() < 0.5:
                life.save()
        life.save() if end == len(messages) else None

    def act(life: Life) -> bool:
        said.append(f"a{len(said)}")
        action = Action(id=said[-1], stream="s", verb="mark", by="ann", at_ms=0, why="release 4.2")
        decision = life.pipeline.decide_action(len(said), action)
        assert decision is not None
        life.store.record(decision)
        if lives_left and rng.random() < 0.4:
            return False
        life.send(life.pipeline.apply(decision))
        return True

    lives_left = list(range(LIVES))
    furthest = [0]
    lives = Lives(lambda: Life(config, model, evidence, clock))
    lives.run(live)
    decisions = FileStore(config).decisions()
    assert said
    whole = judged(config, model, decisions, messages)
    assert set(lives.first) == sent(whole)
    in_order(lives, whole)


def judged(config: Config, model: Density, decisions: Sequence[Decision], messages: list[PartialMessage]) -> Outputs:
    made = streams.pipeline(config, [model], 2, decisions)
    made.open_judge()
    return made.judge(messages)


def test_what_is_behind_a_head_is_read_again_from_the_beginning_of_the_log_too(
    config: Config, model: Density, source: TopicPartition, clock: Iterator[float]
) -> None:
    """The first base may be of offset 0: more than that is committed, and is in no base yet."""
    FileStore(config).record(Activated(0, 0, model.model_id))
    life = Life(config, model, source, clock)
    life.save()
    life.send(life.steps.score(source, raw(0, streams.bodies(1, 20, 2_000))))
    life.save()
    after = Life(config, model, source, clock)
    assert after.partitions.replays_until(source) == 20
    assert after.partitions.next_offset(source) == 0


def test_what_came_of_a_decision_is_not_sent_again_where_no_message_came_after_it(
    config: Config, model: Density, partials: TopicPartition, clock: Iterator[float]
) -> None:
    """The base is from before the decision, at the same offset as the head behind it."""
    closed = PaneClosed(stream="s", partition=0, pane_start_ms=0, pane_end_ms=streams.PANE, offset_end=9)
    marker = encode_partials([closed])[0]
    FileStore(config).record(Activated(0, 0, model.model_id))
    life = Life(config, model, partials, clock)
    life.send(life.steps.watch(partials, [PartialMessage(0, marker.value, marker.headers)], True))
    life.save()
    decision = life.pipeline.decide_pass_over(0, 1)
    assert decision is not None
    life.store.record(decision)
    life.send(life.pipeline.apply(decision))
    life.save()
    assert life.out
    after = Life(config, model, partials, clock)
    assert after.partitions.replays(partials)
    assert [out for _, out in after.steps.catch_up()] == [Outputs()]
    assert after.pipeline.watch_states[0].final_ms == streams.PANE
