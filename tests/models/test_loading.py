"""What becomes a density of this stream, and the sentence where it does not."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib import artifact
from flowlib.artifact import Artifact
from flowlib.engines import EngineError
from stream_app.config import Config, Duration, ModelConfig, WindowsConfig
from stream_app.errors import ModelError
from stream_app.models.keys import signing_key, trusted_keys
from stream_app.models.loading import artifact_of, check_stream, columns_of, read_model, scored_by, verified
from tests.models.streams import config_in, density, notice_of


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def model(config: Config) -> Artifact:
    return artifact.pack(density(), signing_key(config))


def test_a_notice_carries_the_signed_bytes(config: Config, model: Artifact) -> None:
    parts = {"manifest": model.manifest, "tensors": model.tensors, "signature": model.signature, "key_id": model.key_id}
    notice = msgspec.structs.replace(notice_of(model.model_id), **parts)
    assert artifact_of(notice) == model
    assert verified(artifact_of(notice), trusted_keys(config)).model_id == model.model_id


def test_errors_of_flowlib_become_errors_of_ours(config: Config, model: Artifact) -> None:
    with pytest.raises(ModelError, match="do not match their signature"):
        verified(replace(model, tensors=model.tensors[:-1] + b"x"), trusted_keys(config))
    with pytest.raises(ModelError, match="not trusted here"):
        verified(model, {})


@pytest.mark.parametrize("kind", ["missing", "folder", "garbage"])
def test_a_file_that_holds_no_model_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.model"
    if kind == "folder":
        path.mkdir()
    elif kind == "garbage":
        path.write_bytes(b"garbage")
    with pytest.raises(ModelError, match=str(path)):
        read_model(path)


def test_a_model_of_another_stream_or_of_other_columns_is_not_accepted(config: Config) -> None:
    check_stream(density(), config)
    with pytest.raises(ModelError, match="made for stream 's', not 'other'"):
        check_stream(density(), config_in(Path(config.root), stream="other"))


@pytest.mark.parametrize(
    ("numeric", "categorical", "difference"),
    [
        (["y", "x"], [], "it has the same ones in another order, 'x', 'y'"),
        (["x"], [], "it has 'y' (numeric) besides"),
        (["x", "y", "z"], [], "it lacks 'z' (numeric)"),
        (["x"], ["y"], "'y' is numeric in it and categorical here"),
        (["x", "z\n"], ["c"], "it lacks 'z\\n' (numeric), 'c' (categorical); it has 'y' (numeric) besides"),
        (
            ["x", "y", *"abcdefgh"],
            [],
            "it lacks 'a' (numeric), 'b' (numeric), 'c' (numeric), 'd' (numeric), 'e' (numeric) and 3 more",
        ),
    ],
)
def test_a_model_for_other_columns_is_refused_in_one_sentence_that_tells_the_difference(
    config: Config, numeric: list[str], categorical: list[str], difference: str
) -> None:
    other = msgspec.structs.replace(config.event, numeric=numeric, categorical=categorical)
    with pytest.raises(ModelError) as refused:
        check_stream(density(), msgspec.structs.replace(config, event=other))
    assert str(refused.value) == f"its columns are not those of event.numeric and event.categorical: {difference}"


def test_the_columns_of_a_model_are_read_before_it_is_built(model: Artifact) -> None:
    assert columns_of(model) == (["x", "y"], [])
    for manifest in (b"", b"{}", b"\xff", b"[" * 100_000, b'{"encoder": {"numeric": "x", "categorical": []}}'):
        assert columns_of(replace(model, manifest=manifest)) == ([], [])


def test_a_model_that_does_not_say_what_is_normal_here_is_not_accepted(config: Config) -> None:
    two = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, slicings=[["station"], []]))
    with pytest.raises(ModelError, match=r"what is normal in 1 slicings, event\.slicings has 2"):
        check_stream(density(), two)
    with pytest.raises(ModelError, match="in 0 slicings"):
        check_stream(replace(density(), channels=None, references=()), config)
    other = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, slicings=[["x"]]))
    with pytest.raises(ModelError, match=r"made for the slicings \[\[\]\], not \[\['x'\]\]"):
        check_stream(density(), other)
    minutes = msgspec.structs.replace(config, windows=WindowsConfig(pane=Duration(60_000)))
    with pytest.raises(ModelError, match=r"panes of 3,600 s, windows\.pane is 60 s"):
        check_stream(density(), minutes)


def with_engine(config: Config, name: Any) -> Config:
    return msgspec.structs.replace(config, model=ModelConfig(engine=name))


def test_the_engine_of_the_configuration_scores(config: Config) -> None:
    assert scored_by(config, density()) is density()
    assert scored_by(with_engine(config, "torchscript"), density()).engine.name == "torchscript"


def test_where_the_engine_is_not_available_the_model_keeps_its_own_and_says_so(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise EngineError("no CUDA device here")

    monkeypatch.setattr(type(density()), "with_engine", refuse)
    with caplog.at_level(logging.WARNING):
        assert scored_by(with_engine(config, "cuda"), density()) is density()
    assert "instead of model.engine: no CUDA device here" in caplog.text
