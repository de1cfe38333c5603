"""What else a process does with PyTorch: it changes no model, and no model changes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from flowlib import FlowDensity, artifact
from flowlib.attack import Box, descend
from flowlib.surroundings import unshared
from flowlib.table import Floats, Table
from tests.flowlib.test_artifact import KEY, TRUSTED

X = np.random.default_rng(3).standard_normal((300, 3))


def model() -> FlowDensity:
    return FlowDensity(max_steps=20).fit(X)


@pytest.fixture(scope="module")
def usual() -> Floats:
    return model().score_samples(X)


@contextmanager
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SURROUNDINGS = pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, doubles])


@SURROUNDINGS
def test_a_fit_is_the_same_whatever_surrounds_it(
    around: Callable[[], AbstractContextManager[None]], usual: Floats
) -> None:
    with around():
        density = model()
    assert np.array_equal(density.score_samples(X), usual)
    again = density.density_
    with around():
        assert np.array_equal(density.score_samples(X), usual)
        drawn = density.sample(5, random_state=1)
        rebuilt = artifact.load(artifact.pack(again, KEY), TRUSTED)
        moved = descend(again, Table.of(X[:5]), Box.of(again, Table.of(X), 0.5), 0.01)
    assert np.array_equal(density.sample(5, random_state=1), drawn)
    assert np.array_equal(rebuilt.score(Table.of(X)).log_prob, usual)
    plainly = descend(again, Table.of(X[:5]), Box.of(again, Table.of(X), 0.5), 0.01)
    assert np.array_equal(moved.numeric, plainly.numeric)


def test_a_fit_leaves_the_random_numbers_of_others_alone(usual: Floats) -> None:
    before = torch.get_rng_state()
    torch.manual_seed(17)
    held = torch.get_rng_state()
    density = model()
    density.sample(3)
    assert torch.equal(torch.get_rng_state(), held)
    assert np.array_equal(density.score_samples(X), usual)
    torch.set_rng_state(before)


FORKED = """
import os
import numpy as np, torch
import flowlib.density
torch.set_num_threads(2)
numbers = torch.ones(1_000_000)
numbers.exp()  # the threads are there from now on
pid = os.fork()
if pid == 0:
    numbers.exp()
    os._exit(17)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), torch.get_num_threads())
"""


def test_a_forked_child_computes_after_its_parent_has() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["17", "2"], done.stderr


FITTED = """
import os
import numpy as np
from flowlib import FlowDensity

x = np.random.default_rng(0).standard_normal((3_000, 6))
for flow in ("maf", "mixture"):
    model = FlowDensity(flow, max_steps=10).fit(x)
    pid = os.fork()
    if pid == 0:
        same = FlowDensity(flow, max_steps=10).fit(x).decision_function(x) == model.decision_function(x)
        os._exit(17 if same.all() else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_forked_child_fits_after_its_parent_has() -> None:
    """With all threads that there are, those of scikit-learn's loops too."""
    free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", FITTED], capture_output=True, text=True, timeout=120, env=free)
    assert done.stdout.split() == ["17", "17"], done.stderr


def test_products_of_a_mixture_do_not_depend_on_the_number_of_threads() -> None:
    """Several threads add up otherwise: of 3,000 rows of 20 columns two gave another mixture than one."""
    with threadpool_limits(2), unshared():
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
