"""What a silence may be about: checked as a whole before it is sent, with every reason at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

from stream_app.config import Config
from stream_app.config.registries import DETECTOR_KINDS
from stream_app.config.types import Duration, nearest
from stream_app.errors import DriftflowError
from stream_app.stages.score.event_time import date_ms

STRANGERS = "strangers"
"""Detector of JUDGE's own rule."""


@dataclass(frozen=True, slots=True)
class SilenceOptions:
    """As typed; see :class:`schemas.incidents.Action`.

    Attributes:
        from_time, to_time: what :func:`moment_ms` reads; ``to_time`` may be a length of time too.
    """

    from_time: str
    to_time: str
    why: str
    slices: tuple[str, ...] = ()
    channel: str = ""
    direction: str = ""
    below_sd: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """Of a silence, on the stream's time, half-open."""

    from_ms: int
    to_ms: int


def moment_ms(config: Config, text: str) -> int:
    """A time as people type it: ``now`` by the clock, or a date or time in ISO 8601, in the stream's zone where it
    names none.

    Raises:
        ValueError: it is none of these.
    """
    if text == "now":
        return time.time_ns() // 1_000_000
    try:
        return date_ms(config.event, text)
    except ValueError:
        raise ValueError(f"expected `now` or a time such as 2026-01-31T14:00, got {text!r}") from None


def checked_span(config: Config, options: SilenceOptions) -> Span:
    """When a silence holds.

    Raises:
        DriftflowError: with everything that is wrong with the silence, a line each.
    """
    faults = [fault for pattern in options.slices if (fault := _slice_fault(config, pattern))]
    faults += [fault for fault in (_channel_fault(config, options.channel), _why_fault(options.why)) if fault]
    times: dict[str, int] = {}
    for option in ("--from", "--to"):
        try:
            if option == "--from":
                times[option] = moment_ms(config, options.from_time)
            else:
                times[option] = _end_ms(config, options.to_time, times.get("--from", 0))
        except ValueError as error:
            faults.append(f"{option}: {error}")
    if len(times) == 2 and times["--to"] <= times["--from"]:
        faults.append(f"--to {options.to_time} is not later than --from {options.from_time}")
    if faults:
        raise DriftflowError("\n".join(["nothing is silenced:", *(f"  - {fault}" for fault in faults)]))
    return Span(times["--from"], times["--to"])


def _end_ms(config: Config, text: str, from_ms: int) -> int:
    """A time, or a length of time after another; raises ValueError."""
    try:
        return from_ms + Duration.parse(text)
    except ValueError:
        pass
    try:
        return moment_ms(config, text)
    except ValueError:
        given = f"got {text!r}" if text else "it is missing"
        raise ValueError(f"expected a time such as 2026-01-31T14:00, or a length of time such as 4h, {given}") from None


def _why_fault(why: str) -> str | None:
    return None if why.strip() else "--why is missing: whoever finds the silence wants to know"


def _slice_fault(config: Config, pattern: str) -> str | None:
    field, equals, value = pattern.partition("=")
    fields = list(dict.fromkeys(field for slicing in config.event.slicings for field in slicing))
    if not pattern.strip() or (equals and not value):
        return f"--slice {pattern!r} names no slice: give FIELD=VALUE or a name, * stands for anything"
    if not equals or field in fields:
        return None
    near = nearest(field, {name: name for name in fields})
    hint = f": did you mean {near}?" if near else f" ({', '.join(fields) or 'there are none'})"
    return f"--slice {pattern!r}: {field!r} is none of the fields that slices are made of{hint}"


def _channel_fault(config: Config, channel: str) -> str | None:
    columns = [*config.event.numeric, *config.event.categorical]
    detectors = [*DETECTOR_KINDS, STRANGERS]
    if channel in ("", *columns, *detectors):
        return None
    detector, _, rest = channel.partition(" ")
    if detector in detectors and (rest in columns or _is_pair(rest, columns)):
        return None
    known = detector in detectors
    near = nearest(rest if known else channel, {name: name for name in (columns if known else [*columns, *detectors])})
    hint = f"; did you mean {f'{detector} {near}' if known else near}?" if near else ""
    return f"--channel {channel!r} is no detector, no field, nor a detector and its fields{hint}"


def _is_pair(text: str, columns: list[str]) -> bool:
    return any(text == f"{one} {other}" for one in columns for other in columns)
