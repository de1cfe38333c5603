"""What a message says in sentences: what has happened, what is promised, and what happens next."""

from __future__ import annotations

from stream_app.config import Config
from stream_app.config.alerts import MONTH_MS
from stream_app.config.promise import alpha
from stream_app.config.registries import DETECTOR_OPTIONS
from stream_app.stages.judge import words
from stream_app.stages.judge.figures import Pooled
from stream_app.stages.judge.threads import Thread

EVIDENCE = (
    "betting odds for a change, summed up over panes (Shiryaev–Roberts): while nothing changes it takes A panes on "
    "average, or more, until they reach A"
)
"""What the statistic of a rule with a promise is."""
NO_EVIDENCE = "1 since its detector has found a change, else 0"
"""What the statistic of ``adwin`` and the like is."""


def has_promise(config: Config, rule: str) -> bool:
    """Whether a rule makes evidence; JUDGE's own does."""
    return rule not in config.rules or config.rules[rule].detectors[0] not in DETECTOR_OPTIONS


def promise(config: Config, thread: Thread) -> str:
    """What is promised about false incidents, and where the threshold comes from."""
    if not has_promise(config, thread.opener):
        return f"Nothing is promised about false incidents of the rule {thread.opener}: its detector makes no evidence."
    a_month = config.alerts.false_incidents_per_month
    panes = MONTH_MS / int(config.windows.pane)
    rules = a_month / panes / alpha(config, thread.opener)
    noun = "incident" if a_month == 1 else "incidents"
    product = " × ".join(words.figure(of) for of in (panes, rules, thread.parts))
    over = f" / {words.figure(a_month)}" if a_month != 1 else ""
    together = (
        f" {thread.together:,} of them moved together, so that a part of it was enough for each."
        if thread.together > 1
        else ""
    )
    return (
        f"At most {words.figure(a_month)} false {noun} a month {'is' if a_month <= 1 else 'are'} expected on the whole "
        f"stream while nothing changes. So one slice alone needs evidence of {words.figure(thread.threshold)} = "
        f"{product}{over} (panes a month × rules × slices).{together}"
    )


def summary(
    config: Config, thread: Thread, found: list[Pooled], state: str, reason: str, share: float, of_slicing: int
) -> str:
    """One sentence for an operator who is no statistician."""
    members = thread.told_of
    places = len({of.key[1:] for of in members})
    subject = words.subject(members, places, of_slicing)
    what = what_words(config, found)
    since = words.when(thread.since_ms, config.event.timezone)
    if state == "open" or state == "update":
        traffic = "" if subject == "all events" else f"; {words.share(share)} of all events"
        return f"{_LEAD[reason]}{subject}: {what} since {since}{traffic}; {_short_next(config, thread)}."
    return f"{_OVER[state]}{subject} ({what}, since {since})."


_LEAD = {
    "opened": "",
    "again": "It has come back: ",
    "severity": "It has become worse: ",
    "kind": "It is now taken for something else: ",
    "members": "It has spread: ",
    "reminder": "It goes on: ",
    "action": "",
}
_OVER = {
    "resolve": "It is over, and as it was before: ",
    "handover": "It is over, for the new model takes it for normal: ",
    "accepted": "It is accepted as the new normal: ",
}


def what_words(config: Config, found: list[Pooled]) -> str:
    """What has changed: the first finding, and the names of the other columns."""
    if not found:
        return "something has changed"
    sensitive, pane_ms = frozenset(config.event.sensitive), int(config.windows.pane)
    first = words.finding(found[0], sensitive, pane_ms)
    others = [of for finding in found[1:] for of in finding.features if of not in found[0].features]
    also = list(dict.fromkeys(others))[: words.NAMED_MAX]
    return f"{first}, also {words.listed(also, 0, '')}" if also else first


def asks(config: Config, thread: Thread) -> bool:
    """Whether an incident asks for a model."""
    rules = {of.rule for of in thread.live if of.kind == "drift"}
    retrains = any(rule in config.rules and config.rules[rule].retrain for rule in rules)
    return config.retrain.enabled and retrains and thread.kind == "drift"


def _short_next(config: Config, thread: Thread) -> str:
    if thread.kind == "fault":
        return "this looks like a fault of the data"
    return "a new model is asked for" if asks(config, thread) else "the world seems to have changed"


def next_steps(config: Config, thread: Thread, state: str) -> str:
    """What happens by itself, and what a person can do."""
    if state == "resolve":
        return "Nothing is left to do. What comes back on the same slices within days goes on under this id."
    if state == "handover":
        return "Nothing is left to do: from now on what the new model has learned is normal."
    if state == "accepted":
        return "Nothing more is said of this change. A new one on the same slices opens an incident of its own."
    if asks(config, thread):
        course = "A new model is asked for; once it takes this for normal, or all is as before, the incident ends."
    elif thread.kind == "fault":
        course = "No model is asked for, for it would learn the fault. The incident ends once all is as before."
    else:
        course = "No model is asked for (retrain). The incident ends once all is as before."
    return f"{course} If it is to stay like this: driftflow accept {thread.id}; if you look after it: {_ack(thread)}"


def _ack(thread: Thread) -> str:
    return f"{thread.acked_by} does." if thread.acked_by else f"driftflow ack {thread.id}."
