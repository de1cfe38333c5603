"""What is written in C++ for speed; whoever uses it has a form in NumPy beside it that gives the same, to the last bit.

``loops``: loops over rows that take NumPy many passes, see ``_loops.pyi``; None where no compiler was there when it
was installed.
"""

from __future__ import annotations

from types import ModuleType

loops: ModuleType | None
try:
    from flowlib.native import _loops as loops
except ImportError:
    loops = None
