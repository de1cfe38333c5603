"""One trainer a registry: two would both train, both promote, and count the same promotion twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stream_app.config import Config
from stream_app.disk import sole


@contextmanager
def sole_trainer(config: Config) -> Iterator[None]:
    """Hold ``{trainer.registry}/{stream}.lock`` until the block ends, or the process does, however it ends.

    Raises:
        DriftflowError: another trainer holds it; or the file cannot be written.
    """
    path = config.path(config.trainer.registry) / f"{config.stream}.lock"
    refusal = (
        "{path} is held by another trainer ({holder}): one trainer answers the requests of a registry; stop that one, "
        "or give this one a registry of its own (trainer.registry)"
    )
    with sole(path, lambda holder: refusal.format(path=path, holder=holder)):
        yield
