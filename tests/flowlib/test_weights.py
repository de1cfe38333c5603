"""Flows as they are stored: the same function as PyTorch's module, scored without PyTorch, and refused where wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flowlib import artifact, plain
from flowlib.artifact import Ed25519PrivateKey, pack
from flowlib.checks import loosened
from flowlib.density import Density
from flowlib.engines import EngineError, build
from flowlib.flows import FLOWS
from flowlib.layouts import LAYOUTS, MEMBERS
from flowlib.table import Table
from flowlib.weights import Weights
from tests.conftest import need
from tests.flowlib.conftest import draw
from tests.flowlib.engines.test_engines import flow_of, rows

SIZES = [(1, 0), (1, 2), (2, 1), (5, 3), (17, 2), (70, 1)]
OF_BLOCKS = sorted(LAYOUTS)


@pytest.mark.parametrize("family", OF_BLOCKS)
@pytest.mark.parametrize(("d", "context"), SIZES)
def test_a_family_has_the_layout_that_its_module_has(family: str, d: int, context: int) -> None:
    flow = FLOWS[family](d, context, torch.Generator().manual_seed(0), hidden=16)
    ours, its = Weights.of(family, flow).layouts, flow.layouts
    assert ours is not None
    assert its is not None
    assert [(block.bins, block.coupling) for block in ours] == [(block.bins, block.coupling) for block in its]
    for block, other in zip(ours, its, strict=True):
        np.testing.assert_array_equal(block.order, other.order)
        assert all(map(np.array_equal, block.masks, other.masks))


@pytest.mark.parametrize("family", [*OF_BLOCKS, "ensemble"])
@pytest.mark.parametrize(("d", "context"), SIZES)
def test_numpy_and_pytorch_say_the_same(family: str, d: int, context: int) -> None:
    """In double precision, far out too; splines at their ends."""
    flow, (x, c) = flow_of(family, d, context, 0.1), rows(60, d, context)
    x[:20] *= 20.0
    x[20], x[21] = 5.0, -5.0
    ours = Weights.of(family, flow).evaluate(x, c)
    with torch.no_grad():
        its = flow.double()(torch.from_numpy(x).double(), torch.from_numpy(c).double())
    for part, other in zip(ours, its, strict=True):
        np.testing.assert_allclose(part, other.numpy(), rtol=1e-8, atol=1e-8)


def test_members_of_an_ensemble_are_in_the_order_of_their_bits() -> None:
    flow = FLOWS["ensemble"](2, 0, torch.Generator().manual_seed(0), members=2 ** len(MEMBERS) - 1)
    assert [type(member) for member in flow.each] == [FLOWS[family] for family in MEMBERS]


WITHOUT_PYTORCH = """
import sys
import numpy as np
import stream_app.worker.agents
from flowlib import artifact
from flowlib.artifact import Ed25519PublicKey
from flowlib.table import Table

path, public, rows, out = sys.argv[1:]
model = artifact.read(path)
density = artifact.load(model, {model.key_id: Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))})
numbers = np.load(rows)
scores = density.score(Table.of(numbers, [["x"]] * len(numbers)))
np.savez(out, log_prob=scores.log_prob, p_value=scores.p_value, z=scores.z)
print(density.engine.name, *sorted({"torch", "sklearn", "pandas", "polars"} & set(sys.modules)))
"""


def test_a_worker_scores_a_stored_model_without_pytorch(density: Density, tmp_path: Path) -> None:
    """To the same bits: it is worth 180 MiB and a second of its start."""
    need("flowlib.engines._fused")
    key, table = Ed25519PrivateKey.generate(), draw(300, 5)
    artifact.save(pack(density, key), tmp_path / "m.model")
    np.save(tmp_path / "rows.npy", table.numeric)
    public = key.public_key().public_bytes_raw().hex()
    command = [sys.executable, "-c", WITHOUT_PYTORCH, "m.model", public, "rows.npy", "out.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fused\n", "")
    scores = density.score(Table.of(table.numeric, [["x"]] * len(table)))
    with np.load(tmp_path / "out.npz") as found:
        for name in ("log_prob", "p_value", "z"):
            np.testing.assert_array_equal(found[name], getattr(scores, name))


def test_a_kernel_that_differs_from_the_stored_weights_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    need("flowlib.engines._fused")
    weights = Weights.of("maf", flow_of("maf"))
    assert build(weights).name == "fused"
    run = plain.run
    monkeypatch.setattr(plain, "run", lambda *given: (run(*given)[0] + 0.01, run(*given)[1]))
    with pytest.raises(EngineError, match="fused and the flow differ by"):
        build(weights, "fused")


def _other_shape(arrays: dict[str, Any]) -> None:
    arrays["blocks.0.net.0.bias"] = arrays["blocks.0.net.0.bias"][1:]


def _other_type(arrays: dict[str, Any]) -> None:
    arrays["blocks.0.net.0.bias"] = arrays["blocks.0.net.0.bias"].astype(np.float64)


def _one_missing(arrays: dict[str, Any]) -> None:
    del arrays["blocks.1.net.2.weight"]


def _one_more(arrays: dict[str, Any]) -> None:
    arrays["more"] = np.zeros(1, np.float32)


@pytest.mark.parametrize("family", ["maf", "spline_coupling", "ensemble"])
@pytest.mark.parametrize("fault", [_other_shape, _other_type, _one_missing, _one_more])
def test_arrays_of_another_flow_are_refused(family: str, fault: Any) -> None:
    flow = loosened(FLOWS[family](3, 1, torch.Generator().manual_seed(0), blocks=2))
    arrays = flow.arrays
    prefix = "flows.1." if family == "ensemble" else ""
    of_one = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    fault(of_one)
    rest = {name: array for name, array in arrays.items() if prefix and not name.startswith(prefix)}
    wrong = rest | {prefix + name: array for name, array in of_one.items()}
    Weights(family, flow.hyperparameters(), arrays).check()
    with pytest.raises(ValueError, match="the weights are not those of"):
        Weights(family, flow.hyperparameters(), wrong).check()


def test_an_ensemble_with_more_than_its_members_is_refused() -> None:
    flow = FLOWS["ensemble"](3, 1, torch.Generator().manual_seed(0), blocks=2)
    arrays = flow.arrays | {"flows.9.blocks.0.net.0.bias": np.zeros(1, np.float32)}
    with pytest.raises(ValueError, match="an ensemble of these members"):
        Weights("ensemble", flow.hyperparameters(), arrays).check()


@pytest.mark.parametrize(
    ("family", "sizes", "kind"), [("nope", {}, KeyError), ("maf", {"wide": 3}, TypeError), ("maf", {}, TypeError)]
)
def test_an_unknown_family_or_size_is_refused(family: str, sizes: dict[str, int], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        Weights(family, sizes, {}).check()
