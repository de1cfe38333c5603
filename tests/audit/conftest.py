"""A story, told once; each test has a copy of its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.stories import Story, answering, copied, silent, tell
from tests.trainer.conftest import Topics, topics
from tests.trainer.shadow.worlds import World, prepared, world

__all__ = ["answering", "prepared", "silent", "topics", "world"]

_TOLD: list[Story] = []


@pytest.fixture
def once(world: World, topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, not to be changed."""
    if not _TOLD:
        _TOLD.append(copied(tell(world, topics), tmp_path_factory.mktemp("told") / "stream"))
    return _TOLD[0]


@pytest.fixture
def told(once: Story, tmp_path: Path, answering: Callable[[Story], Story]) -> Story:
    """The story with its topics."""
    return answering(copied(once, tmp_path / "record"))
