"""Keeps the memory of a worker flat."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""As in glibc's ``malloc.h``."""

_LARGE_BYTES = 4_100_000
"""Pieces from this size on go back to the system when they are let go of: fetches, which are few. What is computed with
stays below it (16,000 rows of 32 columns are 4,096,000 bytes); the system takes a millisecond for each 3 MiB that it
hands out.
"""
_SPARE_BYTES = 16 * 1024 * 1024
"""What is kept at the end of the heap."""


def keep_flat() -> None:
    """Let all threads take memory from one place, and large pieces from the system; to be called before there is a
    second thread.

    glibc gives each thread that allocates an arena of its own, and what lies below the last piece in use of one stays
    there: what one thread reads another lets go of, so that eight million events left 85 MiB behind. Threads seldom
    wait for each other: those that allocate hold the interpreter's lock. Of another C library nothing is asked.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _SPARE_BYTES)
