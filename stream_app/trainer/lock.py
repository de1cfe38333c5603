"""One trainer a registry: two would both train, both promote, and count the same promotion twice."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.config import Config
from stream_app.disk import writing
from stream_app.errors import DriftflowError


@contextmanager
def sole_trainer(config: Config) -> Iterator[None]:
    """Hold ``{trainer.registry}/{stream}.lock`` until the block ends, or the process does, however it ends.

    Raises:
        DriftflowError: another trainer holds it; or the file cannot be written.
    """
    path = config.path(config.trainer.registry) / f"{config.stream}.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(file, path)
        yield
    finally:
        os.close(file)


def _take(file: int, path: Path) -> None:
    with writing(path):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 1_000).decode("utf-8", "replace").strip() or "it does not say who"
            raise DriftflowError(
                f"{path} is held by another trainer ({holder}): one trainer answers the requests of a registry; stop "
                "that one, or give this one a registry of its own (trainer.registry)"
            ) from None
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
