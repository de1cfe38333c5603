"""How to reach a schema registry: the ``[schema_registry]`` section."""

from __future__ import annotations

from pathlib import Path

from stream_app.config.types import Duration, Section, read_secret


class SchemaRegistryConfig(Section, frozen=True):
    """Confluent's, or one that speaks its API: for ``event.format = "avro"``, and for signals. Secrets come from the
    environment or a file, never from this file."""

    url: str = ""
    """Its address, such as ``https://registry:8081``. Avro bodies then begin with its header, a zero byte and the id of
    the schema in four bytes. Each schema is fetched once and kept in ``state.dir``: a restart does without the
    registry."""
    signals: bool = False
    """Whether signals begin with that header too, for Confluent's JSON deserializers: worker and trainer register their
    JSON Schemas at each start, as subjects ``SIGNALS-TOPIC-TYPE``. driftflow reads signals with and without it."""
    username: str = ""
    """Who logs in (basic authentication)."""
    password_env: str = ""
    """Environment variable that holds the password; or give ``password_file``."""
    password_file: str = ""
    """File that holds the password; where both are given, the file counts."""
    token_env: str = ""
    """Environment variable that holds a bearer token, in the place of a user; or give ``token_file``."""
    token_file: str = ""
    """File that holds the token; where both are given, the file counts."""
    cafile: str = ""
    """Authorities that the registry's certificate is checked against (default: the system's)."""
    timeout: Duration = Duration(10_000)
    """Longest time of one question in all; 100ms to 1m. A registry that is away is asked again."""

    def password(self, root: str | Path = ".") -> str:
        """The password from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return read_secret(self.password_file, self.password_env, root)

    def token(self, root: str | Path = ".") -> str:
        """The token from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return read_secret(self.token_file, self.token_env, root)
