"""What each column is for: a number, a category, the id, a series; or for nothing, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from flowlib.table import Ints
from stream_app.event_files.amounts import amount
from stream_app.setup.columns import Column
from stream_app.setup.lifetimes import only_passes
from stream_app.setup.proposal import LeftOut
from stream_app.setup.relations import codes_of, follows, part_of_time, parts_of, parts_series, same_numbers
from stream_app.setup.times import NONE, TimeColumn, is_clock

CATEGORIES_MAX, NUMBERS_MAX = 40, 60
_LABELS_MAX = 50
_QUOTED_MAX = 12
_SLICES_MAX, _ROWS_A_SLICE = 10_000, 10
_SURE_SERIES = 0.8
_UNNAMED = re.compile(r'["\\\x00-\x1f]')
LABELS = frozenset(
    {"label", "labels", "target", "anomaly", "anomalies", "outlier", "fraud", "attack", "truth", "groundtruth"}
    | {"changepoint", "class", "y", "intrusion", "anomalous", "abnormal", "outliers", "attacks", "fraudulent"}
    | {"malicious", "churn", "churned", "defect", "defective", "failure", "spam"}
)
_IDS = frozenset({"id", "uuid", "guid", "key", "ref", "reference", "hash", "oid", "pk"})
_NAMING = _IDS | {"code", "zip", "postcode", "postal", "number", "no", "nr", "num", "zipcode"}
_CODES = frozenset(
    {"code", "type", "kind", "status", "state", "flag", "category", "mode", "season", "quality", "class", "weathersit"}
    | {"grade", "protocol", "method", "is", "has"}
)
_SERIES = frozenset(
    {"station", "sensor", "device", "host", "hostname", "site", "region", "series", "slice", "machine", "location"}
    | {"plant", "node", "service", "source", "channel", "store", "shop", "city", "country", "zone", "line", "asset"}
    | {"meter", "market", "group", "customer", "tenant", "account", "terminal", "experiment", "run", "instance"}
    | {"server", "pod", "app", "symbol", "ticker", "vehicle", "area", "building", "room", "farm", "turbine", "well"}
)

_RUNS = frozenset({"experiment", "run", "batch", "trial", "session", "cycle", "episode", "lot", "job", "trip", "test"})


@dataclass(slots=True)
class Roles:
    """Columns by what they are for.

    Attributes:
        numeric, categorical: names of features.
        series: fields that the rows may be parted by: name to how many values, the best first.
        sure: whether the first of them parts the rows for certain.
        id_field: name of the id, or "".
        labels: columns that say what somebody has found.
        always: columns that have had one value so far.
        left_out: the others, and those too.
        missing: words that stand for a missing number.
        as_text, partly_text: numbers of JSON that are written as text, always and at times.
        ambiguous: columns with texts such as ``1,234``.
    """

    numeric: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    series: dict[str, int] = field(default_factory=dict)
    sure: bool = False
    id_field: str = ""
    labels: list[str] = field(default_factory=list)
    always: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    as_text: list[str] = field(default_factory=list)
    partly_text: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)

    def leave(self, name: str, why: str) -> None:
        """Use a column for nothing."""
        self.left_out.append(LeftOut(name, why))


def roles_of(
    columns: Mapping[str, Column],
    time: TimeColumn,
    others: list[TimeColumn],
    runs: Ints,
    is_table: bool,
    sliced: str | None = None,
) -> Roles:
    """Give each column its role.

    Args:
        columns: of the sample, by name.
        time: the event time.
        others: other columns that hold times.
        runs: ``(n,)`` of the rows.
        is_table: whether values are cells of text.
        sliced: the field that somebody has said to part the rows by, "" for none; None where nobody has.
    """
    roles, naming = Roles(), list[Column]()
    numbers: list[Column] = []
    parts = parts_of(time.times_ms)
    times = {each.name for each in others if not each.format.startswith("epoch") or each.score > 1.5}
    for name, column in columns.items():
        if name == time.name:
            continue
        if is_label(column):
            roles.labels.append(name)
        elif why := _useless(column) or ("another time" if name in times or is_clock(column) else ""):
            roles.leave(name, why)
            if always_one(column):
                roles.always.append(name)
        elif _is_id(column) and not roles.id_field:
            roles.id_field = name
        elif part := part_of_time(column, time.times_ms, parts):
            roles.leave(name, f"only repeats {part}")
        elif column.is_number and not _names_things(column, is_table):
            numbers.append(column)
        else:
            naming.append(column)
    _choose_series(roles, naming, numbers, time, runs)
    _keep_numbers(roles, numbers, columns, time, is_table)
    if sliced is None:
        sliced = next(iter(roles.series), "") if roles.sure or series_are_named(roles, columns) else ""
    _keep_texts(roles, naming, columns, sliced)
    return roles


def is_label(column: Column) -> bool:
    """Whether a column says what somebody has found of a row, by its name and its few values."""
    return bool(column.words & LABELS) and 0 < column.distinct <= _LABELS_MAX


def always_one(column: Column) -> bool:
    """Whether a column has the same value in all rows so far, a text or a number."""
    return column.distinct == 1 and column.present > 0.5 * len(column.values)


def _useless(column: Column) -> str:
    """Why nothing can be made of a column; "" where something can."""
    n = len(column.values)
    if _UNNAMED.search(column.name.replace("\\\\", "").replace("\\.", "")) or "\\\\" in column.name:
        return "its name holds a quote, a backslash or a control character"
    if column.nested > 0.01 * max(column.present, 1):
        return "holds lists or objects of many depths"
    if not column.present:
        return "has no value"
    if column.distinct == 1:
        always = next(iter(column.counts))[:40]
        return f"is always {always}" if column.present > 0.5 * n else f"is {always} or missing"
    if column.present < 0.02 * n:
        return f"has a value in {column.present / n:.1%} of the rows only"
    return ""


def _is_id(column: Column) -> bool:
    """Whether it tells events apart: another value in each row, and a name or a look that says so."""
    if column.distinct < column.present or column.present < max(0.99 * len(column.values), 20):
        return False
    if column.is_number:
        return column.is_whole and bool(column.words & _IDS)
    looks = all(re.fullmatch(r"[0-9a-fA-F-]{16,64}", text) for text in list(column.counts)[:50])
    return not column.is_number and (bool(column.words & _IDS) or looks)


def _names_things(column: Column, is_table: bool) -> bool:
    """Whether whole numbers are names: of customers, of kinds."""
    if not column.is_whole or column.texts:
        return False
    quoted = not is_table and column.written > 0.99 * column.present
    if quoted and (column.distinct <= _QUOTED_MAX or column.words & (_SERIES | _NAMING)):
        return True  # who writes "3" where numbers can be written, of few such or of a station, means a name
    if column.distinct == 2 and set(column.counts) <= {"0", "1"}:
        return True
    if column.words & _NAMING and len(column.words & _NAMING) and not column.words & {"amount", "price", "count"}:
        return bool(column.words & _IDS) or column.distinct <= CATEGORIES_MAX
    return column.distinct <= CATEGORIES_MAX and bool(column.words & _CODES)


def _choose_series(roles: Roles, naming: list[Column], numbers: list[Column], time: TimeColumn, runs: Ints) -> None:
    """Which fields may part the rows: the one that time says so of first, then those with a telling name."""
    surely, maybe, others = list[Column](), list[Column](), list[Column]()
    for column in _without_passing(roles, naming, time):
        enough = column.present >= _ROWS_A_SLICE * column.distinct
        if column.booleans or not 2 <= column.distinct <= _SLICES_MAX or column.present < 0.99 * len(column.values):
            continue
        if set(column.counts) <= {"0", "1"}:
            continue
        if (
            parts_series(codes_of(column), time.times_ms, runs) >= _SURE_SERIES
            and column.present >= column.distinct * 3
        ):
            surely.append(column)
        elif enough:
            (maybe if column.words & (_SERIES | _IDS) else others).append(column)
    for column in numbers:  # a number of a machine or a run, where time says so
        whole = column.is_whole and 2 <= column.distinct <= 200 and column.words & (_SERIES | _IDS)
        if whole and parts_series(codes_of(column), time.times_ms, runs) >= _SURE_SERIES:
            surely.append(column)
    surely.sort(key=lambda column: (not column.words & _SERIES, -column.distinct))
    roles.sure = bool(surely)
    roles.series = {column.name: column.distinct for column in (*surely, *maybe, *others)}
    if surely and surely[0] in numbers:
        numbers.remove(surely[0])
        naming.append(surely[0])
    roles.series = roles.series if surely or maybe else dict(list(roles.series.items())[:5])


def _without_passing(roles: Roles, naming: list[Column], time: TimeColumn) -> list[Column]:
    """The columns without runs of one thing, such as experiments, of which none comes back, and without what only
    follows from these: they are used for nothing.
    """
    passing = [
        column
        for column in naming
        if 2 <= column.distinct <= _SLICES_MAX and only_passes(time.times_ms, codes_of(column))
    ]
    for run in [column for column in passing if column.words & _RUNS]:
        roles.leave(run.name, "its values come one after the other, and none that has passed comes back")
        naming.remove(run)
        for column in passing:
            if column in naming and follows(codes_of(column), codes_of(run)):
                roles.leave(column.name, f"follows from {run.name}")
                naming.remove(column)
    return list(naming)


def series_are_named(roles: Roles, columns: Mapping[str, Column]) -> bool:
    """Whether the first of the fields that may part the rows has a name that says so."""
    first = next(iter(roles.series), None)
    return first is not None and bool(columns[first].words & (_SERIES | _IDS))


def _keep_numbers(
    roles: Roles, numbers: list[Column], columns: Mapping[str, Column], time: TimeColumn, is_table: bool
) -> None:
    series = codes_of(columns[next(iter(roles.series))]) if roles.sure else None
    twins, kept = same_numbers(numbers), list[Column]()
    for column in numbers:
        if column.name in twins:
            roles.leave(column.name, f"says the same as {twins[column.name]}")
        elif series is not None and column.distinct > 1 and follows(codes_of(column), series):
            roles.leave(column.name, f"follows from {next(iter(roles.series))}")
        elif _only_grows(column, series, time.times_ms):
            roles.leave(column.name, "only ever grows, a counter: let the producer send its steps")
        else:
            kept.append(column)
    for column in _foremost(roles, kept):
        roles.numeric.append(column.name)
        roles.missing += [word for word in column.texts if word not in roles.missing]
        if column.written > 0.01 * column.present and not is_table:
            numbers_too = column.written + sum(column.texts.values()) < 0.99 * column.present
            (roles.partly_text if numbers_too else roles.as_text).append(column.name)
        if column.ambiguous:
            roles.ambiguous.append(column.name)


def _foremost(roles: Roles, kept: list[Column]) -> list[Column]:
    """Those that have most values and vary most, where there are too many for one model."""
    if len(kept) <= NUMBERS_MAX:
        return kept
    best = sorted(kept, key=lambda column: (-round(column.present / len(column.values), 2), -column.distinct))
    chosen = {column.name for column in best[:NUMBERS_MAX]}
    for column in kept:
        if column.name not in chosen:
            roles.leave(column.name, f"beyond the {NUMBERS_MAX} fullest numbers; name it in place of another")
    return [column for column in kept if column.name in chosen]


def _only_grows(column: Column, series: Ints | None, times: Ints) -> bool:
    known = ~np.isnan(column.numbers) & (times != NONE)
    if known.sum() < 50 or column.distinct < 0.2 * known.sum():
        return False
    group = series[known] if series is not None else np.zeros(int(known.sum()), np.int64)
    order = np.lexsort((np.arange(int(known.sum())), times[known], group))
    steps, same = np.diff(column.numbers[known][order]), np.diff(group[order]) == 0
    return bool(same.any() and np.mean(steps[same] >= 0) > 0.999 and np.mean(steps[same] > 0) > 0.2)


def _keep_texts(roles: Roles, naming: list[Column], columns: Mapping[str, Column], first: str) -> None:
    by_first = codes_of(columns[first]) if first in columns else None
    for column in naming:
        if column.name == first:
            continue
        if by_first is not None and follows(codes_of(column), by_first):
            roles.leave(column.name, f"follows from {first}")
            roles.series.pop(column.name, None)
        elif column.ambiguous > 0.5 * column.present:
            roles.leave(column.name, "has numbers such as 1,234, which may be a thousand or a decimal comma")
        elif column.amounts > 0.5 * column.present:
            such = next(text for text in column.texts if amount(text) is not None)
            roles.leave(column.name, f"has numbers such as {such!r} as text: let the producer send {amount(such)}")
        elif column.distinct <= CATEGORIES_MAX:
            roles.categorical.append(column.name)
        elif column.distinct > 0.9 * column.present:
            roles.leave(column.name, "is another text in nearly every row")
        else:
            roles.leave(column.name, f"names one of {column.distinct:,}; event.slicings may watch each")
