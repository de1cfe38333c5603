"""What was looked at: well, worth a look, or at fault; with what was found and what to do."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        about: what was looked at, in a word or two.
        state: how it stands.
        says: what was found, with figures.
        remedy: what to do; "" where nothing is.
    """

    about: str
    state: State
    says: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.state:<8}{self.about}: {self.says}{remedy}"


def ok(about: str, says: str) -> Finding:
    """All is well."""
    return Finding(about, "ok", says)


def warning(about: str, says: str, remedy: str = "") -> Finding:
    """It works, and somebody should look."""
    return Finding(about, "warning", says, remedy)


def fault(about: str, says: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(about, "fault", says, remedy)
