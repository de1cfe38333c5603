"""A worker that is there before the trainer waits for its key, and says so now and then."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import require_keys, signing_key
from stream_app.models.keys.waiting import wait_for_trusted


def test_a_first_worker_waits_for_the_trainers_key_and_says_it_ever_less_often(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    waited = 0.0

    def pause(seconds: float) -> None:
        nonlocal waited
        waited += seconds
        if waited > 6 * 3_600:
            signing_key(config)

    wait_for_trusted(config, pause)
    said = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert 6 <= len(said) <= 14, "in six hours"
    public = config.path("keys/signing.pub")
    assert f"public key, {public} (state.trusted_keys): `driftflow trainer` writes it" in said[0].getMessage()
    assert caplog.messages[-1] == "The trainer's public key is here: starting"
    require_keys(config, "worker")


def test_nothing_is_waited_for_where_the_key_is_here(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    signing_key(config)
    wait_for_trusted(config, pytest.fail)
    assert not caplog.messages


@pytest.mark.parametrize("left", ["state/shape.json", "state/decisions.jsonl", "models/s.jsonl"])
def test_a_key_that_was_here_once_is_lost_and_not_waited_for(config: Config, left: str) -> None:
    path: Path = config.path(left)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    wait_for_trusted(config, pytest.fail)
    with pytest.raises(ModelError, match=r"signing\.pub does not exist; `driftflow trainer` writes"):
        require_keys(config, "worker")
