"""Everything that flowlib defines to be raised hangs on one tree."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import flowlib
from flowlib import errors

MODULES = [
    module.name
    for module in pkgutil.walk_packages(flowlib.__path__, "flowlib.")
    if not module.name.endswith(("._fused", "._gradients"))
]


@pytest.mark.parametrize("name", MODULES)
def test_every_exception_is_defined_in_the_tree(name: str) -> None:
    classes = [c for _, c in inspect.getmembers(importlib.import_module(name), inspect.isclass)]
    own = {c for c in classes if issubclass(c, BaseException) and c.__module__.startswith("flowlib.")}
    assert all(c.__module__ == "flowlib.errors" and issubclass(c, errors.FlowlibError) for c in own)


def test_the_docstring_draws_the_tree() -> None:
    words = [line.lstrip("│├└─ ").split(" ")[0] for line in str(errors.__doc__).splitlines()]
    defined = [name for name, value in vars(errors).items() if inspect.isclass(value)]
    assert [word for word in words if hasattr(errors, word)] == defined


def test_old_places_give_the_same_classes() -> None:
    from flowlib.artifact import ArtifactError
    from flowlib.engines import EngineError
    from flowlib.training import OtherRun

    assert (ArtifactError, EngineError, OtherRun) == (errors.ArtifactError, errors.EngineError, errors.OtherRun)
