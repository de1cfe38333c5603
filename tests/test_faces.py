"""What ``import schemas`` and ``import stream_app`` offer: every public name and nothing else (flowlib has a test of
its own).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import schemas
import stream_app


@pytest.mark.parametrize("package", [schemas, stream_app])
def test_the_face_is_exactly_what_is_public(package: ModuleType) -> None:
    values = {name: getattr(package, name) for name in package.__all__}
    assert not any(isinstance(value, ModuleType) for value in values.values())
    public = {n for n, value in vars(package).items() if n[0] != "_" and not isinstance(value, ModuleType)}
    assert public == set(package.__all__)
    assert len(package.__all__) == len(set(package.__all__))


def test_everything_of_the_contract_is_on_its_face() -> None:
    """Records and codecs: what a module of schemas defines in public is public, the publishing of files apart."""
    folder = Path(schemas.__file__).parent
    defined = set()
    for module in ("records", "codecs", "incidents", "evidence"):
        for node in ast.parse((folder / f"{module}.py").read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
                defined.add(node.name)
    assert defined <= set(schemas.__all__)


def test_type_checkers_see_the_same_names_in_the_same_modules() -> None:
    tree = ast.parse(Path(stream_app.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {str(node.module).removeprefix("stream_app."): tuple(alias.name for alias in node.names) for node in imports}
    assert seen == stream_app._MODULES
    assert dir(stream_app) == stream_app.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'stream_app' has no attribute 'Nothing'"):
        _ = stream_app.Nothing


@pytest.mark.parametrize("line", ["import stream_app", "from stream_app import load", "from stream_app import Config"])
def test_a_configuration_is_read_without_torch_or_kafka(line: str) -> None:
    heavy = {"torch", "sklearn", "scipy", "faust", "kafka", "aiokafka"}
    code = f"{line}; import sys; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == ""
