"""The sentence above everything else. It follows from what stands below it, figure by figure, and says no less.

Whatever is shown in colour is a *sign*: the page takes its colour from the sign's tone, and the verdict's tone is that
of the worst one. So neither can say that all is well while the other does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stream_app.console import threads
from stream_app.console.rows import Row
from stream_app.terminal import utc

NAMED = 3
"""Of things that are alike so many are named."""

_WORDS_MAX = 60
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}


class Sign(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        tone: ``info``, ``warning`` or ``critical``.
        about: the part of the page that shows it: ``slices``, ``features``, ``arrivals``, ``health`` or ``processes``.
        says: a sentence.
    """

    tone: str
    about: str
    says: str

    def row(self) -> Row:
        """As the page takes it."""
        return self._asdict()


def verdict(incidents: Row, signs: Iterable[Sign]) -> Row:
    """What people read first.

    Args:
        incidents: what :func:`stream_app.console.threads.headline` says of them.
        signs: everything else that is shown in colour.

    >>> verdict({"tone": "ok", "says": "No incident is open."}, [Sign("warning", "slices", "One slice …")])["says"]
    'No incident is open. But not all is as it should be.'
    """
    listed = sorted(signs, key=lambda sign: -threads.rank(sign.tone))
    tone, says = threads.worst([incidents["tone"], *(sign.tone for sign in listed)]), incidents["says"]
    if listed and incidents["tone"] in ("ok", "silenced"):
        says = f"{says} But not all is as it should be."
    return {"tone": tone, "says": says, "signs": [sign.row() for sign in listed]}


def of_slices(slices: Sequence[Row]) -> list[Sign]:
    """Slices that raise more alarms than promised, or fewer."""
    more, fewer = (
        sorted((row for row in slices if row["rate_tone"] == tone), key=lambda row: -float(row["off"][0]["times"]))
        for tone in ("warning", "info")
    )
    found = list[Sign]()
    if more:
        many = f"{len(more):,} slices raise" if len(more) > 1 else "One slice raises"
        names = _named([_slice_words(row) for row in more])
        found.append(Sign("warning", "slices", f"{many} more alarms than promised: {names}."))
    if fewer:
        many = f"{len(fewer):,} slices raise" if len(fewer) > 1 else "One slice raises"
        names = _named([_short(row["slice"] or "all") for row in fewer])
        found.append(Sign("info", "slices", f"{many} less than half of what was promised at some level: {names}."))
    return found


def _slice_words(row: Row) -> str:
    worst = row["off"][0]
    level = "" if worst["alpha"] == 0.01 else f" at p ≤ {100 * worst['alpha']:g} %"
    return f"{_short(row['slice'] or 'all')} {times(worst['times'])} times as many in {_span(worst['span'])}{level}"


def _span(span: str) -> str:
    """A length of time as people say it."""
    number, unit = span.rstrip("smhdw"), _UNITS.get(span[-1:], "")
    return f"{number} {unit}{'' if number == '1' else 's'}" if number.isdecimal() and unit else span


def times(value: float) -> str:
    """A ratio, in as many digits as people read."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def of_features(entries: Iterable[Row]) -> list[Sign]:
    """Columns whose values fall elsewhere than the model has predicted."""
    far = [entry for entry in entries if entry["tone"] != "ok"]
    if not far:
        return []
    names = _named([f"{_short(entry['feature'])} ({entry['moved']:.2f} of 1 from flat)" for entry in far])
    says = f"Values fall elsewhere than the model predicts, over all slices: {names}."
    return [Sign(threads.worst(entry["tone"] for entry in far), "features", says)]


def of_arrivals(partitions: Iterable[Row]) -> list[Sign]:
    """Source partitions of which more events are dropped than is tolerated."""
    bad = sorted((row for row in partitions if row["tone"] != "ok"), key=lambda row: -row["share"])
    if not bad:
        return []
    tone = threads.worst(row["tone"] for row in bad)
    names = _named([f"partition {_short(row['partition'])}, {dropped_words(row)}" for row in bad])
    return [Sign(tone, "arrivals", f"Events are dropped: {names}.")]


def dropped_words(row: Row) -> str:
    """How many of the last events of a partition were dropped, and why."""
    kinds = " and ".join(f"{row[kind]:,} {kind}" for kind in ("rejected", "late") if row[kind])
    return f"{kinds} of the last {row['events']:,} events"


def of_health(failing: Sequence[Row]) -> list[Sign]:
    """Parts of the processes that fail."""
    if not failing:
        return []
    names = _named([_short(row["part"]) for row in failing])
    many = "One part of the processes fails" if len(failing) == 1 else f"{len(failing):,} parts of the processes fail"
    return [Sign("warning", "health", f"{many}: {names}.")]


def of_processes(live: Row | None) -> list[Sign]:
    """What the workers of this machine say of themselves, or do not say any more; see :mod:`.live`."""
    if live is None:
        return []
    found = list[Sign]()
    if not live["alive"]:
        says = (
            f"No worker is alive: the last one wrote at {utc(live['at_ms'])} UTC, and nothing has been watched since."
        )
        found.append(Sign("warning", "processes", says))
    recent = live["recent"]
    if recent["tone"] != "ok":
        reasons = Counter[str](recent["reasons"]).most_common(NAMED)
        why = f" ({', '.join(f'{_short(reason)} {n:,}' for reason, n in reasons)})" if reasons else ""
        found.append(Sign(recent["tone"], "processes", f"Events are dropped now: {dropped_words(recent)}{why}."))
    if live["waits_for"]:
        says = f"Events wait for a model that is not here: {_named(live['waits_for'])}."
        found.append(Sign("warning", "processes", says))
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{'; '.join(names[:NAMED])}{more}"


def _short(name: str) -> str:
    return name if len(name) <= _WORDS_MAX else f"{name[: _WORDS_MAX - 1]}…"
