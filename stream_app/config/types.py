"""Types of settings: sections, lengths of time, names, shares, and secrets that are kept elsewhere."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_LONGEST_MS = 2**53  # exact as a float64, and sums of two fit an int64
_NAME = r"^[a-zA-Z0-9._-]{1,200}$"

Name = Annotated[str, Meta(pattern=_NAME)]
OptionalName = Annotated[str, Meta(pattern=_NAME.replace("{1,", "{0,"))]
"""A name; empty, it follows from the stream's."""
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]
Positive = Annotated[int, Meta(ge=1)]
RoleName = Literal["trainer", "worker", "operator"]
"""Whose key it is."""
PromotionName = Literal["auto", "shadow", "approve"]
"""How a model enters service."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections."""


class Duration(int):
    """A length of time in milliseconds, written ``"90s"``, ``"6h"`` or ``"7d"``."""

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Parse ``"6h"``; raises ValueError with what would be right."""
        match = re.fullmatch(r"(\d+)\s*(ms|s|m|h|d|w)", text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'expected a duration such as "90s", "6h" or "7d", got {text!r}')
        length = int(match[1]) * _UNITS_MS[match[2]]
        if length > _LONGEST_MS:
            raise ValueError(f"expected at most {_LONGEST_MS // _UNITS_MS['w']:,} weeks, got {text!r}")
        return cls(length)

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self / 1000


def days(n: int) -> Duration:
    """A length of n days."""
    return Duration(n * _UNITS_MS["d"])


def nearest(text: str, names: Mapping[str, T], least: float = 0.6) -> T | None:
    """What stands under the name that is nearest to a text, whatever the case; None where none is near: by the share
    ``least`` of their letters that both have.
    """
    by_folded = {name.casefold(): found for name, found in names.items()}
    near = difflib.get_close_matches(text.casefold(), by_folded, 1, least)
    return by_folded[near[0]] if near else None


def read_secret(file: str, variable: str, root: str | Path) -> str:
    """A secret from its file (a relative one is taken from ``root``), else from its environment variable, else "".

    Raises:
        OSError: the file cannot be read, or holds no text.
    """
    if file:
        path = Path(root) / file
        try:
            return path.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise OSError(errno.EINVAL, "a secret is text in UTF-8, and this is not", str(path)) from None
    return os.environ.get(variable, "") if variable else ""
