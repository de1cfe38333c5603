"""One exception tree. Every message says what was wrong, where, and what to do.

::

    FlowlibError
    ├── ArtifactError   a model, or a key, whose bytes are not accepted
    ├── EngineError     an engine that is not available here, or whose results differ
    └── OtherRun        a checkpoint of another training run

A wrong argument and rows that cannot be used are a plain ValueError, as in NumPy and scikit-learn.
"""

from __future__ import annotations


class FlowlibError(Exception):
    """Base of every error that flowlib defines."""


class ArtifactError(FlowlibError):
    """A model or a key whose bytes are not accepted."""


class EngineError(FlowlibError):
    """An engine that is not available here, or does not agree with eager PyTorch."""


class OtherRun(FlowlibError):
    """The checkpoint belongs to another run: its rows, settings, seed or first weights differ."""
