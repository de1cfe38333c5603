"""Keys where they belong, and a record of models that a crash cannot spoil."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import signing_key, trusted_keys
from stream_app.models.registry import Entry, Registry
from tests.worker.making import make_config


def stream(root: Path, key: str, trusted: list[str]) -> Config:
    config = make_config("127.0.0.1:1", "s")
    return msgspec.structs.replace(
        config,
        root=str(root),
        trainer=msgspec.structs.replace(config.trainer, signing_key=key),
        state=msgspec.structs.replace(config.state, trusted_keys=trusted),
    )


def test_the_public_key_alone_goes_where_the_agents_look(tmp_path: Path) -> None:
    config = stream(tmp_path, "private/signing.pem", ["public/signing.pub", "public/other.pub"])
    with pytest.raises(ModelError, match=r"public/signing\.pub does not exist"):
        trusted_keys(config)
    signing_key(config)
    assert [path.name for path in (tmp_path / "public").iterdir()] == ["signing.pub"], "nobody else's key is made up"
    assert stat.S_IMODE((tmp_path / "private" / "signing.pem").stat().st_mode) == 0o600
    before = (tmp_path / "public" / "signing.pub").read_bytes()
    signing_key(config)
    assert (tmp_path / "public" / "signing.pub").read_bytes() == before


def test_a_line_cut_short_by_a_crash_spoils_nothing(tmp_path: Path) -> None:
    config = stream(tmp_path, "keys/signing.pem", ["keys/signing.pub"])
    signing_key(config)
    registry = Registry(config)
    first, second = Entry("m1", "r1", 1), Entry("m2", "r2", 2)
    registry.promote(first)
    path = tmp_path / "models" / "s.jsonl"
    path.write_bytes(path.read_bytes() + b'{"model_id":"m9"')
    assert Registry(config).history() == [first]
    registry.promote(second)
    assert Registry(config).history() == [first, second]


def test_a_notice_is_kept_once(tmp_path: Path) -> None:
    config = stream(tmp_path, "keys/signing.pem", ["keys/signing.pub"])
    signing_key(config)
    notice = ModelNotice(
        stream="s",
        status="refused",
        model_id="m",
        parent_id="",
        request_id="r",
        created_ms=1,
        reason="too few rows",
        gates={},
        train_rows=0,
    )
    registry = Registry(config)
    for _ in range(2):
        registry.record(notice)
    assert registry.notices() == [notice]
