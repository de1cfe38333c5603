"""The adaptive level: a rate in the band after 20,000 events whatever the p-values, and in any batches."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib import FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
from flowlib.density import Density
from flowlib.table import Coded
from stream_app.config import parse
from stream_app.stages.batches import RawBatch, ScoredBatch
from stream_app.stages.score.adaptive import BOUND, MODELS_MAX, STEP, Adaptive
from stream_app.stages.score.admission import Seating
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.scoring import score_events
from stream_app.stages.snapshot import pack

EVENTS = 20_000


def named(slices: int, n: int) -> Coded:
    """Slices of n events, in turn."""
    return Coded.of(f"s{i % slices}" for i in range(n))


def state_of(adaptive: Adaptive) -> bytes:
    return pack(adaptive.to_state())


def column(adaptive: Adaptive, name: str) -> list[float]:
    """What is remembered of a slice."""
    names, *columns = adaptive.models["m"].to_state()
    return [float(values[names.index(name)]) for values in columns]


@pytest.mark.parametrize("alpha", [0.0025, 0.01])
@pytest.mark.parametrize("wrong", [0.19, 1.0, 2.5, 5.0])
def test_the_rate_of_every_slice_is_in_the_band(alpha: float, wrong: float) -> None:
    """40 slices whose p-values are at or below the level ``wrong`` times as often as they should be."""
    g, slices = np.random.default_rng(0), 40
    p = np.minimum(g.random(EVENTS * slices) / wrong, 1.0)
    adaptive = Adaptive()
    adaptive.judge("m", p, named(slices, len(p)), alpha)
    levels = adaptive.models["m"]
    rates = (levels.strange / np.maximum(levels.events, 1) / alpha)[[*levels.places.values()]]
    print(f"seed 0, alpha {alpha}, wrong by {wrong}: {rates.min():.2f} to {rates.max():.2f}, mean {rates.mean():.3f}")
    assert ((rates >= 0.8) & (rates <= 1.25)).all()


def test_the_rate_holds_where_the_p_values_change_and_for_any_events() -> None:
    """The bound of the docstring, for p-values that drift to five times as strange half-way."""
    alpha, g = 0.01, np.random.default_rng(1)
    p = g.random(EVENTS) / np.repeat([1.0, 5.0], EVENTS // 2)
    adaptive = Adaptive()
    adaptive.judge("m", p, named(1, EVENTS), alpha)
    levels = adaptive.models["m"]
    moved = levels.moved[0] + STEP * alpha * levels.since[0]
    assert levels.strange[0] / EVENTS == pytest.approx(alpha * (1 - moved / (STEP * alpha * EVENTS)), rel=1e-9)
    assert 0.8 <= levels.strange[0] / EVENTS / alpha <= 1.25


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_it_does_not_depend_on_how_events_are_cut_into_batches(cut: int) -> None:
    g, n, whole, parts = np.random.default_rng(2), 3_000, Adaptive(), Adaptive()
    p, names = g.random(n) ** 2, named(5, n)
    strange, level = whole.judge("m", p, names, 0.01)
    for start in range(0, n, cut):
        some = slice(start, start + cut)
        ours, ourlevel = parts.judge("m", p[some], names.take(np.arange(n)[some]), 0.01)
        np.testing.assert_array_equal(ours, strange[some])
        np.testing.assert_array_equal(ourlevel, level[some])
        parts = Adaptive.from_state(parts.to_state())
    assert state_of(parts) == state_of(whole)
    assert strange.any()
    assert (p[strange] <= level[strange]).all()
    assert (level[~strange] == 0.01).all()


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_a_slice_that_has_lost_its_place_begins_anew(cut: int) -> None:
    g, n, whole, parts = np.random.default_rng(2), 500, Adaptive(), Adaptive()
    p, names = g.random(n) ** 2, named(5, n)
    gone = [(0, "s1"), (100, "s1"), (203, "s2"), (203, "s3"), (n, "s4")]
    strange, _ = whole.judge("m", p, names, 0.01, gone)
    for start in range(0, n, cut):
        some = slice(start, start + cut)
        here = [(at - start, name) for at, name in gone if start < at <= start + cut or at == start == 0]
        ours, _ = parts.judge("m", p[some], names.take(np.arange(n)[some]), 0.01, here)
        np.testing.assert_array_equal(ours, strange[some])
    assert state_of(parts) == state_of(whole)
    levels = whole.models["m"]
    assert {name: levels.events[place] for name, place in levels.places.items()} == {
        "s0": 100,
        "s1": 80,
        "s2": 59,
        "s3": 60,
    }
    afresh = Adaptive()
    afresh.judge("m", p[203:], names.take(np.arange(203, n)), 0.01)
    assert column(whole, "s2") == column(afresh, "s2")


def test_models_that_score_nothing_now_forget_too() -> None:
    adaptive = Adaptive()
    for model in ("m1", "m2"):
        adaptive.judge(model, np.ones(4), named(2, 4), 0.01)
    adaptive.forget(["s0", "s9"], but=["m2"])
    assert [list(levels.places) for levels in adaptive.models.values()] == [["s1"], ["s0", "s1"]]


def test_a_model_starts_from_the_fixed_level_and_few_are_kept() -> None:
    adaptive = Adaptive()
    for i in range(5):
        strange, level = adaptive.judge(f"m{i}", np.array([0.01, 0.01]), named(1, 2), 0.01)
        assert strange.tolist() == [True, False]
        assert level[0] == pytest.approx(0.01)
    assert list(adaptive.models) == ["m3", "m4"]
    assert len(adaptive.models) == MODELS_MAX


def test_the_level_stays_within_its_bounds() -> None:
    adaptive = Adaptive()
    adaptive.judge("m", np.ones(200_000), named(1, 200_000), 0.01)
    strange, level = adaptive.judge("m", np.array([0.19]), named(1, 1), 0.01)
    assert strange[0]
    assert level[0] == pytest.approx(0.01 * np.exp(BOUND))
    adaptive.judge("m", np.zeros(1_000), named(1, 1_000), 0.01)
    assert adaptive.models["m"].moved[0] >= -BOUND


def test_no_events_change_nothing() -> None:
    adaptive = Adaptive()
    strange, level = adaptive.judge("m", np.zeros(0), Coded.of([]), 0.01)
    assert len(strange) == len(level) == 0


def test_the_event_rule_follows_it_where_told_to_and_the_p_values_do_not() -> None:
    """Of events that became strange for good ever fewer are reported; what the detectors are fed is the same."""
    g = np.random.default_rng(3)
    train, valid, held_out = (
        Table.of(g.standard_normal((n, 2)), time_ms=1_000 * np.arange(n)) for n in (600, 200, 1_000)
    )
    config = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=40)))
    density = Density.fit(FeatureSpec(("x", "y")), train, valid, held_out, seed=0, config=config)
    models = {"m": density.with_reference(held_out, 60_000)}
    bodies: list[bytes | None] = [
        b'{"t": %d, "x": %f, "y": %f}' % (i * 1_000, *(1.5 * g.standard_normal(2))) for i in range(3_000)
    ]
    runs: dict[str, ScoredBatch] = {}
    for rule in ("fixed", "adaptive"):
        event = {"time_field": "t", "time_format": "epoch_ms", "numeric": ["x", "y"]}
        told = {"stream": "s", "topics": {"events": "e"}, "event": event, "event_rule": {"alpha": 0.01, "follow": rule}}
        stream = parse(told)
        events, _ = Decoder(stream).decode(RawBatch("e", 0, np.arange(3_000), bodies))
        model, wanted = Coded.alike(3_000, "m"), np.ones(3_000, dtype=bool)
        runs[rule] = score_events(events, models, model, wanted, stream, Adaptive(), Seating(events.slices, [], {}))
    fixed, adaptive = runs["fixed"], runs["adaptive"]
    np.testing.assert_array_equal(fixed.p_value, adaptive.p_value)
    np.testing.assert_array_equal(fixed.flagged, fixed.p_value <= 0.01)
    np.testing.assert_array_equal(fixed.adaptive, adaptive.flagged)
    assert 0 < adaptive.flagged.sum() < fixed.flagged.sum() / 2
    assert (fixed.level == 0.01).all()
    assert (adaptive.p_value <= adaptive.level)[adaptive.flagged].all()
