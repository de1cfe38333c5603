"""What the page asks for, read from the address: each parameter within bounds, and a sentence where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.bounds import MILLIS_MAX
from stream_app.errors import DriftflowError

TEXT_MAX = 300
"""Characters of something that is looked for; ids and names of slices may be longer."""

PAGES_MAX = 10_000

_CHOICES = {
    "state": ("all", "open", "past"),
    "severity": ("", "info", "warning", "critical"),
    "kind": ("", "drift", "fault"),
    "silenced": ("", "0", "1"),
}
_DAYS = "a date such as 2026-01-31, or a time such as 2026-01-31T14:00 (UTC)"


@dataclass(frozen=True, slots=True)
class Incidents:
    """Which incidents are meant; "" is every one.

    Attributes:
        state: ``all``, ``open`` or ``past``.
        severity, kind: as incidents have them.
        slice: part of the name of one of its slices.
        find: part of what it says, of its column or of its id.
        from_ms, to_ms: it was open at some time in ``[from_ms, to_ms)``.
        silenced: whether those that are silenced are meant too.
        page: which page of them, from 0 on.
    """

    state: str = "all"
    severity: str = ""
    kind: str = ""
    slice: str = ""
    find: str = ""
    from_ms: int = 0
    to_ms: int = MILLIS_MAX
    silenced: bool = True
    page: int = 0


def incidents(query: Mapping[str, str]) -> Incidents:
    """Read the question for a list of incidents.

    Raises:
        DriftflowError: a parameter is none, with all that are wrong.
    """
    faults: list[str] = []
    chosen = {name: _choice(query, name, faults) for name in _CHOICES}
    texts = {name: _text(query, name, faults) for name in ("slice", "find")}
    from_ms, to_ms = _moment(query, "from", 0, faults), _moment(query, "to", MILLIS_MAX, faults)
    number = _number(query, "page", faults)
    if not faults and to_ms <= from_ms:
        faults.append(f"to={query.get('to')} is not later than from={query.get('from')}")
    _refuse(faults)
    return Incidents(
        chosen["state"] or "all",
        chosen["severity"],
        chosen["kind"],
        texts["slice"],
        texts["find"],
        from_ms,
        to_ms,
        chosen["silenced"] != "0",
        number,
    )


def slices(query: Mapping[str, str]) -> tuple[str, int]:
    """Read the question for a list of slices: part of a name, and which page.

    Raises:
        DriftflowError: a parameter is none, with all that are wrong.
    """
    faults: list[str] = []
    found = _text(query, "find", faults), _number(query, "page", faults)
    _refuse(faults)
    return found


def _refuse(faults: list[str]) -> None:
    if faults:
        raise DriftflowError(f"this cannot be asked: {'; '.join(faults)}")


def _choice(query: Mapping[str, str], name: str, faults: list[str]) -> str:
    value = query.get(name, "")
    if value and value not in _CHOICES[name]:
        faults.append(f"{name} is one of {', '.join(word for word in _CHOICES[name] if word)}, not {_shown(value)}")
    return value


def _text(query: Mapping[str, str], name: str, faults: list[str]) -> str:
    value = query.get(name, "")
    if len(value) > TEXT_MAX:
        faults.append(f"{name} has {len(value):,} characters, {TEXT_MAX} are enough")
    return value


def _number(query: Mapping[str, str], name: str, faults: list[str]) -> int:
    value = query.get(name, "") or "0"
    if not (value.isascii() and value.isdecimal() and len(value) <= 6 and int(value) < PAGES_MAX):
        faults.append(f"{name} is a number from 0 to {PAGES_MAX - 1:,}, not {_shown(value)}")
        return 0
    return int(value)


def _moment(query: Mapping[str, str], name: str, absent: int, faults: list[str]) -> int:
    value = query.get(name, "")
    if not value:
        return absent
    try:
        moment = datetime.fromisoformat(value)
        found = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
    except (ValueError, OverflowError, OSError):
        faults.append(f"{name} is {_DAYS}, not {_shown(value)}")
        return absent
    if not 0 <= found <= MILLIS_MAX:
        faults.append(f"{name} lies between the years 1970 and 9999, not at {_shown(value)}")
    return found


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else f"{value[:40]}…")
