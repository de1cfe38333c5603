"""The small stream whose messages are damaged, made once a process."""

from __future__ import annotations

import pytest

from tests.hostile.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A stream with a model, keys and genuine messages of every kind."""
    return World(tmp_path_factory.mktemp("world"))
