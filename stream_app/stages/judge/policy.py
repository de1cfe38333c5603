"""From verdicts to incidents: two thresholds, a minimum duration, a cooldown; one open incident per rule and slice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from schemas.records import Alert, Blame, record_id
from stream_app.config import RuleConfig
from stream_app.config.registries import SPOILING

TOGETHER = "__all__"
"""Slice name of an alert that is about the sum of all slices."""

_NEVER = -1


def slice_words(name: str) -> str:
    """A slice's name for people."""
    return {"": "all events", TOGETHER: "all slices together"}.get(name, name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one slice at one pane. Larger statistics are worse.

    Attributes:
        kind: ``drift`` or ``fault``.
        detector: what explains it best.
        remaining: what an open alert resolves by.
        renewed: something else has come to speak for it.
        evidence: what the statistic is, in words.
        says: what has happened, in words.
        blame: features, shares of the evidence, and in words what has happened.
    """

    rule: str
    kind: str
    detector: str
    slicing: str
    slice: str
    pane_start_ms: int
    pane_end_ms: int
    model_id: str
    statistic: float
    remaining: float
    evidence: str
    says: str = ""
    blame: tuple[tuple[str, float, str], ...] = ()
    renewed: bool = False

    @property
    def cause(self) -> str:
        """What is named first."""
        return f"{self.detector} {self.blame[0][0] if self.blame else ''}"


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
        named: causes that were named first in one of its alerts.
        detector, says, blame: what it was opened for, or last said to be.
    """

    since_ms: int = _NEVER
    opened_ms: int = _NEVER
    alert_id: str = ""
    sent_ms: int = 0
    quiet_until_ms: int = 0
    model_id: str = ""
    named: list[str] = field(default_factory=list)
    detector: str = ""
    says: str = ""
    blame: tuple[tuple[str, float, str], ...] = ()


class Policy:
    """The incidents of every rule and slice."""

    def __init__(self, stream: str, rules: dict[str, RuleConfig]) -> None:
        self._stream = stream
        self._rules = rules
        self._incidents: dict[tuple[str, str, str], Incident] = {}

    def pending(self, rule: str, slicing: str, end_ms: int) -> dict[str, bool]:
        """Slices whose incident is open or may open, which a verdict is due of in every pane; and whether it has to
        say why, in the pane that ends then.
        """
        cooldown = self._rules[rule].cooldown
        return {
            slice_: incident.opened_ms == _NEVER or end_ms - incident.sent_ms >= cooldown > 0
            for (of_rule, of_slicing, slice_), incident in self._incidents.items()
            if (of_rule, of_slicing) == (rule, slicing) and max(incident.since_ms, incident.opened_ms) != _NEVER
        }

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
        incident.opened_ms, incident.named = incident.since_ms, []
        incident.model_id = verdict.model_id
        incident.alert_id = record_id(
            "alert", self._stream, verdict.rule, verdict.slicing, verdict.slice, incident.opened_ms, verdict.model_id
        )
        return self._alert("open", rule, incident, verdict)

    def _judge_open(self, rule: RuleConfig, incident: Incident, verdict: Verdict) -> Alert | None:
        over, due = verdict.remaining < rule.resolve, verdict.pane_end_ms - incident.sent_ms >= rule.cooldown > 0
        if not (over or due or verdict.renewed):
            return None
        if over or not verdict.says:  # what it was last said to be
            verdict = replace(verdict, detector=incident.detector, says=incident.says, blame=incident.blame)
        if over:
            learned = verdict.model_id != incident.model_id
            alert = self._alert("learned" if learned else "resolve", rule, incident, verdict)
            incident.since_ms = incident.opened_ms = _NEVER
            incident.quiet_until_ms = verdict.pane_end_ms + rule.cooldown
            return alert
        other = verdict.renewed and bool(verdict.says) and verdict.cause not in incident.named
        if other or due:
            return self._alert("update", rule, incident, verdict)
        return None

    def forget(self, end_ms: int) -> None:
        """Drop the incidents that are over, once their rule is quiet no longer: slices come and go for years."""
        self._incidents = {
            key: incident
            for key, incident in self._incidents.items()
            if max(incident.since_ms, incident.opened_ms) != _NEVER or incident.quiet_until_ms > end_ms
        }

    def open_alerts(
        self, rules: set[str], faults: set[str], has_events: Callable[[str, str], bool] = lambda slicing, slice_: True
    ) -> list[tuple[str, str]]:
        """(slice, alert id) of the open incidents of some rules, sorted, but of slices of whose values one of the
        ``faults`` is open: a model that is trained on them would learn the fault; and of slices that have no events
        any more: there is nothing to learn, and their alerts stay open.
        """
        is_open = {key: incident for key, incident in self._incidents.items() if incident.opened_ms != _NEVER}
        spoilt = {
            key[1:]
            for key, incident in is_open.items()
            if key[0] in faults and any(cause.split()[0] in SPOILING for cause in incident.named)
        }
        return sorted(
            (key[2], incident.alert_id)
            for key, incident in is_open.items()
            if key[0] in rules and key[1:] not in spoilt and has_events(*key[1:])
        )

    def _alert(self, state: str, rule: RuleConfig, incident: Incident, verdict: Verdict) -> Alert:
        incident.sent_ms = verdict.pane_end_ms
        incident.named = list(dict.fromkeys([*incident.named, verdict.cause]))
        incident.detector, incident.says, incident.blame = verdict.detector, verdict.says, verdict.blame
        blame = [Blame(feature=name, weight=weight, detail=detail) for name, weight, detail in verdict.blame]
        return Alert(
            id=incident.alert_id,
            stream=self._stream,
            rule=verdict.rule,
            slicing=verdict.slicing,
            slice=verdict.slice,
            state=state,
            kind=verdict.kind,
            detector=verdict.detector,
            opened_pane_ms=incident.opened_ms,
            pane_start_ms=verdict.pane_start_ms,
            pane_end_ms=verdict.pane_end_ms,
            statistic=verdict.statistic,
            threshold=rule.open,
            evidence=verdict.evidence,
            model_id=verdict.model_id,
            blame=blame,
            summary=_summary(state, verdict),
        )

    def to_state(self) -> list[Any]:
        """Plain values for a snapshot."""
        return [
            [*key, *(getattr(incident, of.name) for of in fields(Incident))]
            for key, incident in self._incidents.items()
        ]

    def restore(self, state: list[Any]) -> None:
        """Inverse of :meth:`to_state`."""
        self._incidents = {
            (rule, slicing, slice_): replace(Incident(*rest), blame=tuple((n, w, d) for n, w, d in blame))
            for rule, slicing, slice_, *rest, blame in state
        }


_NOW = {"open": "{says}", "update": "still so ({says})", "resolve": "no longer so (it was: {says})"}


def _summary(state: str, verdict: Verdict) -> str:
    says = verdict.says.removeprefix(f"{verdict.detector}: ") or f"{verdict.detector} is above its threshold"
    found = [name for name, _, detail in verdict.blame if detail == verdict.says]
    others = [name for name, _, detail in verdict.blame if detail != verdict.says]
    subject = ", ".join([slice_words(verdict.slice), *found])
    if state == "learned":
        return f"{subject}: model {verdict.model_id}, trained since, takes it for normal (it was: {says})."
    now = "now also ({says})" if verdict.renewed and state == "update" else _NOW[state]
    also = f"; also {', '.join(others)}" if others and state != "resolve" else ""
    return f"{subject}: {now.format(says=says)}{also}."
