"""An incident as a message."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlencode

from schemas.incidents import EXAMPLES_MAX, MEMBERS_MAX, Example, Finding, Incident, Mark, Member, SilencedIncident
from schemas.records import Blame, TopEvent
from stream_app.config import Config
from stream_app.stages.judge import words
from stream_app.stages.judge.facts import PaneFacts
from stream_app.stages.judge.figures import Pooled, traffic
from stream_app.stages.judge.heard import Heard
from stream_app.stages.judge.naming import in_order
from stream_app.stages.judge.sentences import EVIDENCE, NO_EVIDENCE, has_promise, next_steps, promise, summary
from stream_app.stages.judge.severity import SEVERITIES
from stream_app.stages.judge.threads import Thread

_LARGEST = 1e300
_BEFORE_MS = 86_400_000


def draft(
    config: Config, thread: Thread, facts: PaneFacts, state: str, reason: str, marks: list[Mark], silence: str
) -> Incident:
    """A message of an incident, with the number that it has by now.

    Args:
        facts: the pane that it is about.
        silence: what keeps it from people, or "".
    """
    members = thread.told_of
    events, share = traffic(members)
    first = thread.about[0].found if thread.about else None
    ended = state not in ("open", "update")
    content: dict[str, Any] = {
        "id": thread.id,
        "stream": config.stream,
        "number": thread.number,
        "state": state,
        "reason": reason,
        "kind": thread.kind,
        "severity": SEVERITIES[thread.worst],
        "rules": sorted({of.rule for of in members}),
        "detector": first.detector if first else members[0].detector,
        "feature": _feature(first.features if first else members[0].features),
        "members": [_member(of) for of in _live_first(thread)[:MEMBERS_MAX]],
        "member_count": len(thread.members) + thread.dropped,
        "slice_count": thread.slices,
        "since_ms": thread.since_ms,
        "opened_pane_ms": thread.opened_ms,
        "pane_start_ms": facts.start_ms,
        "pane_end_ms": facts.end_ms,
        "events": events,
        "share": share,
        "statistic": _finite(max(of.statistic for of in members)),
        "threshold": _finite(thread.threshold),
        "evidence": EVIDENCE if has_promise(config, thread.opener) else NO_EVIDENCE,
        "promise": promise(config, thread),
        "findings": [finding_of(of.found, config, past=ended or not of.still) for of in in_order(thread.about)],
        "examples": [example(of, config) for of in thread.examples],
        "marks": marks,
        "model_id": thread.model_id,
        "successor_id": successor(thread) if state == "handover" else "",
        "links": links(config, thread, facts),
        "acked_by": thread.acked_by,
        "silenced_by": silence,
        "next": next_steps(config, thread, state),
        "summary": summary(config, thread, state, reason, share, facts, marks),
    }
    return SilencedIncident(**content) if silence else Incident(**content)


def successor(thread: Thread) -> str:
    """The newer model that the evidence of drift has turned under, where that was what was left; else ""."""
    last = max(thread.members.values(), key=lambda of: (of.heard_ms, of.kind == "drift", of.key), default=None)
    turned = last is not None and last.kind == "drift" and last.newest_model != last.model_id
    return last.newest_model if last is not None and turned else ""


def _live_first(thread: Thread) -> list[Heard]:
    return sorted(thread.members.values(), key=lambda of: (of.over, -of.statistic, of.key))


def _member(of: Heard) -> Member:
    return Member(
        rule=of.rule,
        slicing=of.slicing,
        slice=of.slice,
        detector=of.detector,
        feature=_feature(of.features),
        direction=of.direction,
        since_ms=of.since_ms,
        over=of.over,
    )


def _feature(features: tuple[str, ...]) -> str:
    return ", ".join(features)


def _finite(value: float) -> float:
    return min(value, _LARGEST) if not math.isnan(value) else 0.0


def finding_of(of: Pooled, config: Config, past: bool = False) -> Finding:
    """A finding as it may be told: of a sensitive column no value; ``past`` where it is so no longer."""
    sensitive = frozenset(config.event.sensitive)
    hidden = not sensitive.isdisjoint(of.features)
    return Finding(
        detector=of.detector,
        feature=_feature(of.features),
        weight=min(of.weight, 1.0),
        direction=of.direction,
        measure=of.measure,
        unit=of.unit,
        seen=None if hidden or of.seen is None else of.seen,
        expected=None if hidden or of.expected is None else of.expected,
        size_sd=of.size_sd,
        events=of.events,
        says=words.finding(of, sensitive, int(config.windows.pane), past),
    )


def example(of: TopEvent, config: Config) -> Example:
    """An event to look at; what blames a sensitive column says no more than that."""
    sensitive = frozenset(config.event.sensitive)
    blame = [
        Blame(feature=part.feature, weight=part.weight, detail="" if part.feature in sensitive else part.detail)
        for part in of.blame
    ]
    return Example(
        topic=config.topics.events,
        partition=of.partition,
        offset=of.offset,
        event_time_ms=of.event_time_ms,
        slice=of.slice,
        p_value=of.p_value,
        blame=blame,
    )


def strangest(events: list[TopEvent]) -> list[TopEvent]:
    """The strangest of some events, each once."""
    each = {(of.partition, of.offset): of for of in events}
    return sorted(each.values(), key=lambda of: (of.p_value, of.log_prob, of.partition, of.offset))[:EXAMPLES_MAX]


def links(config: Config, thread: Thread, facts: PaneFacts) -> dict[str, str]:
    """Where to look: the console, and Grafana from a day before it began on."""
    found = {}
    if config.alerts.console_url:
        found["console"] = f"{config.alerts.console_url.rstrip('/')}/#incident={thread.id}"
    if config.alerts.grafana_url:
        query: list[tuple[str, str | int]] = [("var-stream", config.stream)]
        named = [of for of in thread.told_of if not of.slice.startswith("__")]
        if named:
            slicing = named[0].slicing
            names = dict.fromkeys(of.slice for of in named if of.slicing == slicing)
            query += [("var-slicing", slicing), *(("var-slice", name) for name in list(names)[: words.NAMED_MAX])]
        query += [("from", max(thread.since_ms - _BEFORE_MS, 0)), ("to", facts.end_ms)]
        found["grafana"] = f"{config.alerts.grafana_url}?{urlencode(query)}"
    return found
