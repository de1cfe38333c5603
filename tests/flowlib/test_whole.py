"""A whole density in ONNX Runtime gives what it gives here, alone and behind a scikit-learn pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib import FlowDensity, whole
from flowlib.density import Density
from flowlib.encoder.columns import MAPS
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.engines import PARITY_NATS
from flowlib.engines.onnx import OPSET
from flowlib.errors import EngineError
from flowlib.fit_config import DISTANCES, FitConfig, MaximumLikelihood
from flowlib.table import Floats, Table
from flowlib.training import TrainConfig
from flowlib.whole import export_density, gap_nats, inputs_of, run_alone, run_whole
from tests.conftest import need
from tests.flowlib.conftest import draw


@pytest.fixture(autouse=True)
def _edge() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package)


def rows_of(n: int, seed: int) -> Floats:
    """Columns for which each kind of map is chosen; 5 % is missing."""
    g = np.random.default_rng(seed)
    x = np.column_stack(
        [g.standard_normal(n), np.exp(g.standard_normal(n)), g.standard_t(2, n), np.round(g.gamma(2, 2, n), 1)]
    )
    x[g.random(x.shape) < 0.05] = np.nan
    return x


def is_equal(ours: tuple[Any, ...], log_prob: Floats, surprise: Floats, p_value: Floats, n: int) -> None:
    """Log-likelihoods within 1e-4 nats, or 1e-6 of themselves far out; p-values within one of n calibration rows."""
    ok = np.isfinite(log_prob)
    assert np.array_equal(np.isfinite(ours[0]), ok)
    np.testing.assert_allclose(ours[0][ok], log_prob[ok], rtol=1e-6, atol=PARITY_NATS)
    assert np.abs(ours[2][ok] - p_value[ok]).max() <= 1.0 / (n + 1) + 1e-9
    moved = np.abs(ours[1][ok] - surprise[ok]) > 1e-4
    assert moved.mean() <= 0.01, "a log-likelihood that lies between two of the calibration's may change places"


def test_onnx_runtime_gives_the_same_scores_of_any_rows() -> None:
    """Each column by the map that suits it; below, all of them by quantiles."""
    model = FlowDensity(max_steps=30, maps=tuple(MAPS)).fit(rows_of(1_200, 0))
    assert len(model.density_.encoder.maps) >= 3
    fresh = rows_of(1_500, 1)
    fresh = np.vstack([fresh, fresh * 50, fresh * 1e6, [[np.nan] * 4, [1e39, 1, 1, 1]], np.zeros((2, 4))])
    scores = model.density_.score(Table.of(fresh))
    theirs = model.score_samples(fresh), np.where(scores.scorable, scores.surprise, np.inf), model.p_values(fresh)
    graph = model.to_onnx()
    is_equal(run_whole(graph, fresh), *theirs, len(model.density_.calibration.scores))
    alone = run_whole(graph, fresh[:1])
    assert alone[0][0] == pytest.approx(theirs[0][0], abs=PARITY_NATS), "any number of rows"
    with_infinite = np.vstack([fresh, [[np.inf, 0, 0, 0]]])
    assert gap_nats(model.density_, graph, Table.of(with_infinite)) <= 1e-3


@pytest.mark.parametrize("distance", DISTANCES)
def test_categories_slices_and_each_distance_are_in_it(distance: str) -> None:
    config = FitConfig(
        learn=MaximumLikelihood(TrainConfig(max_steps=30)), encoder=EncoderConfig(context=("slice",)), distance=distance
    )
    spec = FeatureSpec(("a", "b", "c"), ("kind",))
    density = Density.fit(spec, draw(1_500, 1), draw(300, 2), draw(600, 3), 0, config)
    table = draw(500, 4)
    table.categories[:5, 0] = "never seen"
    scores, graph = density.score(table), export_density(density)
    p_value, _ = density.calibration.p_values(scores.surprise, np.full(len(table), "", dtype=object))
    is_equal(
        run_whole(graph, *inputs_of(density, table)),
        scores.log_prob,
        scores.surprise,
        p_value,
        len(density.calibration.nll),
    )


def test_it_goes_behind_a_pipeline_of_scikit_learn_that_others_convert() -> None:
    onnx, skl2onnx, _ = need("onnx"), need("skl2onnx"), need("onnx.version_converter")
    from skl2onnx.common.data_types import DoubleTensorType
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.nan_to_num(rows_of(1_200, 0))
    whole = make_pipeline(StandardScaler(), PCA(3), FlowDensity(max_steps=30, maps=("quantile",))).fit(x)
    model = whole[-1]
    before = skl2onnx.convert_sklearn(
        whole[:-1], initial_types=[("x", DoubleTensorType([None, 4]))], target_opset={"": OPSET, "ai.onnx.ml": 3}
    )
    after = onnx.load_from_string(model.to_onnx())
    before = onnx.version_converter.convert_version(before, OPSET)
    before.ir_version = after.ir_version
    (handed_on,) = (node.name for node in before.graph.output)
    merged = onnx.compose.merge_models(before, after, [(handed_on, "rows")])
    onnx.checker.check_model(merged)
    session = need("onnxruntime").InferenceSession(merged.SerializeToString(), providers=["CPUExecutionProvider"])
    fresh = np.nan_to_num(rows_of(500, 1))
    scores = model.density_.score(Table.of(whole[:-1].transform(fresh)))
    ours = session.run(["log_prob", "surprise", "p_value"], {"x": fresh})
    is_equal(tuple(ours), scores.log_prob, scores.surprise, scores.p_value, len(model.density_.calibration.scores))


def test_int8_weights_take_a_row_at_a_time_and_are_held_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FlowDensity(max_steps=30).fit(np.nan_to_num(rows_of(400, 0)))
    graph, fresh = model.to_onnx(int8=True), np.nan_to_num(rows_of(100, 1))
    log_prob, _, p_value = run_alone(graph, fresh)
    assert 0 < np.abs(log_prob - model.score_samples(fresh)).mean() <= 0.1
    assert np.abs(p_value - model.p_values(fresh)).max() < 0.1
    assert run_alone(graph, fresh[3:4])[0] == log_prob[3]
    monkeypatch.setattr("flowlib.engines.onnx.INT8_NATS", 1e-9)
    monkeypatch.setattr(whole, "graph_of", lambda *_, **__: graph)
    monkeypatch.setattr(whole, "quantize", lambda known: known)
    with pytest.raises(EngineError, match="nats off on average, more than 1e-09: it is not used"):
        model.to_onnx(int8=True)
