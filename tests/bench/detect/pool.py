"""Streams side by side: each in a process of its own, with one thread for torch."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import torch

T, R = TypeVar("T"), TypeVar("R")


def each(function: Callable[[T], R], items: Sequence[T], jobs: int) -> list[R]:
    """``[function(item) for item in items]``, ``jobs`` at a time, with a line after each."""
    began_s, results = time.monotonic(), list[R]()
    run = partial(_alone, function)
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) if jobs > 1 else _Here() as pool:
        for number, result in enumerate(pool.map(run, items), 1):
            results.append(result)
            name = function.__module__.rsplit(".", 1)[-1]
            print(f"{time.monotonic() - began_s:6.0f} s  {name} {number} of {len(items)}", flush=True)
    return results


def _alone(function: Callable[[T], R], item: T) -> R:
    torch.set_num_threads(1)
    return function(item)


class _Here:
    """A pool without processes."""

    map = staticmethod(map)

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None: ...
