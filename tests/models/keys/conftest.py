from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.config import Config
from tests.models.streams import config_in


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"
