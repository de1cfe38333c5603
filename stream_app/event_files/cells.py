"""Cells of text as the values of a JSON object: the same events as the same rows on a topic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stream_app.config import EventConfig
from stream_app.config.field_names import literal
from stream_app.event_files.amounts import amount

_INT_MAX = 2**63 - 1
"""JSON writers and readers agree on whole numbers up to here; larger ones become floats."""


def cell_maker(name: str, event: EventConfig) -> Callable[[str], Any]:
    """A function from a cell of the column ``name`` to its value: null where it is missing, a number where it is one.

    Text stays text in the columns of ids, categories and slices, and so do times that are not numbers.
    """
    missing = frozenset(event.missing_values)
    if name == literal(event.time_field):
        is_text = not event.time_format.startswith("epoch")
    else:
        texts = {*event.categorical, *(field for fields in event.slicings for field in fields), event.id_field}
        is_text = name in map(literal, texts) and name not in map(literal, event.numeric)

    def text_or_null(cell: str) -> str | None:
        return None if cell.strip() in missing else cell

    def number_or_text(cell: str) -> float | int | str | None:
        if cell in missing:
            return None
        if "." not in cell and (whole := _whole(cell)) is not None:
            return whole
        try:
            number = float(cell)
        except ValueError:
            found = amount(cell)
            return text_or_null(cell) if found is None else found
        # Left as text it is reported instead of vanishing: JSON has no infinity, and only Python reads 1_000.
        return number if math.isfinite(number) and "_" not in cell else cell

    return text_or_null if is_text else number_or_text


def _whole(cell: str) -> int | None:
    try:
        whole = int(cell)
    except ValueError:
        return None
    return whole if -_INT_MAX <= whole <= _INT_MAX and "_" not in cell else None
