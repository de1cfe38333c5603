"""The C++ kernel: every path of this processor, sizes that do not fit its vectors, its program and its refusals."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch

from flowlib.engines import EngineError
from flowlib.engines.base import PARITY_NATS, gap_nats
from flowlib.engines.fused import Fused, fused, paths
from flowlib.engines.program import program
from flowlib.flows import FLOWS
from flowlib.flows.nets import masked_net
from flowlib.flows.stack import AutoregressiveBlock, Stack
from flowlib.flows.transforms import Affine, RationalQuadratic
from flowlib.layouts import autoregressive_masks
from tests.conftest import need
from tests.flowlib.engines.test_engines import SEED, flow_of, rows

native = need("flowlib.engines._fused")

STACKS = ["affine_coupling", "maf", "spline_autoregressive", "spline_coupling"]
SIZES = [(1, 0), (1, 2), (2, 1), (7, 0), (8, 3), (9, 1), (16, 0), (17, 5), (24, 1), (33, 2), (40, 0)]


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("family", STACKS)
@pytest.mark.parametrize(("d", "context"), SIZES)
def test_every_path_agrees_at_every_width(path: str, family: str, d: int, context: int) -> None:
    flow, (x, c) = flow_of(family, d, context, 0.05), rows(101, d, context)
    engine = Fused(flow, path)
    assert engine.path == path
    assert gap_nats(engine, flow, x, c).max() <= PARITY_NATS, f"seed {SEED}"


@pytest.mark.parametrize("path", paths())
@pytest.mark.parametrize("family", ["maf", "spline_autoregressive"])
def test_more_features_than_hidden_units_agree(path: str, family: str) -> None:
    """Degrees are spread then, and each block has its own."""
    flow = FLOWS[family](200, 3, torch.Generator().manual_seed(SEED), blocks=3, hidden=64).eval()
    x, c = rows(101, 200, 3)
    assert gap_nats(Fused(flow, path), flow, x, c).max() <= PARITY_NATS, f"seed {SEED}"


@pytest.mark.parametrize("family", STACKS)
def test_avx2_and_avx512_round_alike(family: str) -> None:
    if not {"avx2", "avx512"} <= set(paths()):
        pytest.skip("this processor has not both")
    flow, (x, c) = flow_of(family, 19, 2), rows(97, 19, 2)
    one, other = (Fused(flow, path)(x, c) for path in ("avx2", "avx512"))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_values_outside_of_a_splines_bound_stay() -> None:
    flow = flow_of("spline_coupling", 2, 0)
    flow.blocks = torch.nn.ModuleList(b for b in flow.blocks if isinstance(b.transform, RationalQuadratic))
    x = np.array([[5.0, -5.0], [5.5, -80.0], [1e30, -1e30]], np.float32)
    z, ladj = Fused(flow)(x, np.zeros((3, 0), np.float32))
    np.testing.assert_array_equal(z, x)
    np.testing.assert_array_equal(ladj, np.zeros_like(x))


def test_a_permuted_order_is_gathered() -> None:
    """Columns of one vector that are not neighbours are gathered: no family has such an order yet."""
    g, d = torch.Generator().manual_seed(3), 21
    order = torch.randperm(d, generator=g)
    masks = autoregressive_masks(order.numpy(), 1, 32, 2)
    blocks = [AutoregressiveBlock(masked_net(masks, g), Affine(), order) for _ in range(2)]
    flow, (x, c) = Stack.__new__(_Permuted), rows(50, d, 1)
    Stack.__init__(flow, d, 1, blocks, 32, 2)
    assert gap_nats(Fused(flow.eval()), flow, x, c).max() <= PARITY_NATS


class _Permuted(FLOWS["maf"]):  # type: ignore[misc]
    """A stack with blocks given to it."""


def test_hidden_units_come_sorted_so_that_zeros_lie_at_the_end() -> None:
    blocks = program(flow_of("maf", 8, 2))
    assert blocks is not None
    for block in blocks:
        for weight, _ in block.layers:
            used = [int(np.flatnonzero(row).max(initial=-1)) for row in weight[: len(weight) // 2]]
            assert used == sorted(used)


@pytest.mark.parametrize("family", ["mixture"])
def test_a_family_without_a_program_says_so(family: str) -> None:
    assert program(flow_of(family)) is None
    with pytest.raises(EngineError, match="no program"):
        fused(flow_of(family))


WITHOUT_MEMORY = """
import resource

import numpy as np

from flowlib.engines import _fused


def ones(*shape):
    return np.ones(shape, np.float32)


