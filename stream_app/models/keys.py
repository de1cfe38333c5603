"""The keys that models are signed with and verified by."""

from __future__ import annotations

from flowlib import artifact
from stream_app.config.settings import Config
from stream_app.errors import ModelError


def trusted_keys(config: Config) -> dict[str, artifact.Ed25519PublicKey]:
    """The public keys whose models are accepted, by key id.

    Raises:
        ModelError: when a key file is missing or is no Ed25519 public key.
    """
    keys = {}
    for name in config.state.trusted_keys:
        path = config.path(name)
        if not path.exists():
            raise ModelError(
                f"state.trusted_keys: {path} does not exist; `driftflow trainer` writes one beside its signing key"
            )
        public = artifact.load_public_key(path)
        keys[artifact.key_id(public)] = public
    return keys


def signing_key(config: Config) -> artifact.Ed25519PrivateKey:
    """The trainer's key, made on first use. Its public half (``.pub``) is put beside it, and wherever ``state.trusted_keys``
    looks for a file of that name: the agents then need not see the folder of the private one.
    """
    path = config.path(config.trainer.signing_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = artifact.load_or_create_key(path)
    beside = path.with_suffix(".pub")
    wanted = [config.path(name) for name in config.state.trusted_keys]
    for public in (beside, *(other for other in wanted if other.name == beside.name)):
        if not public.exists():
            public.parent.mkdir(parents=True, exist_ok=True)
            public.write_bytes(artifact.public_key_pem(key.public_key()))
    return key
