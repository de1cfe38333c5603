"""What tests of keys ask about them."""

from __future__ import annotations

import msgspec
import pytest

from flowlib.artifact import Ed25519PrivateKey, key_id
from stream_app.config import Config
from stream_app.models.keys import Trust, request_key, signing_key
from stream_app.models.keys.listing import KnownKey, list_keys

ROLES = {"trainer": signing_key, "worker": request_key}
FILES = {"trainer": "signing", "worker": "worker"}
TRUSTS = {"trainer": Trust.of_models, "worker": Trust.of_requests}
EACH_ROLE = pytest.mark.parametrize("role", ROLES)


def name_of(key: Ed25519PrivateKey) -> str:
    """Id of a key."""
    return key_id(key.public_key())


def with_settings(config: Config, section: str, **settings: object) -> Config:
    """A configuration with some settings of a section changed."""
    changed = msgspec.structs.replace(getattr(config, section), **settings)
    return msgspec.structs.replace(config, **{section: changed})


def listed(config: Config) -> dict[str, KnownKey]:
    """The keys of a stream by their ids."""
    return {key.key_id: key for key in list_keys(config).keys}


def trusted(config: Config) -> list[str]:
    """Ids of the keys whose models are accepted, as the files are now."""
    return list(Trust.of_models(config).keys())
