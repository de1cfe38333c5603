"""Rotating and revoking keys where it is broken off half-way, or the disk is full."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowlib.artifact import key_id
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.models.keys import files as key_files
from stream_app.models.keys import signing_key
from stream_app.models.keys.commands import revoke_key, rotate_key
from tests.models.keys.asking import name_of, trusted
from tests.models.streams import config_in


class Break:
    """Lets the first ``n`` calls of the system that change files through, and fails the next one."""

    def __init__(self, patch: pytest.MonkeyPatch, n: int) -> None:
        self.left, self.broke = n, False
        for name in ("replace", "link", "fsync", "unlink", "fchmod"):
            patch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0 and not self.broke:
                self.broke = True
                raise KeyboardInterrupt
            return call(*args, **options)

        return watched


def broken_off_everywhere(
    tmp_path: Path, prepare: Callable[[Config], Any], command: Callable[[Config, Any], Any]
) -> Any:
    """Yield each outcome of a command that was broken off at one call of the system more each time."""
    for n in range(200):
        config = config_in(tmp_path / str(n))
        before = prepare(config)
        with pytest.MonkeyPatch.context() as patch:
            broken = Break(patch, n)
            with contextlib.suppress(KeyboardInterrupt):
                command(config, before)
        yield n, config, before, broken.broke
        if not broken.broke:
            return
    pytest.fail("the command never ends")


def test_a_rotation_that_is_broken_off_anywhere_loses_nothing_and_is_completed_by_another(tmp_path: Path) -> None:
    cases = broken_off_everywhere(
        tmp_path, lambda config: name_of(signing_key(config)), lambda config, _: rotate_key(config, "trainer")
    )
    count = 0
    for n, config, old, broke in cases:
        signs = name_of(signing_key(config))
        assert {old, signs} <= set(trusted(config)), f"after {n} calls"
        if broke:
            rotate_key(config, "trainer")
        held = trusted(config)
        assert held[0] == name_of(signing_key(config)) != old
        assert (len(held), held[-1]) == (2, old), f"after {n} calls: one rotation, however often it was given"
        assert not list((Path(config.root) / "keys").glob("*.next"))
        count += 1
    assert count > 10


def test_a_revocation_that_is_broken_off_anywhere_is_completed_by_another(tmp_path: Path) -> None:
    def prepare(config: Config) -> str:
        old = name_of(signing_key(config))
        rotate_key(config, "trainer")
        return old

    for n, config, old, _ in broken_off_everywhere(tmp_path, prepare, revoke_key):
        new = name_of(signing_key(config))
        assert new in trusted(config), f"after {n} calls"
        revoke_key(config, old)
        assert trusted(config) == [new]
        assert list(key_files.read_public(Path(config.root) / "keys" / "signing.pub")) == [new]


def test_what_cannot_be_written_is_a_sentence(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    signing_key(config)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for command in (lambda: rotate_key(config, "trainer"), lambda: revoke_key(config, key_id_of(config))):
        with pytest.raises(DriftflowError, match="cannot be written, no space left on device"):
            command()


def key_id_of(config: Config) -> str:
    return key_id(signing_key(config).public_key())
