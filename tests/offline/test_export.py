"""``driftflow export``: what is written computes what the model does; nothing unverified or imprecise is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from flowlib import artifact
from flowlib.density import Density
from flowlib.table import Table
from stream_app import cli, command_line
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.offline.export import export_model
from tests.conftest import need
from tests.flowlib.conftest import draw, fit
from tests.stages.streams import config as stream_config


@pytest.fixture(scope="module")
def density() -> Density:
    return fit(max_steps=40)


@pytest.fixture
def kept(tmp_path: Path, density: Density) -> tuple[Config, str]:
    """A registry that holds the model, and the model's id."""
    config = msgspec.structs.replace(stream_config(), root=str(tmp_path))
    made = artifact.pack(density, signing_key(config))
    Registry(config).save(made)
    return config, made.model_id


def outputs_of_onnx(path: Path, features: Any, context: Any) -> list[Any]:
    runtime = need("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {"features": features, "context": context}
    return session.run(["z", "ladj"], {wanted.name: given[wanted.name] for wanted in session.get_inputs()})


def categories(told: dict[str, Any], table: Table) -> Any:
    """Log probability of each row's categories, by the recipe."""
    total = np.zeros(len(table))
    for k, levels in enumerate(told["levels"]):
        place = [levels.index(name) if name in levels else len(levels) for name in table.categories[:, k]]
        total += np.array(told[f"level_log_prob.{k}"])[place]
    return total


def p_values(told: dict[str, Any], log_prob: Any, table: Table, category_log_prob: Any) -> Any:
    """By the recipe in the description, from nothing but what stands there."""

    def rarity(values: Any, reference: list[float]) -> Any:
        ref, n = np.array(reference), len(reference)
        above = (ref[None, :] > values[:, None]).sum(axis=1)
        beyond = np.maximum(values - ref[n - 1], 0) / (ref[n - 1] - ref[n // 2])
        return np.log1p(beyond) - np.log((1 + above) / (n + 1))

    squares = rarity(-log_prob, told["nll"]) ** 2
    for one, weight, reference in zip(told["beside"], told["weight"], told["distance"], strict=True):
        assert one["kind"] == "margins"
        centre, spread, scale = (np.array(one[name]) for name in ("centre", "spread", "scale"))
        far = np.arcsinh((table.numeric.astype(float) - centre) / spread) / scale
        distance = np.nansum(far**2, axis=1) / 2 - category_log_prob
        squares += (weight * rarity(distance, reference)) ** 2
    surprise = np.sqrt(squares)
    scores = np.array(told["scores"])
    p = np.array([(1 + (scores >= s).sum()) / (len(scores) + 1) for s in surprise])
    for row, name in enumerate(table.slices):
        if name in told["slices"]:
            h = np.exp(told["log_hazard"][told["slices"].index(name)])
            edges = np.append(0.0, np.cumsum(np.log(2) / h))[:-1]
            k = int((edges <= -np.log(p[row])).sum()) - 1
            p[row] = max(np.exp(-k * np.log(2) - (-np.log(p[row]) - edges[k]) * h[k]), 1 / (len(scores) + 1))
    return p


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_device_gets_the_models_scores_and_p_values(kind: str, kept: tuple[Config, str], density: Density) -> None:
    need("onnxscript")
    config, model_id = kept
    out = Path(config.root) / "flow.file"
    done = export_model(config, model_id, kind, out)
    said = json.loads(done.description.read_text())
    assert (said["model_id"], said["format"], said["columns"]) == (model_id, kind, ["a", "b", "c"])
    assert done.gap_nats <= 1e-4
    table = draw(30, 9)
    table.categories[:2, 0] = "never seen"
    encoded, expected = density.encoder.encode(table), density.score(table)
    for n in (30, 1):
        features, context = encoded.features[:n], encoded.context[:n]
        if kind == "onnx":
            z, ladj = outputs_of_onnx(out, features, context)
        else:
            loaded = torch.jit.load(str(out))
            z, ladj = (part.numpy() for part in loaded(torch.from_numpy(features), torch.from_numpy(context)))
        numeric = (ladj - 0.5 * z.astype(np.float64) ** 2 - 0.5 * np.log(2 * np.pi)).sum(axis=1)
        some = table.take(np.arange(n))
        whole = numeric + encoded.ladj[:n].sum(axis=1) + categories(said["encoder"], some)
        np.testing.assert_allclose(whole, expected.log_prob[:n], atol=1e-4)
        p_value = p_values(said["calibration"], whole, some, categories(said["encoder"], some))
        # A likelihood that differs in its last digits may pass a reference value or two.
        np.testing.assert_allclose(p_value, expected.p_value[:n], atol=2.5e-3)
    assert said["encoder"]["rare_levels"] == [0]
    assert said["calibration"]["scores"] == density.calibration.scores.tolist()
    assert said["calibration"]["nll"] == density.calibration.nll.tolist()


def test_a_whole_model_takes_raw_numbers_and_says_in_what_form(kept: tuple[Config, str], density: Density) -> None:
    runtime = need("onnxruntime")
    need("onnxscript")
    config, model_id = kept
    out = Path(config.root) / "model.onnx"
    with pytest.raises(ModelError, match="--whole goes with --format onnx, not torchscript"):
        export_model(config, model_id, "torchscript", out, whole=True)
    done = export_model(config, model_id, "onnx", out, whole=True)
    said, table = json.loads(done.description.read_text()), draw(30, 9)
    assert done.gap_nats <= 1e-4
    assert said["inputs"] == {"rows": ["n", 3], "levels": ["n", 1]}
    levels = [[said["levels"][0].index(name)] for name in table.categories[:, 0]]
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    log_prob, surprise, _ = session.run(said["outputs"], {"rows": table.numeric, "levels": np.array(levels)})
    expected = density.score(table)
    np.testing.assert_allclose(log_prob, expected.log_prob, atol=1e-4)
    assert np.median(np.abs(surprise - expected.surprise)) < 1e-6


def test_a_model_that_was_altered_is_not_exported(kept: tuple[Config, str]) -> None:
    config, model_id = kept
    path = Path(config.root) / "models" / f"{model_id}.model"
    blob = bytearray(path.read_bytes())
    blob[-5] ^= 1
    path.write_bytes(bytes(blob))
    out = Path(config.root) / "flow.onnx"
    for named in (model_id, str(path)):
        with pytest.raises(ModelError, match="truncated or altered"):
            export_model(config, named, "onnx", out)
    assert not out.exists()


def test_int8_is_written_with_its_error_or_refused_with_it(
    kept: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = need("flowlib.engines.onnx")
    need("onnxscript")
    config, model_id = kept
    out = Path(config.root) / "small.onnx"
    done = export_model(config, model_id, "onnx", out, int8=True)
    assert 0 < done.gap_nats <= onnx.INT8_NATS
    said = json.loads(done.description.read_text())
    assert said["rows"] == 1
    assert done.cost is not None
    assert said["cost"] == done.cost.to_state()
    assert done.cost.of.bytes == out.stat().st_size < done.cost.beside.bytes / 2
    assert 0 < done.cost.nats_mean <= done.cost.nats_worst
    assert 0 < done.cost.p_worst < 0.1
    out.unlink()
    monkeypatch.setattr(onnx, "INT8_NATS", 1e-9)
    with pytest.raises(ModelError, match=r"int8 is .* nats off on average, more than 1e-09"):
        export_model(config, model_id, "onnx", out, int8=True)
    assert not out.exists()


def test_a_whole_model_in_int8_gives_its_p_values_and_the_command_says_what_that_costs(
    kept: tuple[Config, str], density: Density, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = need("onnxruntime")
    need("onnxscript")
    config, model_id = kept
    monkeypatch.setattr(command_line, "load", lambda *_: config)
    out = Path(config.root) / "small.onnx"
    run = CliRunner().invoke(cli.main, ["export", model_id, "--whole", "--int8", "--out", str(out)])
    assert run.exit_code == 0, run.output
    told = " ".join(run.output.split())
    assert re.search(r"kB, [1-9][.\d]* times smaller than in float32; here a row alone takes \d+ µs", told)
    assert re.search(r"have p ≤ 0.01 \([.\d]+% to [.\d]+%\), by the model [.\d]+%", told)
    assert "it pays where bytes are short" in told or "it hardly pays: " in told
    said = json.loads(Path(f"{out}.json").read_text())
    assert (said["int8"], said["rows"]) == (True, 1)
    session, table = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"]), draw(20, 9)
    levels = density.encoder.encode(table).levels
    rows = [{"rows": table.numeric[i : i + 1].astype(float), "levels": levels[i : i + 1]} for i in range(20)]
    p_values = np.concatenate([session.run(["p_value"], row)[0] for row in rows])
    assert np.abs(p_values - density.score(table).p_value).max() < 0.1
    assert b"flowlib" not in out.read_bytes(), "nothing of where and by what it was exported"


def test_the_command_says_what_it_wrote_and_what_is_wrong(
    kept: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, model_id = kept
    monkeypatch.setattr(command_line, "load", lambda *_: config)
    out = str(Path(config.root) / "flow.pt")
    words = ["export", model_id, "--format", "torchscript", "--out", out]
    assert CliRunner().invoke(cli.main, words).exit_code == 0
    assert Path(out).exists()
    assert Path(f"{out}.json").exists()
    for wrong in ([*words, "--int8"], ["export", "0" * 16, "--out", out]):
        assert CliRunner().invoke(cli.main, wrong).exit_code == 1


def test_what_cannot_be_written_is_said_before_the_work_and_in_a_sentence_after(
    kept: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, model_id = kept
    monkeypatch.setattr(command_line, "load", lambda *_: config)
    nowhere = Path(config.root) / "no" / "such" / "flow.pt"
    run = CliRunner().invoke(cli.main, ["export", "no such model", "--format", "torchscript", "--out", str(nowhere)])
    assert run.exit_code == 1
    assert f"there is no folder {nowhere.parent}: make it" in run.output.replace("\n", "")
    out = Path(config.root) / "flow.pt"
    monkeypatch.setattr("stream_app.disk.secrets.token_hex", lambda _: "0")
    (Path(config.root) / "flow.pt.0.new").mkdir()
    run = CliRunner().invoke(cli.main, ["export", model_id, "--format", "torchscript", "--out", str(out)])
    assert run.exit_code == 1
    assert "cannot be written, file exists" in " ".join(run.output.split())
