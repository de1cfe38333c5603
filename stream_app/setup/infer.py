"""From events to a configuration: which field says when, which are numbers, what parts the rows, how long panes are.

>>> rows = [{"at": f"2026-01-{d:02}T{h:02}:00", "x": d * h % 7 + h / 24} for d in range(1, 15) for h in range(24)]
>>> found = infer(rows, name="pumps")
>>> found.of("event.time_field"), found.of("event.numeric"), found.of("windows.pane")
('at', ['x'], '3h')
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stream_app.config import EventConfig
from stream_app.errors import DriftflowError
from stream_app.setup import notes, pacing, remedies
from stream_app.setup.columns import Column, columns_of
from stream_app.setup.pacing import Pace, in_words, written
from stream_app.setup.proposal import Choice, LeftOut, Proposal
from stream_app.setup.relations import codes_of, course
from stream_app.setup.roles import Roles, roles_of, series_are_named
from stream_app.setup.sampling import Sample, sample_of, sample_of_rows
from stream_app.setup.times import NONE, TimeColumn, of_format, time_columns
from stream_app.terminal import utc

__all__ = ["Choice", "LeftOut", "Proposal", "infer", "infer_sample", "stream_name"]

_CLOSE = 0.35
"""Two columns of times whose scores are nearer than this are both likely."""
_LISTED = 8
_COUNTING = frozenset(
    {"index", "row", "sample", "step", "seq", "sequence", "t", "tick", "cycle", "second", "seconds", "sec", "elapsed"}
    | {"time", "ts", "i", "n", "no"}
)
_COURSE = 0.05
"""Share of a number's variation from which on the model is told what it follows."""
_DEFAULT_MISSING = EventConfig(time_field="-", numeric=["-"]).missing_values


