"""Every engine on every family: parity with eager PyTorch, the same bits in any batch, extremes, and how one is chosen."""

from __future__ import annotations

import builtins
import copy
import functools
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from flowlib import engines
from flowlib.engines import ENGINES, PARITY_NATS, Engine, EngineError, build
from flowlib.engines.base import ROWS, check, gap_nats, log_prob_of
from flowlib.flows import FLOWS, Flow
from tests.conftest import cannot_start, need

D, CONTEXT, SEED = 5, 3, 7
EXACT = sorted(set(ENGINES) - {"int8"})
NOT_OF_MIXTURES = {"fused": "no program", "onnx": "onnx is not finite 50 scale units"}
PAIRS = [
    (engine, family)
    for engine, family in itertools.product(EXACT, sorted(FLOWS))
    if family != "mixture" or engine not in NOT_OF_MIXTURES
]


def flow_of(family: str, d: int = D, context: int = CONTEXT, noise: float = 0.1) -> Flow:
    """A seeded flow with weights away from their start."""
    small = {} if family == "mixture" else {"blocks": 3}
    made = FLOWS[family](d, context, torch.Generator().manual_seed(SEED), **small).eval()
    g = torch.Generator().manual_seed(SEED + 1)
    with torch.no_grad():
        for weights in made.parameters():
            if weights.requires_grad:
                weights += noise * torch.randn(weights.shape, generator=g)
    return made


@functools.cache
def engine_of(name: str, family: str) -> Engine:
    """Built once for the session; skipped where this machine cannot have it."""
    try:
        return build(flow_of(family), name)
    except EngineError as error:
        if "no CUDA device" in str(error):
            pytest.skip(str(error))
        if "not installed" not in str(error) and "not built" not in str(error):
            raise
        cannot_start(str(error))
        raise


