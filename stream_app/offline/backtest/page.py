"""The page of a backtest: plain words first, then the picture, then figures. One file, no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence

from stream_app.offline.backtest.compare import Comparison, Side
from stream_app.offline.backtest.threads import Told
from stream_app.reporting import page as reporting
from stream_app.reporting.parts import Opening, Part, Picture, Pictures, Table, Text
from stream_app.terminal import utc

_SHOWN_MAX = 200


def sentences(comparison: Comparison) -> list[str]:
    """What a person wants to know, one sentence each."""
    service, others = comparison.service, comparison.others
    if comparison.equal:
        return ["With these rules people would have been told exactly the same."]
    found = [
        f"With these rules people would have been told of {_many(len(others.told), 'incident')} where they were told "
        f"of {len(service.told):,}, in {_many(_messages(others), 'message')} where there were {_messages(service):,}."
    ]
    if comparison.useful:
        n, missed = len(comparison.useful), sum(told is None for told in others.found)
        before = sum(told is None for told in service.found)
        found.append(f"Of {_many(n, 'thing')} known to matter they miss {missed:,}; the rules in service, {before:,}.")
        found += _sooner(comparison)
    noise = len(comparison.labels) - len(comparison.useful)
    if noise:
        found.append(
            f"Of {noise:,} that people called noise they tell {others.noise:,}, those in service {service.noise:,}."
        )
    return found


def _many(n: int, noun: str) -> str:
    return f"1 {noun}" if n == 1 else f"{n:,} {noun}s"


def _sooner(comparison: Comparison) -> list[str]:
    pairs = zip(comparison.delays_ms(comparison.service), comparison.delays_ms(comparison.others), strict=True)
    both = [(before, now) for before, now in pairs if before is not None and now is not None]
    if not both:
        return []
    later = sum(now > before for before, now in both)
    sooner = sum(now < before for before, now in both)
    return [f"Of those that both find they tell {sooner:,} sooner and {later:,} later."]


def _messages(side: Side) -> int:
    return sum(told.messages for told in side.told)


def page(stream: str, comparison: Comparison, picture: str) -> str:
    """The whole document; ``picture`` is inline SVG."""
    title = f"{stream}: other rules on the same history"
    span = f"{utc(comparison.span_ms[0], '%Y-%m-%d')} to {utc(comparison.span_ms[1], '%Y-%m-%d')}"
    about = f"{comparison.events:,} events, {span}. The code that judged them is that of the workers."
    parts = [
        Part("Over time", [Text(_OVER_TIME), Pictures([Picture(picture)], "wide")]),
        Part("Figures", [Table(("", "in service", "with these rules"), _figures(comparison))]),
    ]
    if comparison.labels:
        parts.append(
            Part("What is known", [Table(("what", "from", "in service", "with these rules"), _known(comparison))])
        )
    service, others = ({told.id: told for told in side.told} for side in (comparison.service, comparison.others))
    gone = [told for told in comparison.service.told if told.id not in others]
    new = [told for told in comparison.others.told if told.id not in service]
    for name, told in (("Only with these rules", new), ("Only with the rules in service", gone)):
        if told:
            parts.append(Part(name, [Table(("told", "severity", "what"), _rows(told), prose=True)]))
    return reporting.page(title, parts, Opening(sentences(comparison), about))


def _figures(comparison: Comparison) -> list[tuple[str, str, str]]:
    service, others = comparison.service.figures(), comparison.others.figures()
    names = {
        "incidents": "incidents",
        "incidents_per_month": "incidents a month",
        "messages_per_week": "messages a week",
        "single_events_per_week": "messages about single events a week",
        "open": "open at the end",
        "requests": "models asked for",
        "by_kind": "by kind",
        "by_severity": "by severity",
    }
    if comparison.labels:
        names |= {"missed": "missed of what is known to matter", "noise": "told of what is known to be noise"}
    return [(name, _plain(service[key]), _plain(others[key])) for key, name in names.items()]


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{n:,} {name}" for name, n in value.items()) or "none"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _known(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    service, others = (comparison.delays_ms(side) for side in (comparison.service, comparison.others))
    return [
        (label.name, utc(label.from_ms), _delay(before), _delay(now))
        for label, before, now in zip(comparison.useful, service, others, strict=True)
    ][:_SHOWN_MAX]


def _delay(delay_ms: int | None) -> str:
    return "missed" if delay_ms is None else f"after {delay_ms / 3_600_000:,.1f} h"


def _rows(told: Sequence[Told]) -> list[tuple[str, str, str]]:
    return [(utc(of.told_ms), of.severity, of.summary) for of in told[:_SHOWN_MAX]]


_OVER_TIME = (
    "Each bar is an incident, from when it began to when it ended; the tick is when people heard of it. Bands are "
    "what is known to matter."
)
