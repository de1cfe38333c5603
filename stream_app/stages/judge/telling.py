"""When an incident says something: few messages, each for a reason.

People are told when it opens; at once when its severity has risen above all they were told; at most once in
``alerts.gather`` when its kind has changed, or its slices have at least doubled or grown by half of all there are;
else at the times of ``alerts.reminders`` after it opened and then every ``alerts.repeat``, as long as it waits for a
person and goes on: nobody has acknowledged it, no new model is due that may end it by itself, and its evidence is as
large as ever in that pane (else it says so once it is); and when it ends. So of an incident that lasts for t there are
at most

    1 + 2 + t / gather + reminders until t + 1

messages, whatever the slices do; and a reminder that is due when something else is said is not said again.

Under a silence the same goes on in the audit, without reminders. Once the silence has ended people are told.
"""

from __future__ import annotations

import msgspec

from stream_app.config.alerts import AlertsConfig
from stream_app.stages.judge.threads import Said, Thread

_GROWN = 0.5


class Standing(msgspec.Struct, frozen=True):
    """How an incident stands in a pane.

    Attributes:
        now_ms: end of the pane.
        severity: number of it.
        slices: of the incident, ever.
        of_all: slices that there are.
        silence: id of the silence that covers it, or "".
        due: a model that it asks for is due: people can wait for that.
        still_ms: when its evidence was as large as ever, last.
    """

    now_ms: int
    severity: int
    kind: str
    slices: int
    of_all: int
    silence: str
    due: bool
    still_ms: int


def slots(alerts: AlertsConfig, elapsed_ms: int) -> int:
    """Reminders that are due so long after an incident opened."""
    due = sum(1 for of in alerts.reminders if of <= elapsed_ms)
    later = elapsed_ms - max(alerts.reminders, default=0)
    return due + (later // alerts.repeat if alerts.repeat and later > 0 else 0)


def reason(alerts: AlertsConfig, thread: Thread, now: Standing) -> str:
    """Why something is said now, of :class:`~schemas.incidents.Incident`'s reasons; "" where nothing is."""
    said = thread.audit if now.silence else thread.people
    if said is None:
        return "opened"
    if now.severity > said.severity:
        return "severity"
    gathered = now.now_ms - said.ms >= alerts.gather
    if bool(now.silence) != bool(thread.silenced_by) and (now.silence or gathered):
        return "action"
    if gathered and now.kind != said.kind:
        return "kind"
    if gathered and _has_spread(said.slices, now):
        return "members"
    return "reminder" if _waits(thread, now) and _is_time(alerts, thread, said, now.now_ms) else ""


def has_rested(alerts: AlertsConfig, thread: Thread, now: Standing) -> bool:
    """Whether it is time to tell that an incident is over: at once, but where it has come again after people were told
    so, it has to be over for a while, twice as long each time. So what comes and goes is told ever less often.
    """
    wait_ms = int(alerts.gather) * 2 ** min(thread.comebacks - 1, 16) if thread.comebacks else 0
    return now.now_ms - thread.over_ms >= min(wait_ms, int(alerts.join_within))


def _waits(thread: Thread, now: Standing) -> bool:
    """Whether it goes on, and a person has to do something. Evidence turns slowly: what has only grown since the last
    message may be over for long.
    """
    return not (now.silence or thread.acked_by or now.due) and now.still_ms >= now.now_ms


def _is_time(alerts: AlertsConfig, thread: Thread, said: Said, now_ms: int) -> bool:
    elapsed_ms = now_ms - thread.begun_ms
    weekly = elapsed_ms > max(alerts.reminders, default=0) + alerts.repeat
    return slots(alerts, elapsed_ms) > said.slots and not (weekly and now_ms - said.ms < alerts.repeat)


def _has_spread(before: int, now: Standing) -> bool:
    grown = now.slices - before
    return grown > 0 and (now.slices >= 2 * before or grown >= _GROWN * now.of_all)


def note(alerts: AlertsConfig, thread: Thread, now: Standing, silence: str) -> None:
    """A message goes out, to people where no ``silence`` keeps it from them."""
    thread.number += 1
    before = thread.audit if silence else thread.people
    highest = max(now.severity, before.severity if before else 0)
    due = slots(alerts, max(now.now_ms - thread.begun_ms, 0))
    thread.audit = Said(now.now_ms, highest, now.kind, now.slices, due)
    thread.silenced_by = silence
    if not silence:
        thread.people = thread.audit