@pytest.mark.parametrize(("name", "reason"), sorted(NOT_OF_MIXTURES.items()))
def test_a_mixture_is_refused_where_it_cannot_be_had(name: str, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        build(flow_of("mixture"), name)


def rows(n: int, d: int = D, context: int = CONTEXT, scale: float = 1.0) -> tuple[Any, Any]:
    g = np.random.default_rng(SEED)
    x = (scale * g.standard_normal((n, d))).astype(np.float32)
    return x, (g.random((n, context)) < 0.3).astype(np.float32)


@pytest.mark.parametrize(("name", "family"), PAIRS)
@pytest.mark.parametrize("n", [0, 1, 7, 511, 513])
def test_an_engine_agrees_with_eager(name: str, family: str, n: int) -> None:
    engine, (x, context) = engine_of(name, family), rows(n)
    z, ladj = engine(x, context)
    assert (z.shape, ladj.shape, z.dtype, ladj.dtype) == (x.shape, x.shape, np.float32, np.float32)
    with torch.inference_mode():
        z_eager, ladj_eager = (part.numpy() for part in flow_of(family)(*map(torch.from_numpy, (x, context))))
    np.testing.assert_allclose(
        log_prob_of(z, ladj), log_prob_of(z_eager, ladj_eager), atol=PARITY_NATS, rtol=PARITY_NATS
    )
    np.testing.assert_allclose(z, z_eager, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_a_row_is_the_same_bits_in_any_batch(name: str, family: str) -> None:
    engine, (x, context) = engine_of(name, family), rows(1_100)
    z, ladj = engine(x, context)
    g = np.random.default_rng(SEED)
    for n in (1, 2, 3, 5, 7, 97, 511, 512, 513):
        some = g.permutation(len(x))[:n]
        for ours, whole in zip(engine(x[some], context[some]), (z, ladj), strict=True):
            np.testing.assert_array_equal(ours, whole[some], err_msg=f"{n} rows, seed {SEED}")


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_extremes_stay_finite_and_agree(name: str, family: str) -> None:
    """Values of fifty scale units, of which float32 keeps what it keeps: relative to the likelihood's own size."""
    engine, (x, context) = engine_of(name, family), rows(64)
    x[::2] = np.where(x[::2] > 0, np.float32(50), np.float32(-50))
    z, ladj = engine(x, context)
    assert np.isfinite(z).all()
    assert np.isfinite(ladj).all()
    assert gap_nats(engine, flow_of(family), x, context).max() <= 10 * PARITY_NATS


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(
    ("features", "context"),
    [((4, D + 1), (4, CONTEXT)), ((4, D), (3, CONTEXT)), ((4, D), (4, CONTEXT + 1)), ((D,), (1, CONTEXT))],
)
def test_wrong_shapes_are_refused(name: str, features: tuple[int, ...], context: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"scores {D} features given {CONTEXT} context columns"):
        engine_of(name, "maf")(np.zeros(features, np.float32), np.zeros(context, np.float32))


@pytest.mark.parametrize("name", EXACT)
def test_any_layout_and_float64_are_taken(name: str) -> None:
    engine, (x, context) = engine_of(name, "maf"), rows(9)
    z, ladj = engine(x, context)
    for other in (np.asfortranarray(x), x.astype(np.float64), np.repeat(x, 2, axis=0)[::2]):
        ours = engine(other, context)
        np.testing.assert_array_equal(ours[0], z)
        np.testing.assert_array_equal(ours[1], ladj)


@pytest.mark.parametrize("family", sorted(FLOWS))
def test_int8_is_within_its_bound_or_refused(family: str) -> None:
    need("onnxruntime")
    flow = flow_of(family, noise=0.02)
    try:
        engine = build(flow, "int8")
    except EngineError as error:
        if "nats off on average, more than 0.1" not in str(error):
            raise
        return
    x, context = rows(20)
    whole = engine(x, context)
    assert gap_nats(engine, flow, x, context).mean() <= 0.2
    np.testing.assert_array_equal(engine(x[3:4], context[3:4])[1], whole[1][3:4])


def test_int8_far_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = need("flowlib.engines.onnx")
    need("onnxruntime")
    monkeypatch.setattr(onnx, "INT8_NATS", 1e-9)
    with pytest.raises(EngineError, match="nats off on average"):
        build(flow_of("maf"), "int8")


# Choosing ------------------------------------------------------------------------------------------------------------


class Timed(Engine):
    """An engine that moves a clock by a fixed time for each call."""

    def __init__(self, name: str, seconds: float, clock: list[float]) -> None:
        super().__init__(D, CONTEXT)
        self.name, self._seconds, self._clock = name, seconds, clock

    def _score(self, features: Any, context: Any) -> tuple[Any, Any]:
        self._clock[0] += self._seconds
        return features, context


@pytest.mark.parametrize(("fused_s", "chosen"), [(1.0, "fused"), (3.0, "torchscript")])
def test_the_fastest_is_taken_by_the_clock(monkeypatch: pytest.MonkeyPatch, fused_s: float, chosen: str) -> None:
    clock = [0.0]
    monkeypatch.setitem(ENGINES, "fused", lambda _: Timed("fused", fused_s, clock))
    monkeypatch.setitem(ENGINES, "torchscript", lambda _: Timed("torchscript", 2.0, clock))
    engine = build(flow_of("maf"), clock=lambda: clock[0])
    assert engine.name == chosen
    assert set(engine.dropped.values()) == {"slower here"}


def test_without_a_clock_the_order_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "fused", lambda _: Timed("fused", 1e9, [0.0]))
    assert build(flow_of("maf")).name == "fused"


def test_an_engine_that_disagrees_is_dropped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = build(flow_of("maf", noise=0.3), "torchscript")
    wrong.name = "fused"
    monkeypatch.setitem(ENGINES, "fused", lambda flow: check(wrong, flow))
    engine = build(flow_of("maf"))
    assert engine.name == "torchscript"
    assert "differ by" in engine.dropped["fused"]


def test_without_the_extension_torchscript_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    import flowlib.engines.fused as module

    monkeypatch.setattr(module, "_native", None)
    engine = build(flow_of("maf"))
    assert engine.name == "torchscript"
    assert "was not built" in engine.dropped["fused"]
    assert module.paths() == []
    with pytest.raises(EngineError, match="compiler"):
        build(flow_of("maf"), "fused")


def test_without_the_edge_extra_onnx_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in ("onnx", "onnxruntime"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(EngineError, match=r"pip install 'driftflow\[edge\]'"):
        build(flow_of("maf"), "onnx")


def test_an_unknown_engine_is_named_with_the_known() -> None:
    with pytest.raises(EngineError, match="no engine 'gpu': one of auto, fused, torchscript"):
        build(flow_of("maf"), "gpu")


def test_when_nothing_works_every_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_: Flow) -> Engine:
        raise EngineError("not here")

    for name in engines.AUTO:
        monkeypatch.setitem(ENGINES, name, no)
    with pytest.raises(EngineError, match="no engine works: not here; not here"):
        build(flow_of("maf"))


def test_building_leaves_the_flow_as_it_was() -> None:
    flow = flow_of("maf")
    before = copy.deepcopy(flow.state_dict())
    build(flow)
    for name, value in flow.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_fixed_shape_is_shared() -> None:
    assert engines.ROWS == ROWS == 512
