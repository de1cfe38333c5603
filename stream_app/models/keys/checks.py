"""What has to hold of the keys before a process starts, looked at beside the broker's preflight: a key that nobody
trusts otherwise shows only when every model or request is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from flowlib.artifact import key_id
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys.files import present
from stream_app.models.keys.private import private_key
from stream_app.models.keys.roles import Role, role_of, trusted_paths
from stream_app.models.keys.trust import Trust, trusted_keys

log = logging.getLogger(__name__)


def require_keys(config: Config, name: Literal["trainer", "worker"]) -> None:
    """Make the role's key where it has none yet, and check that whoever has to trust it does, as far as that can be
    seen from here; what cannot is noted in the log.

    Raises:
        ModelError: a key is missing, lost, damaged or revoked, others may write its file, or the role's own key is in
            none of the files that have to trust it.
        DriftflowError: a key cannot be written.
    """
    role = role_of(config, name)
    own = key_id(private_key(role).public_key())
    models, requests = trusted_keys(config), Trust.of_requests(config).keys()
    there = [path for path in role.trusted if present(path)]
    if there and own not in (models if name == "trainer" else requests):
        raise ModelError(_untrusted(role, own, there))
    if not models:
        raise ModelError(
            "every key of state.trusted_keys is revoked, so that no model is accepted: `driftflow keys rotate trainer` "
            "makes another; copy its public half here"
            if config.state.trusted_keys
            else "state.trusted_keys names no file, so that no model is accepted: name the trainer's public key there"
        )
    if name == "worker" and not Trust.of_actions(config).keys():
        files = ", ".join(map(str, trusted_paths(config)["alerts.trusted_keys"])) or "no file"
        log.info("No key of alerts.trusted_keys (%s) is here yet: what people say of incidents does not count", files)
    if not requests:
        files = ", ".join(map(str, trusted_paths(config)["trainer.trusted_keys"])) or "no file"
        log.warning("No key of trainer.trusted_keys (%s) is here yet: %s", files, _NOTES[name])


_NOTES = {
    "trainer": "no retrain request is honoured until the workers' public key is copied there; no restart is needed",
    "worker": "whether the trainer trusts the workers' key cannot be seen from here",
}


def _untrusted(role: Role, own: str, there: list[Path]) -> str:
    signed = "model" if role.name == "trainer" else "retrain request"
    return (
        f"the {role.name}'s key {own} ({role.private}) is in none of {', '.join(map(str, there))} ({role.setting}), so "
        f"that every {signed} it signs would be refused: name {role.public} there too, or add what is in it to one of "
        "them"
    )
