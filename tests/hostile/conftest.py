"""The small stream whose messages are damaged, and the example's models, each made once a process."""

from __future__ import annotations

import pytest

from tests.hostile.world import World
from tests.integration.conftest import example, models

__all__ = ["example", "models", "world"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stream with a model, keys and genuine messages of every kind."""
    return World(tmp_path_factory.mktemp("world"))