first, wide = np.zeros(1, np.int32), 3_000_000
block = "affine", (0, 0.0, 0.0, 0.0, 0.0, 0.0), first, first, [(ones(1, 1), ones(1)), (ones(2, 1), ones(2))]
big, small = _fused.Plan(1, wide, [block]), _fused.Plan(1, 0, [block])
context, x, z, ladj = np.zeros((1, wide), np.float32), ones(1, 1), ones(1, 1), ones(1, 1)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, -1))  # the wide plan's rows would take 1.1 GB
try:
    big.run(x, context, z, ladj)
except MemoryError:
    small.run(x, np.zeros((1, 0), np.float32), z, ladj)
    print("scored", z[0, 0], ladj[0, 0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_a_thread_scores_on_after_it_has_run_out_of_memory() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("scored"), "the wide plan fitted into memory"


def test_threads_score_at_the_same_time() -> None:
    engine, (x, c) = Fused(flow_of("spline_autoregressive")), rows(700)
    expected, results = engine(x, c), {}

    def score(i: int) -> None:
        results[i] = engine(x, c)

    threads = [threading.Thread(target=score, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for z, ladj in results.values():
        np.testing.assert_array_equal(z, expected[0])
        np.testing.assert_array_equal(ladj, expected[1])
    assert len(results) == 4


# Refusals -------------------------------------------------------------------------------------------------------------


def plan() -> Any:
    return Fused(flow_of("maf")).plan


def arrays(n: int = 4) -> list[Any]:
    x, c = rows(n)
    return [x, c, np.empty_like(x), np.empty_like(x)]


@pytest.mark.parametrize(
    ("place", "bad", "match"),
    [
        (0, np.zeros((4, 5)), "features must be float32"),
        (0, np.zeros((4, 6), np.float32), r"takes features, z and ladj \(n, 5\) and context \(n, 3\)"),
        (0, np.zeros(20, np.float32), "features must have two axes"),
        (0, np.zeros((5, 4), np.float32).T, "features must be an array in C order"),
        (1, np.zeros((3, 3), np.float32), "this plan takes"),
        (2, np.zeros((4, 5), np.int32), "z must be float32"),
        (3, np.zeros((4, 4), np.float32), "this plan takes"),
        (3, b"", "ladj must be a writable array"),
        (0, 3, "features must be an array in C order"),
    ],
)
def test_the_plan_refuses_other_arrays(place: int, bad: Any, match: str) -> None:
    arguments = arrays()
    arguments[place] = bad
    with pytest.raises(ValueError, match=match):
        plan().run(*arguments)


def test_the_plan_does_not_write_to_what_is_read_only() -> None:
    arguments = arrays()
    arguments[2].setflags(write=False)
    with pytest.raises(ValueError, match="z must be a writable array"):
        plan().run(*arguments)


def test_the_plan_refuses_a_wrong_number_of_arguments() -> None:
    with pytest.raises(TypeError, match="run takes"):
        plan().run(*arrays()[:3])


def block(**changes: Any) -> tuple[Any, ...]:
    """A sound block of one feature, with parts replaced."""
    one = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    two = np.ones((2, 1), np.float32), np.zeros(2, np.float32)
    parts = {
        "kind": "affine",
        "numbers": (0, 0.0, 0.0, 0.0, 0.0, 0.0),
        "inputs": np.zeros(1, np.int32),
        "features": np.zeros(1, np.int32),
        "layers": [one, two],
    } | changes
    return tuple(parts.values())


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kind": "cubic"}, "unknown transform cubic"),
        ({"inputs": np.full(1, 7, np.int32)}, "an input lies outside"),
        ({"features": np.full(1, -1, np.int32)}, "a feature lies outside"),
        ({"features": np.zeros(0, np.int32)}, "transforms no feature"),
        ({"layers": []}, "needs a hidden layer"),
        ({"kind": "spline"}, "spline bins"),
        ({"layers": [(np.ones((1, 2), np.float32), np.zeros(1, np.float32))] * 2}, "inputs are not as many"),
        ({"layers": [(np.ones((1, 1), np.float32), np.zeros(2, np.float32))] * 2}, "a bias has another shape"),
        ({"layers": [(np.ones((1, 1), np.float32), np.zeros(1, np.float32))] * 2}, "as many parameters"),
        ({"layers": [(np.ones((1, 1)), np.zeros(1, np.float32))] * 2}, "a weight must be float32"),
        ({"inputs": np.zeros(1)}, "inputs must be int32"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, Any], match: str) -> None:
    native.Plan(1, 0, [block()])
    with pytest.raises(ValueError, match=match):
        native.Plan(1, 0, [block(**changes)])


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no path sse9"):
        native.Plan(1, 0, [block()], "sse9")
