"""The events topic gets more partitions while a stream runs: a decision like any other."""

from __future__ import annotations

import random
from collections import defaultdict

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowlib.density import Density
from schemas.codecs import decode_evidence
from stream_app.stages.decisions import Decision, Joined
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import score_signals
from stream_app.stages.pipeline import Pipeline
from tests.stages import streams
from tests.stages.streams import PANE, cut, partials_of, pipeline, raw
from tests.stages.watch.blocks import words_of

CONFIG = streams.config()
WIDTH, GROWN, SPAN_MS = 2, 4, 16_000
BATCH = 20
Batches = list[list[bytes | None]]


@pytest.fixture(scope="module")
def batches() -> list[Batches]:
    """Batches of each source partition; the later two begin in the middle of the time of the others."""
    values = [streams.bodies(40 + p, 240, SPAN_MS, drift_from=0.3) for p in range(WIDTH)]
    late = [streams.bodies(50 + p, 300, 2 * SPAN_MS, drift_from=0.1)[140:] for p in range(GROWN - WIDTH)]
    return streams.Quiet([part[a:b] for a, b in cut(len(part), [BATCH])] for part in [*values, *late])


class Run:
    """Feeds batches as a worker does: what WATCH does not know it is told by the decisions."""

    def __init__(self, model: Density, decisions: list[Decision] | None = None) -> None:
        self.model, self.replays = model, decisions is not None
        self.pipeline: Pipeline = pipeline(CONFIG, [model], WIDTH, decisions or [])
        self.pipeline.make_decisions = not self.replays
        self.sent: dict[int, list[Outgoing]] = defaultdict(list)
        self.evidence: dict[int, list[Outgoing]] = defaultdict(list)
        self.windows: list[str] = []
        self.refused = 0
        self._rows: dict[int, int] = defaultdict(int)
        self._partials: dict[int, list[Outgoing]] = defaultdict(list)

    def open(self, source: int) -> None:
        """A source partition comes up."""
        self.pipeline.open_score(source)
        if not self.replays:
            decision = self.pipeline.decide_activation(source, self.model.model_id)
            assert decision is not None
            self.pipeline.apply(decision)

    def feed(self, source: int, values: list[bytes | None]) -> None:
        """Both stages over a batch."""
        out = self.pipeline.score(raw(source, values, self._rows[source]))
        self._rows[source] += len(values)
        self._keep(out.messages)
        for q in range(WIDTH):
            self._watch(q, [m for m in out.messages if (m.role, m.partition) == ("partials", q)])

    def _watch(self, q: int, messages: list[Outgoing]) -> None:
        partials = partials_of(messages, len(self._partials[q]))
        self._partials[q] += messages
        informed = self.replays
        while True:
            out = self.pipeline.watch(q, partials, informed)
            self._keep(out.messages)
            self.windows += [repr(point) for point in out.points if point.measurement == "windows"]
            self.refused += len(out.refused)
            if not out.unknown:
                return
            assert not informed
            informed = True
            for decision in self.pipeline.decide_joins(q):
                self.pipeline.apply(decision)

    def _keep(self, messages: list[Outgoing]) -> None:
        for message in messages:
            if message.role == "signals":
                self.sent[message.partition].append(message)
            elif message.role == "evidence":
                record = decode_evidence(message.value, dict(message.headers))
                self.evidence[record.partition].append(message)

    def restart(self) -> None:
        """Every state as its snapshot has it."""
        made = Run(self.model, list(self.pipeline.decisions)).pipeline
        made.make_decisions = not self.replays
        for p in self.pipeline.score_states:
            made.open_score(p, self.pipeline.snapshot_score(p))
        for q in range(WIDTH):
            made.open_watch(q, self.pipeline.snapshot_watch(q))
        self.pipeline = made

    def marked(self) -> list[set[int]]:
        """Source partitions whose marks JUDGE was sent up to each pane."""
        known, out = set[int](), list[set[int]]()
        for closed in words_of(self.evidence[0])[1]:
            known = known | {mark.partition for mark in closed.marks}
            out.append(known)
        return out


def grow(model: Density, batches: list[Batches], order: list[int], at: int, restart_at: int = -1) -> Run:
    """Batches in this order of sources, the rest in turn; after ``at`` of them the later source partitions come up."""
    run, left = Run(model), [list(part) for part in batches]
    turns = [*order, *(p for _ in range(at + max(map(len, batches))) for p in range(GROWN))]
    for turn, source in enumerate(turns):
        if turn == at:
            for p in range(WIDTH, GROWN):
                run.open(p)
        if turn == restart_at:
            run.restart()
        if left[source] and (source < WIDTH or turn >= at):
            run.feed(source, left[source].pop(0))
    return run


def test_the_later_partitions_are_waited_for_from_a_pane_on_and_write_to_places_of_their_own(
    model: Density, batches: list[Batches]
) -> None:
    run = grow(model, batches, [0, 1] * 5, at=10)
    joins = [decision for decision in run.pipeline.decisions if isinstance(decision, Joined)]
    assert sorted((j.partials_partition, j.partition) for j in joins) == [(q, p) for q in (0, 1) for p in (2, 3)]
    assert all(join.from_ms > 0 and join.from_ms % PANE == 0 for join in joins)
    assert run.refused == 0
    assert {score_signals(p, WIDTH) for p in range(GROWN)} <= {*run.sent}, (
        "SCORE of 2 and 3 behind the trainer's partition"
    )
    for q in range(WIDTH):
        state = run.pipeline.watch_states[q]
        assert state.final_ms == min(state.closed_ms.values()) > 10 * PANE
    assert [len(known) for known in run.marked()][:: len(run.marked()) - 1] == [WIDTH, GROWN], "before and after"


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.integers(0, GROWN - 1), max_size=20), st.integers(0, 24), st.integers(0, 40), st.integers(0))
def test_a_replay_that_is_given_the_decisions_repeats_the_run(
    model: Density, batches: list[Batches], order: list[int], at: int, restart_at: int, seed: int
) -> None:
    first = grow(model, batches, order, at)
    restarted = grow(model, batches, order, at, restart_at)
    assert (restarted.sent, restarted.evidence) == (first.sent, first.evidence)
    lines = [msgspec.json.encode(decision) for decision in first.pipeline.decisions]
    replay = Run(model, [msgspec.json.decode(line, type=Decision) for line in lines])
    for p in range(GROWN):
        replay.open(p)
    turns = [p for p in range(GROWN) for _ in batches[p]]
    random.Random(seed).shuffle(turns)
    left = [list(part) for part in batches]
    for p in turns:
        replay.feed(p, left[p].pop(0))
    assert (replay.sent, replay.evidence) == (first.sent, first.evidence)
    assert sorted(replay.windows) == sorted(first.windows)
    assert not replay.refused
