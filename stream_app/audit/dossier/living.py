"""Sections on what became of it: service, incidents, feedback, fairness, privacy, and whether the record is whole."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowlib.evaluation import ALARM_ALPHA
from schemas.incidents import Incident
from stream_app.audit.dossier import fairness as fair
from stream_app.audit.dossier.parts import Section, nothing
from stream_app.audit.dossier.store import realised
from stream_app.audit.dossier.subject import Subject
from stream_app.audit.records import NAMED_MAX
from stream_app.audit.verify import Verified
from stream_app.incident_lines import KINDS, short
from stream_app.offline.feedback import last_verdicts
from stream_app.reporting.parts import Bar, Bars, Block, Facts, Table, Text
from stream_app.terminal import utc
from stream_app.trainer.ledger import Ledger

_BARS_MAX = 12
_ROWS_MAX = 200


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
    title, known = "Fairness: who is called strange, and how often", realised(subject.config, subject.id)
    if not known.days:
        return nothing("fairness", title, f"Not known: {known.says}.")
    slices, groups = fair.figures(known.days), fair.groups(known.days)
    over = [one for one in (*slices, *groups) if one.is_over]
    says = [_over(one) for one in over[:_BARS_MAX]] or [
        "No slice and no group of slices is surely called strange more often than is meant and than the others are."
    ]
    by_traffic = sorted(slices, key=lambda one: (not one.is_over, -one.scored))[:_BARS_MAX]
    bars = Bars([Bar(one.name, one.share, one.low, one.high, one.is_over) for one in by_traffic], ALARM_ALPHA)
    intro = (
        f"Of ordinary events {ALARM_ALPHA:.0%} are meant to have p ≤ {ALARM_ALPHA:g}. This is {known.says}: "
        f"{len(slices):,} slices. The line is the 95 % interval, the dashed mark what is meant; in the tables "
        "intervals stand in brackets."
    )
    head = ("slice", "events", "called strange", "others", "too many", "nats an event", "not scored")
    content: list[Block] = [Text(intro), *map(Text, says), bars]
    if groups:
        content += [Text("By groups of slices:"), Table(head, [_row(one) for one in groups[:_ROWS_MAX]])]
    content += [Text("By slice:"), Table(head, [_row(one) for one in slices[:_ROWS_MAX]])]
    if len(slices) > _ROWS_MAX:
        content.append(Text(f"… and {len(slices) - _ROWS_MAX:,} slices more"))
    remark = (
        "Real faults and drift are in these figures too: a slice may be called strange often because it is. "
        "Likelihoods of slices compare only where their columns have the same units and spread."
    )
    content.append(Text(remark, is_remark=True))
    return Section("fairness", title, content, brief=f"{len(slices)} slices, {len(over)} over-alarmed")


def _over(one: fair.Figures) -> str:
    others = f", {one.share / one.others:.1f} times the others" if one.others else ""
    return (
        f"Over-alarmed: {one.name} ({one.of}): {one.share:.2%} of its {one.scored:,} events ({one.low:.2%} to "
        f"{one.high:.2%}) are called strange{others}; that is {one.excess:,.0f} events more than is meant."
    )


def _row(one: fair.Figures) -> tuple[str, ...]:
    name = f"{one.name} ({one.of})" if one.slices == 1 else f"{one.name} ({one.of}, {one.slices:,} slices)"
    return (
        name,
        f"{one.scored:,}",
        f"{'over: ' if one.is_over else ''}{one.share:.2%} ({one.low:.2%} to {one.high:.2%})",
        "–" if one.others is None else f"{one.others:.2%}",
        f"{one.excess:+,.0f}",
        f"{one.nats:.3f} ({one.nats_low:.3f} to {one.nats_high:.3f})",
        f"{one.unscorable:,}",
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
