"""Models on disk: one signed file each, and which of them is in service for a stream."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from flowlib import artifact
from flowlib.artifact import Artifact
from flowlib.density import Density
from stream_app.config import Config
from stream_app.errors import ModelError


class Entry(msgspec.Struct, frozen=True):
    """One promotion or roll-back, in order."""

    model_id: str
    request_id: str
    promoted_ms: int
    """Event time of the request."""


class Registry:
    """A folder of models. Everything read from it is verified first."""

    def __init__(self, config: Config) -> None:
        self._dir = config.path(config.trainer.registry)
        self._dir.mkdir(parents=True, exist_ok=True)
        self._trusted = trusted_keys(config)
        self._log = self._dir / f"{config.stream}.jsonl"

    def history(self) -> list[Entry]:
        """Promotions, oldest first."""
        if not self._log.exists():
            return []
        decoder = msgspec.json.Decoder(Entry)
        return [decoder.decode(line) for line in self._log.read_bytes().splitlines() if line]

    def current(self) -> Density | None:
        """The model in service, verified and ready to score; None before the first promotion."""
        history = self.history()
        return self.load(history[-1].model_id) if history else None

    def load(self, model_id: str) -> Density:
        """A model by id; raises ModelError."""
        return artifact.load(self.read(model_id), self._trusted)

    def read(self, model_id: str) -> Artifact:
        """A model's bytes, not yet verified; raises ModelError when there are none."""
        path = self._dir / f"{model_id}.model"
        if not path.exists():
            raise ModelError(f"no model {model_id} in {self._dir}: name another --models folder, or train it again")
        return artifact.read(path)

    def save(self, made: Artifact) -> None:
        """Keep a model's bytes."""
        artifact.save(made, self._dir / f"{made.model_id}.model")

    def promote(self, entry: Entry) -> None:
        """Write down that a model is in service from now on."""
        with open(self._log, "ab") as log:
            log.write(msgspec.json.encode(entry) + b"\n")
            log.flush()
            os.fsync(log.fileno())

    def ids(self) -> list[str]:
        """Every model kept, sorted."""
        return sorted(path.stem for path in self._dir.glob("*.model"))


def trusted_keys(config: Config) -> dict[str, artifact.Ed25519PublicKey]:
    """The public keys whose models are accepted, by key id.

    Raises:
        ModelError: when a key file is missing or is no Ed25519 public key.
    """
    keys = {}
    for name in config.state.trusted_keys:
        path = config.path(name)
        if not path.exists():
            raise ModelError(f"state.trusted_keys: {path} does not exist; `driftflow trainer` writes one beside its signing key")
        public = artifact.load_public_key(path)
        keys[artifact.key_id(public)] = public
    return keys


def signing_key(config: Config) -> artifact.Ed25519PrivateKey:
    """The trainer's key, made on first use, with its public half beside it (``.pub``)."""
    path = config.path(config.trainer.signing_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = artifact.load_or_create_key(path)
    public = Path(path).with_suffix(".pub")
    if not public.exists():
        public.write_bytes(artifact.public_key_pem(key.public_key()))
    return key
