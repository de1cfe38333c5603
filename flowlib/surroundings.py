"""What else a process does with PyTorch does not change a model, and making a model changes nothing of that."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


def _one_thread() -> None:
    if "torch" in sys.modules:  # imported here it would cost a second, and most children have no use for it
        sys.modules["torch"].set_num_threads(1)


# OpenMP's threads do not come along into a forked child, where the first call that is shared out among them would wait
# for them for ever: a child of a process that has fitted or scored anything computes with its one thread.
os.register_at_fork(after_in_child=_one_thread)


def unshared() -> AbstractContextManager[object]:
    """A context in which neither scikit-learn's loops are shared out among OpenMP's threads, for the same reason, nor
    matrix products among those of BLAS: PyTorch's setting does not reach them. Products add up differently on several
    threads, and threads that wait for each other on a busy machine take forty times as long over small ones.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


@contextmanager
def undisturbed() -> Iterator[None]:
    """Gradients are recorded and numbers are float32, whatever the caller has set; torch's global random state (first
    weights are drawn from it before ours are) is afterwards as it was. A context, or a decorator.

    >>> import torch
    >>> with torch.inference_mode(), undisturbed():
    ...     torch.ones(1, requires_grad=True).sum().requires_grad
    True
    """
    import torch

    dtype = torch.get_default_dtype()
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
