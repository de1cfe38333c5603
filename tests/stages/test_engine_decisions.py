"""Which engine scored is a decision: written down when made, repeated when given, reported where it is not here."""

from __future__ import annotations

import pytest

from flowlib.density import Density
from flowlib.engines import ENGINES, EngineError
from flowlib.flows import Flow
from stream_app.stages import decisions
from stream_app.stages.decisions import Activated
from stream_app.stages.pipeline import Pipeline
from tests.stages.streams import bodies, channels, config, decoded, pipeline, raw, score_all


def test_the_engine_of_an_activation_is_written_down(model: Density) -> None:
    made = Pipeline(config(), 1)
    made.models.add(model.with_engine("torchscript"))
    made.open_score(0)
    decided = made.decide_activation(0, model.model_id)
    assert decided == Activated(0, 0, model.model_id, "torchscript")
    assert decoded(decisions.encode(decided)) == [decided]


def test_a_record_without_an_engine_is_still_read() -> None:
    line = b'{"type":"activation","partition":0,"pane_start_ms":0,"model_id":"m"}\n'
    assert decoded(line) == [Activated(0, 0, "m", "")]


def test_an_engine_written_down_anywhere_is_used_everywhere_but_ones_own_counts_first() -> None:
    said = [
        Activated(0, 0, "a", "fused"),
        Activated(1, 0, "a", "torchscript"),
        Activated(2, 0, "b"),
        Activated(2, 5, "b", "onnx"),
    ]
    assert decisions.engines_of(said, 0) == {"a": "fused", "b": "onnx"}
    assert decisions.engines_of(said, 1) == {"a": "torchscript", "b": "onnx"}
    assert decisions.engines_of(said, 3) == {"a": "fused", "b": "onnx"}


def test_a_model_keeps_its_engine_on_partitions_that_come_later(model: Density) -> None:
    made = pipeline(config(), [model], 2, [Activated(0, 0, model.model_id, "torchscript")])
    decided = made.decide_activation(1, model.model_id)
    assert decided is not None
    assert decided.engine == "torchscript"


def test_given_the_record_a_run_scores_with_its_engine(model: Density) -> None:
    """Made with TorchScript, repeated where the model was loaded with another: the same bytes."""
    values = bodies(3, 200, 6_000)
    given = [Activated(0, 0, model.model_id, "torchscript")]
    first = pipeline(config(), [model.with_engine("torchscript")], 1, given)
    replay = pipeline(config(), [model], 1, given)
    assert channels(score_all(replay, 0, values, [70]).messages) == channels(
        score_all(first, 0, values, [200]).messages
    )
    used = replay.models.by_decision([model.model_id], {model.model_id: "torchscript"})[model.model_id]
    assert used.engine.name == "torchscript"
    assert replay.models.substitutes == {}


def test_an_engine_that_is_not_here_is_told_and_another_scores(model: Density, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_: Flow) -> None:
        raise EngineError("cuda: PyTorch sees no CUDA device here")

    monkeypatch.setitem(ENGINES, "cuda", no)
    made = pipeline(config(), [model], 1, [Activated(0, 0, model.model_id, "cuda")])
    assert made.score(raw(0, bodies(3, 20, 6_000))).messages is not None
    assert made.models.substitutes == {(model.model_id, "cuda"): "cuda: PyTorch sees no CUDA device here"}
    assert made.models.by_decision([model.model_id], {model.model_id: "cuda"}) == {model.model_id: model}
