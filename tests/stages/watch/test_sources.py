"""Several source partitions: WATCH's output depends on what they say, not on how they interleave; idle ones are passed
over.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowlib.density import Density
from stream_app.stages import decisions
from stream_app.stages.decisions import Activated, Decision, PassedOver
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.pipeline import Pipeline
from tests.stages import streams
from tests.stages.streams import PANE, channels, config, decoded, event, pipeline, score_all, watch_all
from tests.stages.watch.blocks import words_of

SOURCES = 3
ACTIVE = Activated(0, 0, "model-1")
Streams = list[list[Outgoing]]


@pytest.fixture(scope="module")
def sent(model: Density) -> Streams:
    """Partials for partition 0 of three sources of different lengths."""
    made = pipeline(config(), [model], SOURCES)
    values = [streams.bodies(20 + p, 120 + 30 * p, 9_000 + 700 * p) for p in range(SOURCES)]
    return streams.Quiet(channels(score_all(made, p, values[p], [60]).messages)["partials", 0] for p in range(SOURCES))


def interleave(sent: Streams, order: list[int]) -> list[Outgoing]:
    """One message of the source named at a time; the rest follows source by source."""
    left, out = [list(part) for part in sent], []
    for p in order:
        if left[p]:
            out.append(left[p].pop(0))
    return [*out, *left[0], *left[1], *left[2]]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.integers(0, SOURCES - 1), max_size=120))
def test_interleaving_does_not_matter(model: Density, sent: Streams, order: list[int]) -> None:
    one, other = (pipeline(config(), [model], SOURCES) for _ in range(2))
    expected, got = watch_all(one, 0, interleave(sent, [])), watch_all(other, 0, interleave(sent, order))
    assert got.messages == expected.messages
    assert got.points == expected.points
    assert one.watch_states[0].final_ms == other.watch_states[0].final_ms > 5 * PANE
    assert expected.messages


def test_the_watched_partition_gets_the_same_whichever_source_an_event_came_by(model: Density) -> None:
    """Splitting a topic over more partitions changes no statistic of a final pane."""
    values = [event(t, t, x=t % 7 / 3) for t in range(0, 6_000, 50)] + [event(30_000, 30_000)]

    def windows(parts: list[list[bytes]]) -> list[str]:
        made, merged = pipeline(config(), [model], len(parts)), Outputs()
        for p, part in enumerate(parts):
            merged.messages += score_all(made, p, [*part, values[-1]], [40]).messages
        points = [
            point for q in range(2) for point in watch_all(made, q, channels(merged.messages)["partials", q]).points
        ]
        return sorted(repr(p) for p in points if p.measurement == "windows" and p.time_ms <= 6_000)

    whole = windows([values[:-1]])
    assert whole
    assert windows([values[0:-1:2], values[1:-1:2]]) == whole
    assert windows([values[0:-1:3], values[1:-1:3], values[2:-1:3]]) == whole


def closed(of: Pipeline) -> int:
    return of.watch_states[0].final_ms


def test_a_silent_source_holds_the_others_up_until_it_is_passed_over(model: Density, sent: Streams) -> None:
    made = pipeline(config(), [model], SOURCES)
    held = watch_all(made, 0, [*sent[0], *sent[1]])
    assert (held.messages, held.points, closed(made)) == ([], [], 0)
    assert made.decide_pass_over(0, 0) is not None
    decision = made.decide_pass_over(0, 2)
    assert decision is not None
    assert (decision.partials_partition, decision.partition, decision.from_ms) == (0, 2, 0)
    assert made.decide_pass_over(0, 1) is None  # it is the furthest: it holds nobody up
    out = made.apply(decision)
    assert out.points
    assert closed(made) == made.watch_states[0].closed_ms[0]
    assert made.decide_pass_over(0, 2) is None


def test_what_a_passed_over_source_says_late_is_not_taken(model: Density, sent: Streams) -> None:
    made, without = (pipeline(config(), [model], SOURCES) for _ in range(2))
    ahead = [*sent[0], *sent[1]]
    watch_all(made, 0, ahead)
    decision = made.decide_pass_over(0, 2)
    assert decision is not None
    made.apply(decision)
    late = watch_all(made, 0, sent[2], len(ahead))
    assert made.watch_states[0].late_blocks > 0
    watch_all(without, 0, ahead)
    without.apply(decision)
    assert all(point.time_ms > decision.to_ms or point.time_ms > closed(without) for point in late.points)


def logged(made: Pipeline) -> list[Decision]:
    return decoded(b"".join(decisions.encode(one) for one in made.decisions))


def run_with_pass_over(model: Density, messages: list[Outgoing], at: int, partition: int) -> tuple[Pipeline, Outputs]:
    """The messages, with the decision to pass a source over taken after ``at`` of them."""
    made = pipeline(config(), [model], SOURCES)
    out = watch_all(made, 0, messages[:at])
    decision = made.decide_pass_over(0, partition)
    steps = [made.apply(decision)] if decision is not None else []
    steps.append(watch_all(made, 0, messages[at:], at))
    for step in steps:
        out.messages += step.messages
        out.points += step.points
    return made, out


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.integers(0, SOURCES - 1), max_size=80), st.integers(0, 80), st.integers(0, SOURCES - 1))
def test_a_replay_with_its_decisions_repeats_the_run(
    model: Density, sent: Streams, order: list[int], at: int, partition: int
) -> None:
    messages = interleave(sent, order)
    first, expected = run_with_pass_over(model, messages, at, partition)
    replay = pipeline(config(), [model], SOURCES, logged(first))
    replay.make_decisions = False
    got = watch_all(replay, 0, messages)
    assert got.messages == expected.messages
    assert got.points == expected.points
    assert replay.watch_states[0].late_blocks == first.watch_states[0].late_blocks
    assert replay.decide_pass_over(0, partition) is None


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.integers(0, SOURCES - 1), max_size=120), st.integers(1, 40), st.integers(0, SOURCES - 1))
def test_batches_and_late_models_do_not_matter(
    model: Density, sent: Streams, order: list[int], size: int, partition: int
) -> None:
    """A source partition passed over, slices followed: the same bytes message by message, in batches, and where
    the model comes after all messages.
    """
    messages, passed = interleave(sent, order), PassedOver(0, partition, 2_000, 60_000)
    one, other = (pipeline(config(), [model], SOURCES, [ACTIVE, passed]) for _ in range(2))
    late = pipeline(config(), [], SOURCES, [ACTIVE, passed])
    expected = watch_all(one, 0, messages)
    assert watch_all(other, 0, messages, size=size).messages == expected.messages
    before = watch_all(late, 0, messages, size=len(messages)).messages
    late.models.add(model)
    assert before + watch_all(late, 0, messages, size=size).messages == expected.messages
    assert late.snapshot_watch(0) == other.snapshot_watch(0) == one.snapshot_watch(0)
    words, closed = words_of(expected.messages)
    assert words
    assert [mark.pane_end_ms for of in closed for mark in of.marks if mark.partition == partition]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.integers(0, SOURCES - 1), max_size=80), st.integers(0, 80), st.integers(0, 20))
def test_a_restart_after_a_pass_over_goes_on_the_same(
    model: Density, sent: Streams, order: list[int], at: int, more: int
) -> None:
    messages = interleave(sent, order)
    first, expected = run_with_pass_over(model, messages, at, 2)
    cut, early = min(at + more, len(messages)), pipeline(config(), [model], SOURCES)
    before = watch_all(early, 0, messages[:at])
    decision = early.decide_pass_over(0, 2)
    if decision is not None:
        before.messages += early.apply(decision).messages
    before.messages += watch_all(early, 0, messages[at:cut], at).messages
    later = pipeline(config(), [model], SOURCES, logged(early))
    later.open_watch(0, early.snapshot_watch(0))
    after = watch_all(later, 0, messages[cut:], cut)
    assert before.messages + after.messages == expected.messages
    assert later.snapshot_watch(0) == first.snapshot_watch(0)


def test_the_later_of_two_activations_of_a_pane_counts() -> None:
    both = [Activated(0, 5_000, "a"), Activated(0, 1_000, "b"), Activated(0, 5_000, "c"), Activated(1, 5_000, "d")]
    assert decisions.activations_of(both, 0) == [(1_000, "b"), (5_000, "c")]


def test_two_models_in_one_pane_do_not_mix_their_likelihoods(model: Density, other_model: Density) -> None:
    """Sources swap one after the other: all rows are seen, only those of the model with more of them are scored."""
    given = [Activated(0, 0, model.model_id), Activated(1, 0, other_model.model_id)]
    made = pipeline(config(), [model, other_model], 2, given)
    parts = [[event(100 + i, i) for i in range(n)] + [event(5_000, 999)] for n in (9, 4)]
    merged = [m for p in range(2) for m in score_all(made, p, parts[p], [50]).messages]
    points = [p for q in range(2) for p in watch_all(made, q, channels(merged)["partials", q]).points]
    (pane,) = [p for p in points if p.time_ms == PANE and {("span", "pane"), ("slicing", "all")} <= set(p.tags)]
    fields = dict(pane.fields)
    assert (fields["seen"], fields["model_id"]) == (13, model.model_id)
    alone = pipeline(config(), [model], 1)
    of_alone = channels(score_all(alone, 0, parts[0], [50]).messages)
    expected = [p for q in range(2) for p in watch_all(alone, q, of_alone["partials", q]).points]
    (same,) = [p for p in expected if p.time_ms == PANE and p.tags == pane.tags]
    assert dict(same.fields)["log_prob_mean"] == fields["log_prob_mean"]


def test_a_window_never_holds_two_models(model: Density, other_model: Density) -> None:
    """After a swap the rolling windows go on counting rows, and start over with likelihoods."""
    given = [Activated(0, 0, model.model_id), Activated(0, 3_000, other_model.model_id)]
    made = pipeline(config(), [model, other_model], 1, given)
    sent = channels(score_all(made, 0, [event(100 * i, i) for i in range(70)], [50]).messages)
    points = [p for q in range(2) for p in watch_all(made, q, sent["partials", q]).points if p.measurement == "windows"]
    of_all = {p.time_ms: dict(p.fields) for p in points if {("slicing", "all"), ("span", "8s")} <= set(p.tags)}
    assert [of_all[at]["seen"] for at in (3_000, 4_000, 5_000)] == [30, 40, 50]
    means = [of_all[at]["log_prob_mean"] for at in (2_000, 3_000, 4_000, 5_000)]
    assert means[0] == means[1] != means[2] == means[3]
    # Every event is the same; squares are kept to 2⁻⁸ nats², so the deviation is known to 2⁻⁴.
    assert max(fields["log_prob_sd"] for fields in of_all.values()) <= 2**-4


def test_a_model_that_has_not_arrived_is_asked_for(model: Density) -> None:
    made = pipeline(config(), [model])
    messages = channels(score_all(made, 0, [event(100, 1), event(9_000, 2)], [5]).messages)
    q = next(q for q in range(2) if dict(messages["partials", q][0].headers)["kind"] == b"block")
    fresh = pipeline(config(), [replace(model, model_id="another")], decisions=made.decisions)
    watch_all(fresh, q, messages["partials", q][:1])
    assert fresh.missing_for_watch(q) == {model.model_id}
