"""A worker that is started before the trainer has ever run waits for its public key, as it waits for a first model.

On one machine people start both at once; in a cluster a volume with the key may come later than the process. Where
something ran before, a key that is not there was lost, and is not waited for (:mod:`~stream_app.models.keys.checks`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from stream_app.config import Config
from stream_app.models.keys.files import present
from stream_app.models.keys.roles import trusted_paths

log = logging.getLogger(__name__)

LOOK_S = 1.0
_AGAIN, _AGAIN_MAX = 30, 3_600
"""Looks until it is said a second time, and at most between two times: each pause is twice the one before."""


def wait_for_trusted(config: Config, pause: Callable[[float], None] = time.sleep) -> None:
    """Return once every file of ``state.trusted_keys`` is there; at once where this is no first start.

    Args:
        config: the stream.
        pause: waits for so many seconds.

    Raises:
        ModelError: whether a file is there cannot be told.
    """
    looks, again, due = 0, _AGAIN, 0
    while (path := _missing(config)) and not _ran_before(config):
        if looks >= due:
            log.warning(
                "Waiting for the trainer's public key, %s (state.trusted_keys): `driftflow trainer` writes it at its "
                "first start; where the trainer runs elsewhere, copy its .pub to this place. No model is believed "
                "before, and nothing is read",
                path,
            )
            due, again = looks + again, min(2 * again, _AGAIN_MAX)
        pause(LOOK_S)
        looks += 1
    if looks:
        log.info("The trainer's public key is here: starting")


def _missing(config: Config) -> Path | None:
    return next((path for path in trusted_paths(config)["state.trusted_keys"] if not present(path)), None)


def _ran_before(config: Config) -> bool:
    """Whether a worker has left its state here, or a trainer a model."""
    folder = config.path(config.state.dir)
    return (
        any((folder / name).exists() for name in _LEFT)
        or (config.path(config.trainer.registry) / f"{config.stream}.jsonl").exists()
    )


_LEFT = ("shape.json", "decisions.jsonl")
"""What every worker leaves in its folder."""
