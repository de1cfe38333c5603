"""Every setting says what it does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import fields

from stream_app.config import alerts, event, model, monitor, notify, schema_registry, settings, trainer, windows
from stream_app.config.types import Section


def own(kind: type[Section]) -> set[str]:
    """Names of the fields that a section has not from the one that it is made of."""
    return {field.name for field in fields(kind)} - {name for base in kind.__bases__ for name in base.__struct_fields__}


KINDS = [kind for part in (settings, notify) for kind in vars(part).values() if isinstance(kind, type)]
SECTIONS = list(dict.fromkeys(kind for kind in KINDS if issubclass(kind, Section) and kind is not Section))
NAMES = [f"{kind.__name__}.{field.name}" for kind in SECTIONS for field in fields(kind) if field.name in own(kind)]


def documented(source: str) -> Iterator[tuple[str, str]]:
    """``(Class.field, docstring)`` of each annotated field that a string literal follows."""
    for kind in ast.parse(source).body:
        if isinstance(kind, ast.ClassDef):
            for field, after in zip(kind.body, kind.body[1:], strict=False):
                text = after.value if isinstance(after, ast.Expr) else None
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield f"{kind.name}.{ast.unparse(field.target)}", text.value


PARTS = (settings, trainer, event, model, windows, alerts, monitor, notify, schema_registry)
WORDS = {k: v for part in PARTS for k, v in documented(Path(part.__file__).read_text())}


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_has_a_sentence_of_its_own(name: str) -> None:
    assert WORDS.get(name, "").strip().endswith("."), f"{name} needs a sentence below it"


def test_the_check_sees_what_is_there_and_what_is_not() -> None:
    assert len(NAMES) > 80
    assert WORDS.keys() <= set(NAMES)
    source = 'class A:\n    x: int = 1\n    """One."""\n    y: int = 2\n    z: int = 3\n    """Three."""\n'
    assert dict(documented(source)) == {"A.x": "One.", "A.z": "Three."}
