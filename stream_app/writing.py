"""Files that a command is asked to write: refused before the work where they cannot be, and with a sentence after it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.errors import DriftflowError


def check_writable(path: Path) -> None:
    """Before minutes of work: whether its result has a place to go to.

    Raises:
        DriftflowError: there is no such folder, or it does not let files in.
    """
    folder = path.parent
    if not folder.is_dir():
        raise DriftflowError(f"{path} cannot be written, there is no folder {folder}: make it, or name another")
    if path.is_dir():
        raise DriftflowError(f"{path} cannot be written, it is a folder: name a file in it")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise DriftflowError(f"{path} cannot be written, permission is denied: change that, or name another place")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Where a file is written: what the system says against it becomes a sentence.

    Raises:
        DriftflowError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise DriftflowError(f"{path} cannot be written, {why}: mend that, or name another place") from error
