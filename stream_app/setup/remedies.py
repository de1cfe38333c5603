"""What to do about a source that has no time, or none in order: commands to copy where one helps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stream_app.setup.columns import Column
from stream_app.setup.sampling import Sample

_NAMED, _CHARS = 12, 60
_PARTS = ("year", "month", "day", "hour")


def names_of(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(name[:_CHARS] for name in names[:_NAMED]) + more


def no_time(columns: Mapping[str, Column], where: str, sample: Sample) -> str:
    """The sentence about a source without a field that says when."""
    said = f"{where} has no field that holds a time; it has {names_of(list(columns))}: "
    if sample.kind != "CSV":
        return said + "let the producer send one, as ISO 8601 or as seconds or milliseconds since 1970"
    split = split_time(list(columns))
    if split:
        return (
            f"{said}its parts stand in {', '.join(split)}: join them, {_joining(split, list(columns), where, sample)}"
        )
    parts = [name for name, column in columns.items() if column.words & {*_PARTS, "date"}]
    hint = f" (perhaps in {', '.join(parts[:4])}, in no form that is known here)" if parts else ""
    d, make = sample.delimiter, 'NR==1{print "row",$0;next}{print NR-2,$0}'
    return (
        f"{said}add one{hint}; where the rows are in order and as far apart as each other, number them, "
        f"{_reading(where)} | awk -v OFS='{d}' '{make}' > numbered.csv, and init that"
    )


def sorting(time_field: str, time_format: str, sample: Sample, where: str) -> str:
    """How to bring the rows into the order of their time: a command where texts in order are times in order."""
    how = f"sort the rows by {time_field}"
    if sample.kind != "CSV" or not time_format.startswith(("iso8601", "epoch", "%Y")):
        return how
    number, read = list(sample.rows[0]).index(time_field) + 1, _reading(where)
    order = f"sort -s -t'{sample.delimiter}' -k{number},{number}"
    return f"{how}, ({read} | head -1; {read} | tail -n +2 | {order}) > sorted.csv"


def joining_clock(date: str, clock: str, sample: Sample, where: str) -> str:
    """How to join a column of days and one of times of day: a command where the file is a table."""
    how = f"join {date} and {clock} in one field for panes of hours"
    if sample.kind != "CSV":
        return how
    names, d = list(sample.rows[0]), sample.delimiter
    cells = f'${names.index(date) + 1}" "${names.index(clock) + 1}'
    make = f'NR==1{{print "time",$0;next}}{{print {cells},$0}}'
    return f"{how}, {_reading(where)} | awk -F'{d}' -v OFS='{d}' '{make}' > timed.csv, and init that"


def split_time(names: list[str]) -> list[str]:
    """The columns of year, month, day and, where there is one, hour."""
    by_word = {name.lower(): name for name in names}
    found = [by_word[part] for part in _PARTS if part in by_word]
    return found if [name.lower() for name in found[:3]] == list(_PARTS[:3]) else []


def _joining(split: list[str], names: list[str], where: str, sample: Sample) -> str:
    cells = ", ".join(f"${names.index(name) + 1}" for name in split)
    form = "%04d-%02d-%02dT%02d:00" if len(split) == len(_PARTS) else "%04d-%02d-%02d"
    d = sample.delimiter
    make = f'NR==1{{print "time",$0;next}}{{print sprintf("{form}",{cells}),$0}}'
    return f"{_reading(where)} | awk -F'{d}' -v OFS='{d}' '{make}' > timed.csv"


def _reading(where: str) -> str:
    name = Path(where).name
    return f"zcat {name}" if name.endswith(".gz") else f"cat {name}"
