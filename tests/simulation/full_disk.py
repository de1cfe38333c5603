"""A disk that may be full, and that a process may die at: stands for the module ``os`` where files are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation.virtual import CURRENT

if TYPE_CHECKING:
    from tests.simulation.world import World


class Disk:
    """The disk that the workers share.

    Attributes:
        full_until_s: nothing can be written until then.
        full_at: kind of write and how many of them until one fails once; None for never.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.full_until_s = 0.0
        self.full_at: tuple[str, int] | None = None
        self.refused = 0

    def check(self, kind: str) -> None:
        """Whether there is room for a write; raises OSError where there is none."""
        if self.full_at is not None and kind.startswith(self.full_at[0]):
            self.full_at = (self.full_at[0], self.full_at[1] - 1)
            if self.full_at[1] < 0:
                self.full_at = None
                self._refuse()
        if self._world.loop.time() < self.full_until_s:
            self._refuse()

    def _refuse(self) -> None:
        self.refused += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class SimOs:
    """``os``, but that nothing waits for a disk, and that what a process writes is an effect of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, number: int) -> None:
        """What was written to a file is durable now. The name of the file is not known here."""
        self._write("write")

    def replace(self, source: Path, target: Path) -> None:
        """A file has its name now."""
        self._write(f"rename {Path(target).suffix}")
        os.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """The same, for a file that was not there."""
        self._write("link")
        os.link(source, target)

    def _write(self, kind: str) -> None:
        machine = CURRENT.get()
        if machine is not None:
            machine.effect(f"disk {kind}")
            machine.world.disk.check(f"disk {kind}")
