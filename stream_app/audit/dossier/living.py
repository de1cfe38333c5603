"""Sections on what became of it: service, incidents, feedback, fairness, privacy, and whether the record is whole."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

from flowlib import fairness as fair
from schemas.evidence import ALARM
from schemas.incidents import Incident
from stream_app.audit.dossier.parts import Section, nothing
from stream_app.audit.dossier.subject import Subject
from stream_app.audit.records import NAMED_MAX
from stream_app.audit.verify import Verified
from stream_app.incident_lines import KINDS, short
from stream_app.offline.feedback import last_verdicts
from stream_app.reporting.parts import Bar, Bars, Block, Facts, Table, Text
from stream_app.sinks.reading import open_store
from stream_app.sinks.realised import Realised, realised
from stream_app.terminal import utc
from stream_app.trainer.ledger import Ledger

_BARS_MAX = 12
_ROWS_MAX = 200
_STORED_MAX = 10_000_000
"""Rows of the store that are looked through for a model."""


def service(subject: Subject) -> Section:
    """What happened to it, in order."""
    rows = [(one.created_ms, one.status, one.reason) for one in subject.notices]
    rows += [(step.at_ms, step.facts["verb"], step.says) for step in subject.changes]
    if subject.under.from_ms is not None:
        says = f"scores events, on {len(subject.under.partitions):,} source partitions"
        rows.append((subject.under.from_ms, "activation", says))
    table = Table(("event time", "what", "in words"), [(utc(at), what, says) for at, what, says in sorted(rows)], True)
    remark = Text(
        "From the swap on a model in service is watched: where it surely alarms too often or too seldom, or cannot "
        "score, the model before returns by itself, and an incident says so (by hand: `driftflow models rollback`).",
        is_remark=True,
    )
    return Section("service", "Its life in service", [table, remark], bool(rows), f"{len(rows)} entries")


def incidents(subject: Subject) -> Section:
    """What was told under it."""
    title, records = "What it told people", subject.records
    if not records.asked:
        return nothing("incidents", title, f"Not known: {'; '.join(records.unasked)}")
    found, verdicts = subject.incidents, last_verdicts(records.actions.values())
    pairs = [
        ("incidents", f"{len(found):,}"),
        ("accepted as new normal", f"{sum(one.state == 'accepted' for one in found):,}"),
        ("messages about single events", f"{len(subject.strange):,}"),
        ("strange events", f"{subject.under.anomalies:,}"),
    ]
    parts: list[Block] = [Facts(pairs)]
    if found:
        rows = [_incident(one, verdicts.get(one.id, "–")) for one in found[:_ROWS_MAX]]
        parts.append(Table(("opened", "what", "state", "verdict", "in words"), rows, prose=True))
    if len(found) > _ROWS_MAX:
        parts.append(Text(f"… and {len(found) - _ROWS_MAX:,} more"))
    if subject.under.first:
        places = [
            (utc(one.event_time_ms), f"{one.topic}/{one.partition}@{one.offset}", one.slice, f"{one.p_value:.2g}")
            for one in subject.under.first
        ]
        parts += [Text(f"The first {NAMED_MAX} strange events:"), Table(("when", "where", "slice", "p"), places)]
    brief = f"{len(found):,} incidents, {subject.under.anomalies:,} strange events"
    return Section("incidents", title, parts, brief=brief)


def _incident(one: Incident, verdict: str) -> tuple[str, ...]:
    what = f"{one.severity} {KINDS[one.kind]}"
    return utc(one.opened_pane_ms), what, one.state, verdict, f"{short(one.id)}: {one.summary}"


def feedback(subject: Subject) -> Section:
    """What people made of what they were told."""
    title, records = "What people made of it", subject.records
    told = {*(one.id for one in subject.incidents), *(one.id for one in subject.strange)}
    said = [action for action in records.actions.values() if action.incident_id in told]
    if not said:
        why = "Nobody has judged, accepted or acknowledged anything that it told."
        return nothing("feedback", title, why if records.asked else f"Not known: {'; '.join(records.unasked)}")
    verdicts = last_verdicts(said)
    judged = Counter(verdicts.values())
    words = ", ".join(f"{n:,} {verdict}" for verdict, n in sorted(judged.items())) or "no verdicts"
    rows = [
        (
            utc(one.at_ms),
            " ".join(filter(None, [one.verb, one.verdict])),
            f"{short(one.incident_id)}, {one.by}: {one.why}",
        )
        for one in sorted(said, key=lambda one: one.at_ms)[-_ROWS_MAX:]
    ]
    intro = Text(f"Of {len(told):,} incidents and messages {len(verdicts):,} were judged: {words}.")
    return Section("feedback", title, [intro, Table(("said", "what", "in words"), rows, prose=True)], brief=words)


def fairness(subject: Subject) -> Section:
    """Who is called strange how often, and whom the model knows worse."""
    title, known = "Fairness: who is called strange, and how often", _realised(subject)
    if isinstance(known, str):
        return nothing("fairness", title, f"Not known: {known}.")
    slices, parts = sum(len(counts.names) for counts in known.slices.values()), known.parts
    if not parts:
        return nothing("fairness", title, "All events are one slice: there is nobody to compare with.")
    over = [part for part in parts if part.judged == "over"]
    widest = sorted(parts, key=lambda part: (part.judged != "over", -part.rows))[:_BARS_MAX]
    bars = [Bar(part.name, part.share, *part.share_95, part.judged == "over") for part in widest]
    intro = (
        f"Of ordinary events {ALARM:.0%} are meant to have p ≤ {ALARM:g}. This is what it has scored from "
        f"{utc(known.from_ms)} to {utc(known.to_ms)}: {slices:,} slices. The line is the 95 % interval, the dashed "
        "mark what is meant; in the tables intervals stand in brackets. Each slice, and each group of slices, is held "
        "against all other events of the same days."
    )
    head = ("", "events", "called strange", "others", "too many", "nats an event", "not scored")
    content: list[Block] = [Text(intro), *map(Text, fair.said(parts)), Bars(bars, ALARM)]
    for grouping in dict.fromkeys(part.grouping for part in parts):
        rows = [_row(part) for part in parts if part.grouping == grouping]
        content += [Text(f"By {grouping}:"), Table(head, rows[:_ROWS_MAX])]
    remark = (
        "Real faults and drift are in these figures too: a slice may be called strange often because it is. "
        "Likelihoods of slices compare only where their columns have the same units and spread."
    )
    content.append(Text(remark, is_remark=True))
    return Section("fairness", title, content, brief=f"{slices:,} slices, {len(over)} parts over-alarmed")


def _realised(subject: Subject) -> Realised | str:
    """How it has done, or why that is not known."""
    sink = subject.config.sink
    if sink.kind != "sqlite":
        return f'sink.kind is "{sink.kind}": only the embedded store can be asked here'
    path = subject.config.path(sink.path)
    try:
        with open_store(path) as link:
            found = realised(link, subject.config.stream, subject.id, _STORED_MAX)
    except sqlite3.Error as error:
        return f"{path} cannot be read: {error}"
    return found if found.slices else f"{path} has no windows that this model has scored"


def _row(part: fair.Part) -> tuple[str, ...]:
    low, high = part.share_95
    nats = "" if part.log_prob_95 is None else f" ({part.log_prob_95[0]:.3f} to {part.log_prob_95[1]:.3f})"
    judged = f"{part.judged}: " if part.judged in ("over", "under") else ""
    return (
        part.name,
        f"{part.rows:,}",
        f"{judged}{part.share:.2%} ({low:.2%} to {high:.2%})",
        "–" if part.others is None else f"{part.others:.2%}",
        f"{part.excess:+,.0f}",
        "–" if part.log_prob is None else f"{part.log_prob:.3f}{nats}",
        f"{part.unscorable:,}",
    )


def privacy(subject: Subject) -> Section:
    """What was promised to the people in the events, and what it has cost so far."""
    title, settings = "Privacy ledger", subject.config.privacy
    claim: dict[str, Any] = subject.manifest.get("about", {}).get("privacy", {})
    entries = Ledger(subject.config).entries()
    membership = subject.notice.gates.get("membership", {}).get("says", "")
    if not claim:
        why = "It was trained without differential privacy (privacy.enabled): its weights may hold traces of events."
        parts: list[Block] = [Text(why), *([Text(f"The membership gate: {membership}.")] if membership else [])]
        return Section("privacy", title, parts, is_evidence=bool(membership), brief="membership gate")
    pairs = [
        ("promise", f"ε = {claim['epsilon']:g}, δ = {claim['delta']:g}, for {claim['unit']}"),
        ("all trainings so far", f"ε = {claim['epsilon_total']:.3g} of {settings.epsilon_budget:g}"),
        ("covers", "; ".join(claim["covers"])),
        ("does not cover", "; ".join(claim["excludes"])),
    ]
    rows = [
        (one.request_id, f"{one.noise_multiplier:.3g}", f"{one.steps:,}", f"{one.epsilon_total:.3g}") for one in entries
    ]
    head = ("training", "noise", "steps", "ε so far")
    content: list[Block] = [Facts(pairs), Table(head, rows[-_ROWS_MAX:])]
    return Section("privacy", title, content, brief=f"ε = {claim['epsilon_total']:.3g}")


def record(verified: Verified) -> Section:
    """Whether the record is whole."""
    verdict = "Nothing was changed, taken out, moved or cut." if not verified.faults else "THE RECORD IS NOT WHOLE:"
    parts: list[Block] = [Text(verdict), *map(Text, verified.faults[:_ROWS_MAX])]
    parts += [Text(line, is_remark=True) for line in verified.says()]
    return Section("record", "Is this record whole", parts, bool(verified.lines), f"{verified.lines:,} lines, chained")
