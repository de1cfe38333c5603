"""The embedded store, for those who only look at it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.sinks.upgrade import FORMER


def check_store(config: Config) -> None:
    """Raise DriftflowError where a stream's points are not in the embedded store, or it is not there yet."""
    if config.sink.kind != "sqlite":
        raise DriftflowError(
            f'the report is made from the embedded store, but sink.kind is "{config.sink.kind}": run a second worker '
            'with sink.kind = "sqlite" (infra/docker/console.toml)'
        )
    path = config.path(config.sink.path)
    if not os.path.lexists(path):
        raise DriftflowError(
            f"{path} cannot be read, it is not there: has a worker, or `driftflow score --store`, run?"
        )


@contextmanager
def open_store(path: Path) -> Iterator[sqlite3.Connection]:
    """Open read-only, with one picture of the store for all that is asked of it.

    Raises:
        sqlite3.DatabaseError: there is no such file or no table in it yet, somebody has locked it, or it is of the
            former layout.
    """
    # Reading beside a writer needs the writer's -wal and -shm files or the right to make them. In a folder that is
    # read-only (a volume mounted so) they are missing only when nobody writes: then the file alone is the whole store.
    alone = not path.with_name(path.name + "-wal").exists() and not os.access(path.parent, os.W_OK)
    uri = f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if alone else "")
    link = sqlite3.connect(uri, uri=True, timeout=1.0)
    link.text_factory = lambda text: text.decode(errors="replace")  # a row is damaged then, not the whole answer
    try:
        link.execute("BEGIN")
        if link.execute("PRAGMA user_version").fetchone()[0] == FORMER:
            raise sqlite3.DatabaseError(
                "it has the former layout, start a worker of this version to bring it up to date"
            )
        yield link
    finally:
        link.close()
