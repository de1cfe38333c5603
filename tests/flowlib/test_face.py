"""What ``import flowlib`` offers: every public name, nothing else, and no library before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import flowlib


def run(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def test_the_face_is_exactly_what_is_public() -> None:
    names = flowlib.__all__
    assert names == sorted(names)
    assert dir(flowlib) == names
    values = [getattr(flowlib, name) for name in names]
    assert not any(isinstance(value, ModuleType) for value in values)
    public = {name for name, value in vars(flowlib).items() if name[0] != "_" and not isinstance(value, ModuleType)}
    assert public == set(names)


def test_type_checkers_see_the_same_names_in_the_same_modules() -> None:
    tree = ast.parse(Path(flowlib.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {str(node.module).removeprefix("flowlib."): tuple(alias.name for alias in node.names) for node in imports}
    assert seen == flowlib._MODULES
    assert sorted(name for names in seen.values() for name in names) == flowlib.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'flowlib' has no attribute 'Nothing'"):
        _ = flowlib.Nothing
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from flowlib import Nothing", {})


def test_the_headline_name_works_in_a_fresh_process() -> None:
    assert run("from flowlib import FlowDensity; print(FlowDensity.__module__)") == "flowlib.frames.estimator"


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        ("import flowlib", {"numpy", "torch", "sklearn", "scipy"}),
        ("import flowlib.table", {"torch", "sklearn", "scipy", "narwhals"}),
        ("from flowlib import Table", {"torch", "sklearn", "scipy", "narwhals"}),
        ("from flowlib import Density", {"sklearn", "scipy.stats", "narwhals", "pandas", "cryptography"}),
    ],
)
def test_a_library_is_imported_when_it_is_needed(line: str, absent: set[str]) -> None:
    loaded = run(f"{line}; import sys; print(*sorted({absent!r} & set(sys.modules)))")
    assert loaded == ""
