"""Whose keys there are: where each lies, what opens it, and who has to trust it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

from stream_app.config import Config
from stream_app.config.types import RoleName, read_secret
from stream_app.errors import ModelError
from stream_app.models.keys.files import Passphrase

OPERATOR_KEY = "keys/operator.pem"
OPERATOR_PASSPHRASE = "DRIFTFLOW_OPERATOR_PASSPHRASE"  # noqa: S105 - the variable's name


class Secret(NamedTuple):
    """Where a passphrase is: a file, relative to a folder, or an environment variable; both may be ""."""

    file: str
    variable: str
    root: str


@dataclass(frozen=True)
class Role:
    """Whose key it is.

    Attributes:
        name: of the role.
        private: file of its private key; the public half lies beside it.
        setting: which setting names the files that its public half must be in.
        trusted: these files.
        promoted: log of the stream's promotions, where this role signs models; it exists once the key has been used.
        secret: the settings of its passphrase; None where it comes from ``OPERATOR_PASSPHRASE``.
    """

    name: RoleName
    private: Path
    setting: str
    trusted: tuple[Path, ...]
    promoted: Path | None
    secret: Secret | None

    @property
    def public(self) -> Path:
        """File of the public half, beside the private key."""
        return self.private.with_suffix(".pub")

    @property
    def waiting(self) -> Path:
        """File of a private key that is to replace this one."""
        return self.private.with_name(f"{self.private.name}.next")

    @property
    def homes(self) -> list[Path]:
        """Files that belong to this role: the public one beside the private key, and those of the same name where
        others look for it: who reads these need not see the folder of the private one."""
        return list(dict.fromkeys((self.public, *(path for path in self.trusted if path.name == self.public.name))))

    def passphrase(self) -> Passphrase:
        """What opens the private key.

        Raises:
            ModelError: the settings name a passphrase, and there is none.
        """
        if self.secret is None:
            return Passphrase(
                f"the environment variable {OPERATOR_PASSPHRASE}", os.environ.get(OPERATOR_PASSPHRASE, "")
            )
        return Passphrase(f"{self.name}.passphrase_file or {self.name}.passphrase_env", self._read(self.secret))

    def _read(self, secret: Secret) -> str:
        try:
            text = read_secret(secret.file, secret.variable, secret.root)
        except OSError as error:
            why = f"{error.filename} cannot be read, {error.strerror}: put the passphrase of {self.private} there"
            raise ModelError(f"{self.name}.passphrase_file: {why}") from None
        if (secret.file or secret.variable) and not text:
            where = f"file: {secret.file} is empty" if secret.file else f"env: no variable {secret.variable} is set"
            raise ModelError(f"{self.name}.passphrase_{where}: put the passphrase of {self.private} there")
        return text


def role_of(config: Config, name: RoleName) -> Role:
    """A role as the configuration has it."""
    paths, worker, trainer = trusted_paths(config), config.worker, config.trainer
    if name == "worker":
        secret, setting = Secret(worker.passphrase_file, worker.passphrase_env, config.root), "trainer.trusted_keys"
        return Role(name, config.path(worker.signing_key), setting, paths[setting], None, secret)
    if name == "trainer":
        secret, setting = Secret(trainer.passphrase_file, trainer.passphrase_env, config.root), "state.trusted_keys"
        promoted = config.path(trainer.registry) / f"{config.stream}.jsonl"
        return Role(name, config.path(trainer.signing_key), setting, paths[setting], promoted, secret)
    setting = "alerts.trusted_keys"
    return Role(name, config.path(OPERATOR_KEY), setting, paths[setting], None, None)


def roles_of(config: Config) -> list[Role]:
    """Every role."""
    return [role_of(config, name) for name in get_args(RoleName)]


def trusted_paths(config: Config) -> dict[str, tuple[Path, ...]]:
    """The settings that name public files, and these files."""
    return {
        "state.trusted_keys": tuple(config.path(name) for name in config.state.trusted_keys),
        "trainer.trusted_keys": tuple(config.path(name) for name in config.trainer.trusted_keys),
        "alerts.trusted_keys": tuple(config.path(name) for name in config.alerts.trusted_keys),
    }
