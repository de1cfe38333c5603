"""Every exception of the application hangs on one tree, which the docstring draws."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import stream_app
from stream_app import errors
from stream_app.errors import DriftflowError

MODULES = [module.name for module in pkgutil.walk_packages(stream_app.__path__, "stream_app.")]


def defined() -> set[type[Exception]]:
    """The exception classes that modules of the application define."""
    members = [inspect.getmembers(importlib.import_module(name), inspect.isclass) for name in MODULES]
    classes = {kind for module in members for _, kind in module if kind.__module__.startswith("stream_app.")}
    return {kind for kind in classes if issubclass(kind, Exception)}


def drawn() -> set[tuple[str, str]]:
    """``(class, its base)`` of each line of the drawing."""
    edges, bases = set[tuple[str, str]](), [""]
    for line in (errors.__doc__ or "").splitlines():
        branch, _, rest = line.partition("── ")
        if rest or line.strip() == DriftflowError.__name__:
            name, depth = (rest or line).split()[0], (len(branch) - 1) // 4 if rest else 0
            bases[depth:] = [name]
            edges.add((name, bases[depth - 1] if depth else "Exception"))
    return edges


def test_every_exception_is_a_driftflow_error() -> None:
    assert {kind for kind in defined() if not issubclass(kind, DriftflowError)} == set()


def test_the_docstring_draws_the_tree() -> None:
    assert drawn() == {(kind.__name__, (kind.__base__ or Exception).__name__) for kind in defined()}
