"""Sections on how it was judged: gates, shadow, and the people who had a say."""

from __future__ import annotations

from typing import Any

from stream_app.audit.dossier.parts import Section, nothing
from stream_app.audit.dossier.subject import Subject
from stream_app.reporting.parts import Facts, Table, Text
from stream_app.terminal import utc


def gates(subject: Subject) -> Section:
    """Each gate with its figure, interval, threshold and sentence."""
    title = "The gates it had to pass"
    found = {name: gate for name, gate in subject.notice.gates.items() if name != "shadow" and isinstance(gate, dict)}
    if not found:
        return nothing("gates", title, "No gates are recorded.")
    rows = [
        (
            name,
            _passed(gate),
            _figure(gate.get("figure")),
            _interval(gate),
            _figure(gate.get("threshold")),
            gate["says"],
        )
        for name, gate in found.items()
    ]
    passed = sum(bool(gate.get("passed")) for gate in found.values())
    intro = Text(
        f"{passed} of {len(found)} gates passed. Most compare it with the model that was in service, on events that "
        "neither has trained on; intervals are 95 %."
    )
    head = ("gate", "", "figure", "95 %", "threshold", "in words")
    return Section(
        "gates", title, [intro, Table(head, rows, prose=True)], brief=f"{passed} of {len(found)} gates passed"
    )


def _passed(gate: dict[str, Any]) -> str:
    if gate.get("passed"):
        return "passed"
    return "waits for a person" if gate.get("waits") else "FAILED"


def _figure(value: Any) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, int | float) else str(value)


def _interval(gate: dict[str, Any]) -> str:
    ends = gate.get("interval_95")
    return "–" if not ends else f"{_figure(ends[0])} to {_figure(ends[1])}"


def shadow(subject: Subject) -> Section:
    """What live events said of it before it entered service."""
    title, figures = "In the shadow, on live events", subject.about.get("shadow") or {}
    if not figures:
        why = "It was not compared on live events: the first model of a stream, or trainer.promotion, wants it so."
        return nothing("shadow", title, why)
    shares = [
        (name, f"{figures[key]:.2%}")
        for name, key in (("it finds strange", "alarm_share"), ("the model before finds", "in_service_alarm_share"))
        if figures.get(key) is not None
    ]
    gain = figures.get("gain_nats")
    pairs = [
        ("verdict", str(figures.get("verdict", ""))),
        ("live events", f"{figures.get('events', 0):,} in {figures.get('panes', 0):,} panes"),
        (
            "gain",
            f"{gain:+.3f} nats an event, {figures.get('required_nats', 0):+.3f} asked for" if gain is not None else "–",
        ),
        *shares,
        ("could not be scored", f"{figures.get('unscorable', 0):,}"),
        (
            "evidence that it is better",
            f"e = {figures.get('e_better', 0):,.3g}, {figures.get('e_needed', 0):,.3g} needed",
        ),
        ("evidence that it is not", f"e = {figures.get('e_worse', 0):,.3g}"),
    ]
    says = subject.notice.gates.get("shadow", {}).get("says", "")
    remark = Text(
        "Both models scored the same live events, without any effect; the test may be looked at after every pane, and "
        "errs in 2.5 % of cases at most.",
        is_remark=True,
    )
    return Section(
        "shadow",
        title,
        [Text(says[:1].upper() + says[1:]), Facts(pairs), remark],
        brief=f"{figures.get('events', 0):,} live events",
    )


def people(subject: Subject) -> Section:
    """Who had a say, and what was said."""
    title = "Who decided"
    lines = [
        (utc(line.at_ms), line.event, f"{line.body.get('by', '')}: {line.body.get('why', '') or 'no reason given'}")
        for line in subject.records.lines
        if line.event in ("approval", "rejection", "anchor") and line.body.get("model") in _names(subject)
    ]
    actions = [
        (utc(action.at_ms), action.verb, f"{action.by}: {action.why or 'no reason given'}")
        for action in subject.records.actions.values()
        if action.model in _names(subject) and action.verb in ("rollback", "pin")
    ]
    by = subject.about.get("approved_by")
    rule = f'trainer.promotion = "{subject.config.trainer.promotion}"'
    says = f"Approved by {by}." if by else f"No person approved it: the rules let it through ({rule})."
    rows = sorted(lines + actions)
    content: list[Any] = [Text(says), *([Table(("when", "what", "who and why"), rows, prose=True)] if rows else [])]
    content.append(Text("What people say is signed with an operator's key, whose name is what they have typed.", True))
    return Section("people", title, content, is_evidence=bool(rows or by), brief=f"{len(rows)} decisions of people")


def _names(subject: Subject) -> set[str]:
    return {subject.id, str(subject.about.get("candidate") or subject.id)}
