"""Lists that are longer than a page: incidents by what is asked for, slices by name. A page of them at a time."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TypeVar

from stream_app.console.asked import Incidents
from stream_app.console.rows import Row

SLICES_A_PAGE = 48
"""As many as people read through on a telephone, in two columns, before what stands below."""
INCIDENTS_A_PAGE = 50

T = TypeVar("T")


def folded(text: str) -> str:
    """A text as it is looked for: names are in this normal form (``schemas/names.py``)."""
    return unicodedata.normalize("NFC", text).casefold()


def page_of(rows: Sequence[T], page: int, size: int) -> tuple[list[T], int, int]:
    """A page of rows, its number (the last one where there are fewer) and how many there are."""
    pages = -(-len(rows) // size) or 1
    at = min(page, pages - 1)
    return list(rows[at * size : (at + 1) * size]), at, pages


def slices(rows: Sequence[Row], find: str, page: int) -> Row:
    """Slices with a part in their names, the worst first."""
    part = folded(find)
    found = [row for row in rows if part in row["folded"]] if part else rows
    shown, at, pages = page_of(found, page, SLICES_A_PAGE)
    kept = [{name: value for name, value in row.items() if name != "folded"} for row in shown]
    return {"slices": kept, "found": len(found), "page": at, "pages": pages}


def incidents(lines: Iterable[Row], asked: Incidents) -> Row:
    """Incidents that are meant: open ones first, the worst of these first; then past ones, the newest first."""
    part, name = folded(asked.find), folded(asked.slice)
    found = [line for line in lines if _is_meant(line, asked) and _says(line, part) and _names(line, name)]
    shown, at, pages = page_of(found, asked.page, INCIDENTS_A_PAGE)
    return {"incidents": shown, "found": len(found), "page": at, "pages": pages}


def _is_meant(line: Row, asked: Incidents) -> bool:
    is_open = line["end_ms"] is None
    return (
        asked.state in ("all", "open" if is_open else "past")
        and asked.severity in ("", line["severity"])
        and asked.kind in ("", line["kind"])
        and (asked.silenced or not line["silenced"])
        and line["since_ms"] < asked.to_ms
        and (is_open or line["end_ms"] >= asked.from_ms)
    )


def _says(line: Row, part: str) -> bool:
    return not part or any(part in folded(line[name]) for name in ("summary", "feature", "detector", "id"))


def _names(line: Row, part: str) -> bool:
    return not part or any(part in folded(place["slice"]) for place in line["names"])
