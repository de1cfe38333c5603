"""From verdicts to incidents: two thresholds, a minimum duration, a cooldown; one open incident per rule and slice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schemas.records import Alert, Blame, record_id
from stream_app.config import RuleConfig

_NEVER = -1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule's detector says of one slice at one pane. Larger statistics are worse.

    Attributes:
        evidence: what the statistic is, in words.
        blame: features that moved most, with their shares of the whole move.
    """

    rule: str
    detector: str
    slicing: str
    slice: str
    pane_start_ms: int
    pane_end_ms: int
    model_id: str
    statistic: float
    evidence: str
    blame: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True)
class Incident:
    """Policy state of one rule on one slice.

    Attributes:
        since_ms: pane since which the statistic has been at or above ``open``; -1 when it is not.
        opened_ms: pane at which the incident that is open began; -1 when none is.
        alert_id: id of the open incident.
        sent_ms: end of the pane of its last alert.
        quiet_until_ms: no incident opens before.
        model_id: model that the open incident began under.
    """

    since_ms: int = _NEVER
    opened_ms: int = _NEVER
    alert_id: str = ""
    sent_ms: int = 0
    quiet_until_ms: int = 0
    model_id: str = ""


class Policy:
    """The incidents of every rule and slice."""

    def __init__(self, stream: str, rules: dict[str, RuleConfig]) -> None:
        self._stream = stream
        self._rules = rules
        self._incidents: dict[tuple[str, str, str], Incident] = {}

    def judge(self, verdicts: Iterable[Verdict]) -> list[Alert]:
        """Take verdicts in; an Alert for each incident that opens, is due for an update, or resolves."""
        alerts = (self._judge(verdict) for verdict in verdicts)
        return [alert for alert in alerts if alert is not None]

    def _judge(self, verdict: Verdict) -> Alert | None:
        rule, key = self._rules[verdict.rule], (verdict.rule, verdict.slicing, verdict.slice)
        incident = self._incidents.get(key)
        if incident is None:
            if verdict.statistic < rule.open:
                return None
            incident = self._incidents[key] = Incident()
        if incident.opened_ms != _NEVER:
            return self._judge_open(rule, incident, verdict)
        return self._judge_closed(rule, incident, verdict)

    def _judge_closed(self, rule: RuleConfig, incident: Incident, verdict: Verdict) -> Alert | None:
        if verdict.statistic < rule.open:
            incident.since_ms = _NEVER
            return None
        if incident.since_ms == _NEVER:
            incident.since_ms = verdict.pane_start_ms
        lasted = verdict.pane_end_ms - incident.since_ms
        if lasted < rule.min_duration or verdict.pane_start_ms < incident.quiet_until_ms:
            return None
        incident.opened_ms = incident.since_ms
        incident.model_id = verdict.model_id
        incident.alert_id = record_id(
            "alert", self._stream, verdict.rule, verdict.slicing, verdict.slice, incident.opened_ms, verdict.model_id
        )
        return self._alert("open", rule, incident, verdict)

    def _judge_open(self, rule: RuleConfig, incident: Incident, verdict: Verdict) -> Alert | None:
        if verdict.statistic < rule.resolve:
            alert = self._alert("resolve", rule, incident, verdict)
            incident.since_ms = incident.opened_ms = _NEVER
            incident.quiet_until_ms = verdict.pane_end_ms + rule.cooldown
            return alert
        if verdict.pane_end_ms - incident.sent_ms >= rule.cooldown > 0:
            return self._alert("update", rule, incident, verdict)
        return None

    def open_alerts(self, rules: set[str]) -> list[tuple[str, str]]:
        """(slice, alert id) of the open incidents of some rules, sorted."""
        return sorted(
            (slice_, incident.alert_id)
            for (rule, _, slice_), incident in self._incidents.items()
            if rule in rules and incident.opened_ms != _NEVER
        )

    def _alert(self, state: str, rule: RuleConfig, incident: Incident, verdict: Verdict) -> Alert:
        incident.sent_ms = verdict.pane_end_ms
        blame = [Blame(feature=name, weight=weight) for name, weight in verdict.blame]
        return Alert(
            id=incident.alert_id,
            stream=self._stream,
            rule=verdict.rule,
            slicing=verdict.slicing,
            slice=verdict.slice,
            state=state,
            opened_pane_ms=incident.opened_ms,
            pane_start_ms=verdict.pane_start_ms,
            pane_end_ms=verdict.pane_end_ms,
            statistic=verdict.statistic,
            threshold=rule.resolve if state == "resolve" else rule.open,
            evidence=verdict.evidence,
            model_id=verdict.model_id,
            blame=blame,
            summary=_summary(state, verdict, incident.model_id),
        )

    def to_state(self) -> list[Any]:
        """Plain values for a snapshot."""
        return [
            [*key, i.since_ms, i.opened_ms, i.alert_id, i.sent_ms, i.quiet_until_ms, i.model_id]
            for key, i in self._incidents.items()
        ]

    def restore(self, state: list[Any]) -> None:
        """Inverse of :meth:`to_state`."""
        self._incidents = {(a, b, c): Incident(*rest) for a, b, c, *rest in state}


_SUMMARIES = {
    "likelihood": "events no longer look like those the model was trained on",
    "pit": "the distribution of some features has moved",
    "adwin": "the typical likelihood has stepped up or down",
    "missing": "more values are missing than usual",
}


def summary_of(detector: str) -> str:
    """What a detector's alert says, for a person."""
    return _SUMMARIES.get(detector, f"{detector} is above its threshold")


def _summary(state: str, verdict: Verdict, opening_model: str) -> str:
    summary = summary_of(verdict.detector)
    if state == "resolve":
        if verdict.model_id != opening_model:
            return f"{verdict.slice}: over, judged anew by model {verdict.model_id} ({summary})."
        return f"{verdict.slice}: back to normal ({summary})."
    names = ", ".join(name for name, _ in verdict.blame[:3])
    most = "most missing" if verdict.detector == "missing" else "most moved"
    more = f"; {most}: {names}" if names else ""
    return f"{verdict.slice}: {summary}{' still' if state == 'update' else ''}{more}."
