"""The page of a run: a verdict first, then each incident with what was seen and expected, rates, calibration, drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flowlib.intervals import wilson
from flowlib.table import DAY_MS
from schemas.incidents import Incident
from schemas.pane_layout import ALPHAS
from stream_app.event_files import Report
from stream_app.incident_lines import KINDS, bounded, is_over, newest, open_first
from stream_app.offline.report import drawing
from stream_app.offline.report.curves import Curve
from stream_app.offline.report.rates import Rates, scored_alarms, shares
from stream_app.offline.signals import Signals
from stream_app.offline.summary import Scored
from stream_app.reporting.page import page
from stream_app.reporting.parts import Bar, Bars, Block, Facts, Legend, Opening, Part, Picture, Pictures, Table, Text
from stream_app.terminal import utc

INCIDENTS_DRAWN = 12
_LISTED = 200
_FINDINGS = 5
_BARS = 24
_REASONS = 20
_WEEKS_FROM_DAYS = 120
_MEANT = 0.01
_LEGEND = Legend(
    [
        ("model", "seen, on average"),
        ("data", "usual for the hour, as the model has learned it"),
        ("band", "where two of three single values usually lie"),
        ("warning", "the incident"),
    ]
)


@dataclass(frozen=True)
class Found:
    """All that a run has found.

    Attributes:
        curves: incident to what it was seen by.
    """

    stream: str
    scored: Scored
    signals: Signals
    rates: Rates
    report: Report
    curves: Mapping[str, Curve]


def incidents_drawn(signals: Signals) -> list[Incident]:
    """Those that get a picture: open ones first."""
    return open_first(newest(signals.messages).values())[:INCIDENTS_DRAWN]


def report_page(found: Found) -> str:
    """The whole document."""
    incidents = open_first(newest(found.signals.messages).values())
    parts = [_incident(incident, found) for incident in incidents[:INCIDENTS_DRAWN]]
    if len(incidents) > INCIDENTS_DRAWN:
        parts.append(_others(incidents[INCIDENTS_DRAWN:]))
    parts += [_over_time(found, incidents), _slices(found), _calibration(found), _dropped(found)]
    opening = Opening(_verdict(found, incidents), _about(found), _figures(found, incidents))
    return page(f"{found.stream}: what was found in {found.scored.name}", parts, opening)


def _verdict(found: Found, incidents: Sequence[Incident]) -> list[str]:
    still = [incident for incident in incidents if not is_over(incident)]
    if still:
        many = "One incident is" if len(still) == 1 else f"{len(still):,} incidents are"
        first = f"{many} open at the end, {len(incidents):,} were told in all: {bounded(still[0].summary)}"
    elif incidents:
        many = "One incident was" if len(incidents) == 1 else f"{len(incidents):,} incidents were"
        first = f"{many} told, and all are over: {bounded(incidents[0].summary)}"
    else:
        first = "Nothing changed that the rules tell of."
    n, alarms = scored_alarms(found.rates.total)
    if not n:
        return [first]
    low, high = (float(end) for end in wilson(alarms, n))
    judged = "as many as there should be" if low <= _MEANT <= high else "fewer" if high < _MEANT else "more"
    meant = judged if judged.startswith("as") else f"{judged} than the 1 % that are meant"
    return [first, f"The model calls {alarms / n:.1%} of the events strange at p ≤ 1 %: {meant}."]


def _about(found: Found) -> str:
    since = f" Rates are of the time after its training, from {utc(found.rates.since_ms, '%Y-%m-%d')} on."
    return found.scored.sentence() + (since if found.rates.since_ms else "")


def _figures(found: Found, incidents: Sequence[Incident]) -> list[tuple[str, str, str]]:
    still = sum(not is_over(incident) for incident in incidents)
    n, alarms = scored_alarms(found.rates.total)
    dropped = found.report.dropped.rows
    return [
        (f"{len(incidents):,}", "incidents", f"{still:,} open at the end"),
        (f"{alarms / n:.1%}" if n else "–", "strange at p ≤ 1 %", "1 % is meant"),
        (f"{dropped:,}", "rows dropped", f"of {found.report.total:,}"),
    ]


def _incident(incident: Incident, found: Found) -> Part:
    over = is_over(incident)
    until = f"{utc(incident.pane_end_ms)}" if over else "open at the end"
    heading = f"{incident.severity.capitalize()}: {utc(incident.since_ms)} – {until}"
    blocks: list[Block] = [Text(bounded(incident.summary))]
    curve = found.curves.get(incident.id)
    if curve is not None:
        blocks += _drawn(incident, curve)
    facts = [
        (finding.feature or finding.detector, bounded(finding.says)) for finding in incident.findings if finding.says
    ]
    slices = "events as they arrive" if not incident.slice_count else f"{incident.slice_count:,}"
    blocks.append(Facts([("kind", KINDS[incident.kind]), ("slices", slices), *facts[:4]]))
    if incident.next and not over:
        blocks.append(Text(bounded(incident.next), is_remark=True))
    return Part(heading, blocks, id=f"i-{incident.id[:12]}")


def _drawn(incident: Incident, curve: Curve) -> list[Block]:
    what = f"{curve.feature}{f' ({curve.unit})' if curve.unit else ''}" if curve.feature else "events"
    span = [(incident.since_ms, incident.pane_end_ms if is_over(incident) else int(curve.starts_ms[-1]))]
    is_known = bool(np.isfinite(curve.expected).any())
    drawn = drawing.curve(
        curve.starts_ms,
        curve.seen,
        curve.expected if is_known else None,
        curve.spread if is_known else None,
        span,
        from_zero=not curve.feature,
    )
    said = f"{what} of {curve.where} over time, with the incident marked"
    legend = _LEGEND if is_known else Legend([("model", "events a step"), ("warning", "the incident")])
    return [Text(f"{what}, {curve.where}", is_remark=True), Pictures([Picture(drawn, said)], "wide"), legend]


def _others(incidents: Sequence[Incident]) -> Part:
    rows = [
        (
            incident.severity,
            utc(incident.since_ms, "%Y-%m-%d"),
            utc(incident.pane_end_ms, "%Y-%m-%d") if is_over(incident) else "open",
            bounded(incident.summary),
        )
        for incident in incidents[:_LISTED]
    ]
    table = Table(("severity", "since", "until", "what"), rows, prose=True, folded=f"{len(incidents):,} incidents more")
    return Part("Other incidents", [table])


def _over_time(found: Found, incidents: Sequence[Incident]) -> Part:
    days = sorted(found.rates.days)
    if not days:
        return Part("Over time", [Text("No pane was closed: there are no rates.")], is_empty=True)
    step = 7 if days[-1] - days[0] > _WEEKS_FROM_DAYS else 1
    first = days[0] // step * step
    starts = np.arange(first, days[-1] + step + 1, step, dtype=np.int64)
    sums = np.zeros((len(starts) - 1, 2), dtype=np.int64)
    for day, counts in found.rates.days.items():
        sums[(day - first) // step] += counts
    with np.errstate(invalid="ignore"):
        share = np.where(sums[:, 0] > 0, sums[:, 1] / np.maximum(sums[:, 0], 1), np.nan)
    last_ms = int(starts[-1]) * DAY_MS
    marks = [(one.since_ms, one.pane_end_ms if is_over(one) else last_ms) for one in incidents[:_LISTED]]
    meant = np.full(len(share), _MEANT)
    drawn = drawing.curve(starts * DAY_MS, share, meant, None, marks, from_zero=True, as_share=True)
    said = f"Share of strange events by {'week' if step == 7 else 'day'}"
    legend = Legend([("model", said.lower()), ("data", "1 %, as is meant"), ("warning", "incidents")])
    trained = f"The model was trained on events until {utc(found.rates.since_ms, '%Y-%m-%d')}."
    words = [Text(trained, is_remark=True)] if found.rates.since_ms else []
    return Part("Over time", [*words, Pictures([Picture(drawn, said)], "wide"), legend])


def _slices(found: Found) -> Part:
    rows = [
        (name if len({slicing for slicing, _ in found.rates.slices}) == 1 else f"{slicing} {name}", row)
        for (slicing, name), row in found.rates.slices.items()
        if row.any()
    ]
    if not rows:
        return Part("Slice by slice", [Text("No events came after the model's training.")], is_empty=True)
    bars = [_bar(name or "all", *scored_alarms(row)) for name, row in rows]
    bars.sort(key=lambda bar: (-bar.is_high, -bar.value))
    blocks: list[Block] = [
        Text("Share of events with p ≤ 1 %, with what chance would give if events came one by one; 1 % is meant."),
        Bars(bars[:_BARS], _MEANT),
    ]
    if len(bars) > _BARS:
        blocks.append(Text(f"{len(bars) - _BARS:,} slices with fewer are not shown.", is_remark=True))
    return Part("Slice by slice", blocks)


def _bar(name: str, n: int, alarms: int) -> Bar:
    low, high = (float(end) for end in wilson(alarms, n))
    return Bar(name, alarms / max(n, 1), low, high, is_high=low > _MEANT)


def _calibration(found: Found) -> Part:
    total = found.rates.total
    n, _ = scored_alarms(total)
    if not n:
        return Part("Calibration", [Text("No events came after the model's training.")], is_empty=True)
    rows = [
        (f"{alpha:.2%}", f"{share:.2%}", f"{share / alpha:.1f} ×")
        for alpha, share in zip(ALPHAS, shares(total).tolist(), strict=True)
    ]
    words = (
        "Of ordinary events one in a hundred has a p-value at or below 1 %, one in ten at or below 10 %, and so on. "
        "Where incidents are open the shares are larger: that is what they tell of."
    )
    return Part(
        "Calibration", [Text(words), Table(("p-value at or below", "share of events", "of what is meant"), rows)]
    )


def _dropped(found: Found) -> Part:
    reasons, total = list(found.report.dropped), max(found.report.total, 1)
    if not reasons:
        return Part("What was dropped", [Text("Nothing: every row was read and counted.")], is_empty=True)
    rows = [
        (
            f"{reason.name} ({reason.field})" if reason.field else reason.name,
            f"{reason.rows:,}",
            f"{reason.rows / total:.2%}",
            bounded(reason.example),
        )
        for reason in reasons[:_REASONS]
    ]
    return Part("What was dropped", [Table(("why", "rows", "share", "the first of them"), rows, prose=True)])
