"""What a message says in sentences: what has happened, what is promised, and what happens next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from textwrap import shorten

import msgspec

from flowlib.table import DAY_MS
from schemas.incidents import Mark
from schemas.names import EVERYTHING
from stream_app.config import Config
from stream_app.config.alerts import MONTH_MS
from stream_app.config.promise import alpha
from stream_app.config.registries import SPOILING
from stream_app.stages.judge import words
from stream_app.stages.judge.candidates import OTHER_RULE
from stream_app.stages.judge.checking import makes_evidence
from stream_app.stages.judge.facts import PaneFacts
from stream_app.stages.judge.figures import Pooled
from stream_app.stages.judge.naming import Named
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
    return rule == OTHER_RULE or makes_evidence(config, rule)


def promise(config: Config, thread: Thread) -> str:
    """What is promised about false incidents, and where the threshold comes from."""
    if not has_promise(config, thread.opener):
        return f"Nothing is promised about false incidents of the rule {thread.opener}: its detector makes no evidence."
    a_month = config.alerts.false_incidents_per_month
    panes = MONTH_MS / int(config.windows.pane)
    rules = a_month / panes / alpha(config, thread.opener)
    over = f" / {words.exact(a_month)} incidents a month" if a_month != 1 else ""
    incident = "incident" if a_month == 1 else "incidents"
    together = f"; {thread.together:,} with the same cause need 1/{thread.together} of it each"
    threshold, parts = words.exact(thread.threshold), words.exact(thread.parts)
    return (
        f"At most {words.exact(a_month)} false {incident} a month {_be(a_month)} expected on the whole stream while "
        f"nothing changes: one slice alone needs evidence of {threshold} = {words.exact(panes)} panes a month × "
        f"{words.exact(rules)} rules × {parts} (parts of the promise, shared by slices and groups){over}"
        f"{together if thread.together > 1 else ''}."
    )


def _be(n: float) -> str:
    return "is" if n <= 1 else "are"


def summary(
    config: Config, thread: Thread, state: str, reason: str, share: float, facts: PaneFacts, marks: Sequence[Mark]
) -> str:
    """One sentence for an operator who is no statistician."""
    members = thread.told_of
    slices = len({of.key[1:] for of in members})
    subject = words.subject(members, slices, facts.slices.get(members[0].slicing, 0))
    if state not in ("open", "update"):
        what, later = what_words(config, thread.about, past=True)
        began = words.when(_began_ms(thread), config.event.timezone, named=False)
        until_ms = _until_ms(thread, state, facts)
        first_ms = _first_until_ms(thread, until_ms) if later and state == "resolve" else until_ms
        now = words.when(first_ms, config.event.timezone)
        end = f", until {words.when(until_ms, config.event.timezone)}" if first_ms < until_ms else ""
        return f"{_over(thread, state)}: {subject}: {what}, from {began} to {now}{later}{end}."
    traffic = "" if members[0].slicing == EVERYTHING else f"; {words.share(share)} of all events"
    near = _near(thread.since_ms, marks) + _outlook(config, thread)
    return f"{_lead(thread, reason, facts.end_ms)}{subject}: {_course_words(config, thread)}{traffic}; {near}."


def _course_words(config: Config, thread: Thread) -> str:
    """What it opened with and since when, and what was added; where that is so no longer, what is so instead."""
    since = words.when(_began_ms(thread), config.event.timezone)
    if not thread.about or thread.about[0].still or not any(of.still for of in thread.about):
        what, later = what_words(config, thread.about)
        return f"{what} since {since}{later}"
    now = sorted((of for of in thread.about if of.still), key=lambda of: -of.found.weight)
    what, _ = what_words(config, [msgspec.structs.replace(of, at_first=True) for of in now])
    was, _ = what_words(config, thread.about[:1], past=True)
    return f"{what}; it began {since}, when {was}"


def _began_ms(thread: Thread) -> int:
    """When it began; where it has come again, when it did so: it was over in between."""
    again = [of.since_ms for of in thread.members.values() if of.heard_ms >= thread.begun_ms]
    return min(again, default=thread.since_ms) if thread.comebacks else thread.since_ms


def _until_ms(thread: Thread, state: str, facts: PaneFacts) -> int:
    """When it was last as large as ever, where it is as before; people are told some panes later."""
    still_ms = max((of.still_ms for of in thread.members.values()), default=0)
    return still_ms if state == "resolve" and still_ms > thread.since_ms else facts.end_ms


def _first_until_ms(thread: Thread, until_ms: int) -> int:
    """When what it opened with was so last, where that was before all the rest."""
    first_ms = max((of.found.until_ms for of in thread.about if of.at_first), default=0)
    return first_ms if thread.since_ms < first_ms < until_ms else until_ms


def _near(since_ms: int, marks: Sequence[Mark]) -> str:
    """What people did that is nearest to its beginning."""
    if not marks:
        return ""
    nearest = min(marks, key=lambda of: abs(of.at_ms - since_ms))
    return f"near its beginning: {shorten(nearest.text, _MARK_MAX, placeholder='…')}; "


def _lead(thread: Thread, reason: str, now_ms: int) -> str:
    if reason == "reminder":
        days = (now_ms - thread.begun_ms) // DAY_MS
        return f"Still so after {days} {'day' if days == 1 else 'days'}: " if days else "Still so: "
    if reason == "action":
        return f"{thread.acked_by} looks after this: " if thread.acked_by else ""
    return _LEAD.get(reason, "")


_MARK_MAX = 80
_LEAD = {"again": "Back again: ", "severity": "Worse now: ", "members": "More of it: "}


def _over(thread: Thread, state: str) -> str:
    if state == "accepted":
        return f"Accepted as the new normal by {thread.acked_by}"
    return "Over, the new model takes it for normal" if state == "handover" else "Over, all is as before"


def what_words(config: Config, about: Sequence[Named], past: bool = False) -> tuple[str, str]:
    """What has changed: what an incident opened with, and what was added later, if with words before it. Of both the
    first finding, a fault of values that is not the first, and the names of the other columns are told.
    """
    first = [of.found for of in about if of.at_first]
    if not first:
        return "something has changed", ""
    named = {feature for of in first for feature in of.features}
    later = [of.found for of in about if not of.at_first and not named.issuperset(of.found.features)]
    faults = [of for of in later if of.detector in SPOILING]
    added = _told(config, faults[:1], past)
    columns = dict.fromkeys(name for of in later for name in of.features if name not in named)
    added += [_columns([*columns], {*(name for of in faults[:1] for name in of.features)})]
    also = "; ".join(filter(None, added))
    return "; ".join(_opening(config, first, past)), f"; later also {also}" if also else ""


def _opening(config: Config, found: Sequence[Pooled], past: bool) -> list[str]:
    told = [found[0], *[of for of in found[1:] if of.detector in SPOILING][:1]]
    others = _columns([name for of in found for name in of.features], {name for of in told for name in of.features})
    return [*_told(config, told, past), *([f"also {others}"] if others else [])]


def _told(config: Config, found: Sequence[Pooled], past: bool) -> list[str]:
    sensitive, pane_ms = frozenset(config.event.sensitive), int(config.windows.pane)
    return [words.finding(of, sensitive, pane_ms, past) for of in found]


def _columns(names: Sequence[str], but: Collection[str]) -> str:
    """The first few columns, but those that are named already."""
    return words.listed(list(dict.fromkeys(name for name in names if name not in but))[: words.NAMED_MAX], 0, "")


def asks(config: Config, thread: Thread) -> bool:
    """Whether an incident asks for a model, as far as what is known of its members goes."""
    return config.retrain.enabled and thread.asks


def _outlook(config: Config, thread: Thread) -> str:
    if asks(config, thread):
        return "a new model is asked for"
    if thread.burst and thread.kind == "drift":
        return "no model learns it until somebody accepts it"
    return "this looks like a fault of the data" if thread.kind == "fault" else "no model is asked for"


def next_steps(config: Config, thread: Thread, state: str) -> str:
    """What happens by itself, and what a person can do."""
    if state == "resolve":
        return f"Nothing. Should it come back within {words.duration(config.alerts.join_within)}, it goes on as this."
    if state == "handover":
        return "Nothing: what the new model has learned is normal from now on."
    if state == "accepted":
        asked = "A new model is asked for, and may learn these events. " if thread.called else ""
        return f"{asked}Nothing more is said of this change. Another one on the same slices is an incident of its own."
    learns = ", and a new model may learn it" if config.retrain.enabled and thread.burst and _is_drift(thread) else ""
    can = [f"driftflow accept {thread.id} (it is to stay like this{learns})"]
    if not thread.acked_by:
        can.append(f"driftflow ack {thread.id} (you look after it: no reminders)")
    looks = f" {thread.acked_by} looks after it." if thread.acked_by else ""
    return f"{_course(config, thread)}{looks} You can: {', '.join(can)}."


def _course(config: Config, thread: Thread) -> str:
    if asks(config, thread):
        return "A new model is asked for. It ends by itself once a model takes this for normal, or all is as before."
    ends = "It ends by itself once all is as before."
    if thread.kind == "fault":
        return f"No model is asked for, it would learn the fault. None learns these events until {_ACCEPT}. {ends}"
    if thread.burst:
        return (
            "No model is asked for: far more of these events than usual are strange, which may be a fault or an "
            f"attack. None learns these events until {_ACCEPT}. {ends}"
        )
    why = "" if thread.hurt or not config.retrain.enabled else ", the one in service is not hurt by it so far"
    return f"No model is asked for{why}. {ends}"


_ACCEPT = "somebody says that they are to be normal (`driftflow accept`)"


def _is_drift(thread: Thread) -> bool:
    return thread.kind == "drift"