def infer(
    source: str | Path | Iterable[Mapping[str, Any]], *, name: str = "", given: Mapping[str, Any] | None = None
) -> Proposal:
    """Propose a configuration.

    Args:
        source: a file of events (CSV, JSON lines or Parquet, gzipped or not), or rows as name to value.
        name: of the stream (default: the file's).
        given: settings that somebody has decided already, by dotted key; the others follow from them.

    Raises:
        DriftflowError: it is no file of events, has no column with times or none with numbers; with what to do.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return infer_sample(sample_of(path), name or stream_name(path.name), given, where=str(path))
    return infer_sample(sample_of_rows(source), name or "events", given)


def stream_name(text: str) -> str:
    """A name for a stream, of a file's or a topic's.

    >>> stream_name("Air Quality 2013.csv.gz"), stream_name("orders.events")
    ('air-quality-2013', 'orders')
    """
    stem = re.sub(r"\.(csv|tsv|txt|json|jsonl|ndjson|parquet|pq)(\.gz)?$|\.gz$", "", text, flags=re.IGNORECASE)
    stem = re.sub(r"(?<=.)[._-]events?$", "", stem, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.")[:100] or "events"


@dataclass(slots=True)
class _Draft:
    """A proposal in the making."""

    given: Mapping[str, Any]
    choices: list[Choice] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def choose(self, key: str, value: Any, why: str, unsure: str = "", others: Sequence[Any] = ()) -> None:
        if key in self.given:
            value, why, unsure, others = self.given[key], "as you said", "", ()
        self.choices.append(Choice(key, value, why, unsure, tuple(others)))


def infer_sample(
    sample: Sample, name: str, given: Mapping[str, Any] | None = None, *, where: str = "the sample", live: bool = False
) -> Proposal:
    """Propose a configuration for a sample.

    Args:
        sample: rows.
        name: of the stream.
        given: as in :func:`infer`.
        where: what to call its source.
        live: whether it is a part of what comes, and not all that there is.
    """
    draft, is_table = _Draft(given or {}), sample.kind == "CSV"
    columns, runs = columns_of(sample.rows, is_table), np.array(sample.runs, dtype=np.int64)
    draft.choose("stream", name, "topics, models and files are named after it")
    time, others = _time(draft, columns, is_table, where, sample)
    told = draft.given.get("event.slicings")
    sliced = None if told is None else next((name for fields in told for name in fields), "")
    roles = roles_of(columns, time, others, runs, is_table, sliced)
    slicing = _slicing(draft, roles, columns)
    codes = codes_of(columns[slicing]) if slicing else np.zeros(len(runs), np.int64)
    pace = pacing.pace_of(time.times_ms, codes, runs, sample.seen, live)
    _tell_features(draft, roles, columns, where, live)
    _tell_windows(draft, pace, slicing, live)
    _tell_course(draft, columns, time)
    if live:
        draft.notes += notes.of_always(roles, columns)
    else:
        draft.notes += notes.of_order(pace, time, sample, where)
    if slicing and not live:
        draft.notes += notes.of_lives(time, codes, slicing)
    draft.notes += notes.of_columns(roles, columns, sample.twice)
    draft.notes += notes.of_rows(columns, sample, time, where)
    left_out = [
        *(
            LeftOut(label, "says what somebody has found: a model that sees it learns the answer")
            for label in roles.labels
        ),
        *roles.left_out,
    ]
    choices = tuple(sorted(draft.choices, key=lambda choice: "." in choice.key))
    return Proposal(choices, tuple(left_out), tuple(draft.notes), sample.seen, sample.kind, pace.from_ms, pace.to_ms)


# Time ------------------------------------------------------------------------------------------------------------


def _time(
    draft: _Draft, columns: Mapping[str, Column], is_table: bool, where: str, sample: Sample
) -> tuple[TimeColumn, list[TimeColumn]]:
    found = time_columns(list(columns.values()), is_table)
    chosen = draft.given.get("event.time_field")
    if chosen is not None and chosen not in columns:
        raise DriftflowError(f"{where} has no field {chosen!r}; it has {remedies.names_of(list(columns))}")
    time = next((each for each in found if chosen in (None, each.name)), None)
    if time is None and (chosen or not remedies.split_time(list(columns))):
        time = _counted(columns, chosen)
    if time is None:
        raise DriftflowError(remedies.no_time(columns, where, sample))
    if "event.time_format" in draft.given:
        told = draft.given["event.time_format"]
        time = TimeColumn(time.name, told, of_format(columns[time.name], told), (), time.has_clock, time.score)
    others = [each for each in found if each.name != time.name]
    _tell_time(draft, columns, time, others)
    return time, others


def _tell_time(draft: _Draft, columns: Mapping[str, Column], time: TimeColumn, others: list[TimeColumn]) -> None:
    good = time.times_ms[time.times_ms != NONE]
    if not len(good):
        raise DriftflowError(f"no value of {time.name!r} is a time as {time.format!r} writes it")
    first = next(str(value) for value in columns[time.name].values if value is not None)
    counted = time.score < 0
    likely = [each.name for each in others if each.score > time.score - _CLOSE]
    why = f"from {utc(int(good.min()))} to {utc(int(good.max()))}, such as {first[:40]!r}"
    if counted:
        why = f"no field holds a time of day; this one counts up, such as {first[:40]!r}"
    question = "Which field says when the event happened?" if likely else ""
    draft.choose("event.time_field", time.name, why, question, likely)
    ask = f"Is {first[:40]!r} written as {time.format} or as {time.others[0]}?" if time.others else ""
    if counted:
        draft.notes.append(
            f"no field holds a time of day: {time.name} counts up and is taken for seconds since 1970, so that panes "
            "and windows are numbers of rows; let the producer send a time"
        )
    draft.choose("event.time_format", time.format, _format_why(time), ask, time.others)


def _format_why(time: TimeColumn) -> str:
    known = {
        "iso8601": "as in 2026-01-31T12:00",
        "epoch_s": "seconds since 1970",
        "epoch_ms": "milliseconds since 1970",
        "epoch_us": "microseconds since 1970",
        "epoch_ns": "nanoseconds since 1970",
    }
    return known.get(time.format, "a strptime pattern that fits all of them")


def _counted(columns: Mapping[str, Column], chosen: str | None) -> TimeColumn | None:
    """A number that only grows with the rows, in the place of a time; None where there is none."""
    best: TimeColumn | None = None
    for name, column in columns.items():
        numbers = column.numbers
        usable = column.is_whole and not np.isnan(numbers).any() and len(numbers) > 20 and numbers[0] >= 0
        if not usable or (chosen or name) != name or not (chosen or column.words & _COUNTING):
            continue
        grows = bool(np.all(np.diff(numbers) >= 0)) and numbers[-1] < 4e9 and column.distinct > 0.05 * len(numbers)
        if grows and numbers[-1] - numbers[0] >= 20 and (best is None or column.distinct > columns[best.name].distinct):
            best = TimeColumn(name, "epoch_s", (numbers * 1000).astype(np.int64), (), True, -1.0)
    return best


# The rest of the event -------------------------------------------------------------------------------------------


def _slicing(draft: _Draft, roles: Roles, columns: Mapping[str, Column]) -> str:
    """The field of the first slicing, or ""."""
    listed = ", ".join(f"{name} ({n:,})" for name, n in list(roles.series.items())[:_LISTED])
    named = series_are_named(roles, columns)
    first = next(iter(roles.series), "") if roles.sure or named else ""
    values = [[[name]] for name in list(roles.series)[:_LISTED]]
    if roles.sure:
        why = f"times repeat over all rows, not within one of its {roles.series[first]:,} values"
        draft.choose("event.slicings", [[first]], why, "", [*values[1:], [[]]])
    elif first:
        why = f"each of its {roles.series[first]:,} values is watched by itself; may be: {listed}"
        draft.choose(
            "event.slicings", [[first]], why, "Watch the values of which field each by itself?", [*values[1:], [[]]]
        )
    else:
        why = "all events are one slice" + (f"; may be: {listed}" if listed else ", no field parts them")
        draft.choose("event.slicings", [[]], why, "", values)
    chosen = draft.choices[-1].value
    field_name = chosen[0][0] if chosen and chosen[0] else ""
    return field_name if field_name in columns else ""


def _tell_features(draft: _Draft, roles: Roles, columns: Mapping[str, Column], where: str, live: bool) -> None:
    sliced = {name for fields in _of(draft, "event.slicings") for name in fields}
    if not roles.numeric:
        flags = [name for name in roles.categorical if columns[name].is_number and name not in sliced]
        if not flags:
            raise DriftflowError(
                f"{where} has no field with numbers that tell anything ({_why_none(roles)}): driftflow watches "
                "numbers, and categories beside them"
            )
        roles.numeric, roles.categorical = flags, [name for name in roles.categorical if name not in flags]
    n = len(roles.numeric)
    always = [name for name in roles.always if live and not columns[name].booleans]
    numbers = [name for name in always if columns[name].is_number]
    others = [[*roles.numeric, *numbers]] if numbers else []
    draft.choose("event.numeric", roles.numeric, f"{n:,} field{'s' if n > 1 else ''} of numbers", "", others)
    categorical = [name for name in roles.categorical if name not in sliced]
    if categorical:
        each = ", ".join(f"{name} {columns[name].distinct}" for name in categorical[:_LISTED])
        texts = [name for name in always if name not in numbers]
        others = [[*categorical, *texts]] if texts else []
        draft.choose("event.categorical", categorical, f"different values: {each}", "", others)
    if roles.id_field:
        draft.choose("event.id_field", roles.id_field, "another value in each row: one that comes again is a duplicate")
    if roles.missing:
        told = ", ".join(map(repr, roles.missing))
        draft.choose(
            "event.missing_values", [*_DEFAULT_MISSING, *roles.missing], f"{told} stands where a number is missing"
        )
    if roles.as_text:
        why = "in the rows looked at these numbers come as text: so they are read, and nothing is told of it"
        draft.choose("event.policy", dict.fromkeys(roles.as_text, "text"), why)


def _why_none(roles: Roles) -> str:
    told = [f"{each.name} {each.why}" for each in roles.left_out[:4]]
    return "; ".join(told) or "only texts"


def _of(draft: _Draft, key: str) -> Any:
    return next((choice.value for choice in draft.choices if choice.key == key), None)


def _tell_windows(draft: _Draft, pace: Pace, slicing: str, live: bool) -> None:
    pane = pacing.pane_of(pace, live)
    of = f"a value of {slicing} has" if slicing else "there is"
    why = f"{of} an event every {in_words(pace.step_ms)}, and a pane wants some; all statistics go by it"
    draft.choose("windows.pane", written(pane), why)
    spans = pacing.spans_of(pane, pace, live)
    draft.choose("windows.spans", [written(span) for span in spans], "rolling windows of the console and the store")
    late = pacing.lateness_of(pace, pane)
    if late == 0:
        draft.choose("windows.lateness", "0s", "rows come in order of time")
    elif late <= 32 * pane:
        draft.choose(
            "windows.lateness", written(late), f"one row in a thousand comes {in_words(pace.late_ms)} late or more"
        )
    else:
        draft.choose("windows.lateness", "0s", "rows come in no order of time that waiting could mend")


def _tell_course(draft: _Draft, columns: Mapping[str, Column], time: TimeColumn) -> None:
    """Tell the model the hour or the weekday where numbers follow it: what is usual differs by it."""
    numbers = [columns[name] for name in _of(draft, "event.numeric") if name in columns]
    found = {kind: of for kind, of in course(numbers, time.times_ms).items() if of[1] > _COURSE}
    if found:
        told = " and ".join(
            f"the {kind} makes {share:.0%} of the variation of {of}" for kind, (of, share) in found.items()
        )
        draft.choose("model.context", list(found), told)
