"""Memory of a worker: one arena for all threads, and large pieces of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import ctypes, threading
from stream_app.worker.memory import keep_flat
keep_flat()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
threads = [threading.Thread(target=libc.malloc, args=(100_000,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
large = libc.malloc(3 * 1024 * 1024)
file = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no arenas")
def test_all_threads_share_one_arena_and_large_pieces_have_none() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("<heap nr=") == 1, done.stdout
    mapped = [line for line in done.stdout.splitlines() if 'type="mmap"' in line]
    assert mapped
    assert 'count="0"' not in mapped[0], done.stdout
