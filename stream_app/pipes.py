"""Standard input and other pipes, as files: they can be read once, and commands read their input more than once.

A first reading looks for its fields and its order, a second one trains, a third one scores. So a pipe is kept in a
temporary file for as long as the command takes, which is bounded: it may not fill the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

from stream_app.errors import DriftflowError

SPARE = 0.1
"""Share of the temporary folder's disk that stays free."""
_CHUNK = 1 << 20
_SAID_FROM = 64 * _CHUNK
"""So many bytes take a while: from there on it is said what is waited for, each time that they have doubled."""


def keep(source: IO[bytes], path: Path, name: str, say: Callable[[str], object]) -> None:
    """Write all that a pipe brings into a file.

    Args:
        source: the pipe.
        path: the file, in a folder of its own.
        name: of the pipe, for people.
        say: takes a sentence now and then.

    Raises:
        DriftflowError: it does not fit on the disk.
    """
    taken, said, disk = 0, _SAID_FROM, shutil.disk_usage(path.parent)
    room = disk.free - round(SPARE * disk.total)
    with path.open("wb") as file:
        while chunk := source.read(_CHUNK):
            taken += len(chunk)
            if taken > room:
                raise DriftflowError(
                    f"{name} has brought more than the {max(room, 0) / 2**20:,.0f} MiB that are to spare in "
                    f"{path.parent.parent}, where it is kept, as it is read more than once: write it to a file and "
                    "name that, or set TMPDIR to a larger disk"
                )
            file.write(chunk)
            if taken >= said:
                said *= 2
                say(f"reading {name}, which is kept until the end, as it is read more than once: {taken >> 20:,} MiB")
