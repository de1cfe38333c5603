"""The examples in the docstrings say what happens."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = [path for top in ("schemas", "flowlib", "stream_app") for path in sorted((ROOT / top).rglob("*.py"))]
WITH_EXAMPLES = [module_of(path) for path in SOURCES if ">>> " in path.read_text()]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples() -> None:
    assert {"schemas", "flowlib.table", "stream_app", "stream_app.stages.windows"} <= set(WITH_EXAMPLES)
