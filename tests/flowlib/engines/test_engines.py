"""Every engine on every family passes the checks; refusals; and how an engine is chosen."""

from __future__ import annotations

import builtins
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from flowlib import engines
from flowlib.checks import ENGINE_CHECKS, check_engine, example_batch, loosened
from flowlib.engines import ENGINES, Engine, EngineError, build, fused
from flowlib.engines.base import ROWS, check, gap_nats
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
    blocks = {} if family == "mixture" else {"blocks": 3}
    return loosened(FLOWS[family](d, context, torch.Generator().manual_seed(SEED), **blocks), noise, SEED + 1)


def rows(n: int, d: int = D, context: int = CONTEXT) -> tuple[Any, Any]:
    """Seeded features and context in single precision."""
    features, uniform = example_batch(n, d, context)
    return features.float().numpy(), (uniform < 0.3).float().numpy()


@functools.cache
def engine_of(name: str, family: str) -> Engine:
    """Built once for the session; skipped where this machine does not have it."""
    try:
        return build(flow_of(family), name)
    except EngineError as error:
        if "no CUDA device" in str(error):
            pytest.skip(str(error))
        if "not installed" not in str(error) and "not built" not in str(error):
            raise
        cannot_start(str(error))
        raise


@pytest.mark.parametrize(("name", "family"), PAIRS)
@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_every_engine_passes_on_every_family(check: Callable[[Engine, Flow], None], name: str, family: str) -> None:
    check(engine_of(name, family), flow_of(family))


@pytest.mark.parametrize("name", EXACT)
def test_building_leaves_the_flow_as_it_was(name: str) -> None:
    engine_of(name, "maf")
    check_engine(ENGINES[name], flow_of("maf", d=2))


@pytest.mark.parametrize(("name", "reason"), sorted(NOT_OF_MIXTURES.items()))
def test_an_engine_refuses_a_mixture_that_it_cannot_score(name: str, reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        build(flow_of("mixture"), name)


def test_arrays_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match=f"scores {D} features given {CONTEXT} context columns"):
        engine_of("torchscript", "maf")(np.zeros((4, D + 1), np.float32), np.zeros((4, CONTEXT), np.float32))


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


def test_an_engine_that_disagrees_is_dropped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = build(flow_of("maf", noise=0.3), "torchscript")
    wrong.name = "fused"
    monkeypatch.setitem(ENGINES, "fused", lambda flow: check(wrong, flow))
    engine = build(flow_of("maf"))
    assert engine.name == "torchscript"
    assert "differ by" in engine.dropped["fused"]


def test_without_the_extension_torchscript_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_native", None)
    engine = build(flow_of("maf"))
    assert engine.name == "torchscript"
    assert "was not built" in engine.dropped["fused"]
    assert fused.paths() == []
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


def test_the_fixed_shape_is_shared() -> None:
    assert engines.ROWS == ROWS == 512
