"""``driftflow accept``, ``ack``, ``silence``, ``unsilence``, ``mark`` and ``feedback``: each sends one signed action,
and answers in sentences: what was said, and what follows from it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowlib.artifact import Ed25519PrivateKey
from schemas.incidents import Action, Incident, StrangeEvents
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError, Unreachable
from stream_app.incident_lines import bounded, is_answerable, is_over, open_first, short
from stream_app.kafka.actions import action_message, new_action, read_actions, send_action, silences
from stream_app.kafka.probes import require_reachable
from stream_app.models.keys import operator_key
from stream_app.models.marks import Marks
from stream_app.models.signing import sign
from stream_app.operators.reading import Told, chosen, read_told
from stream_app.operators.silencing import SilenceOptions, checked_span, moment_ms
from stream_app.operators.stored import NOT_ASKED
from stream_app.terminal import utc

INCIDENTS = "`driftflow incidents --all` lists them"
"""Where to look for ids."""
_SILENCES = "`driftflow incidents --silences` lists them"
LOGS = "log"
"""Rule of the incidents about logs (:data:`stream_app.worker.losses.RULE`)."""
_LEARNS = {
    "drift": "where it hurts the model in service, a new one is asked for (at once, or where one has come since the "
    "last request when `retrain.cooldown` is over), and learns these events however strange they are",
    "fault": "no model is asked for",
}
"""What follows from accepting an incident, by its kind."""
_WORKER = "a worker takes it in at once, or when it runs again"


def who(by: str) -> str:
    """Who acts: the name that is given, else the one of the login.

    Raises:
        DriftflowError: there is neither.
    """
    try:
        return by or getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise DriftflowError("nobody is logged in by name here: say who you are with --by NAME") from None


def run_accept(config: Config, prefix: str, by: str, why: str) -> list[str]:
    """Say of an incident that this is the new normal: of an open one, or of one that has ended by itself."""
    desk = Desk(config, by)
    incident = _answerable(desk.open_incident(prefix, or_resolved=True))
    desk.send("accept", incident_id=incident.id, why=why)
    ends = "It is over; what of it nobody had judged counts as judged" if is_over(incident) else "It ends as `accepted`"
    return [
        f"{desk.by} takes for normal what incident {short(incident.id)} tells of: {bounded(incident.summary)}",
        f"{ends}; {_LEARNS[incident.kind]}; {_WORKER}.",
    ]


def run_ack(config: Config, prefix: str, by: str, why: str) -> list[str]:
    """Say of an open incident that somebody sees to it."""
    desk = Desk(config, by)
    incident = _answerable(desk.open_incident(prefix))
    desk.send("ack", incident_id=incident.id, why=why)
    after = (
        "It is about a log, and what is gone of that does not come back: it is over with this"
        if incident.rules == [LOGS]
        else "It stays open, and reminds nobody any more; it is told again when it becomes more severe, when its kind "
        "or members change, and when it ends"
    )
    return [f"{desk.by} sees to incident {short(incident.id)}: {bounded(incident.summary)}", f"{after}; {_WORKER}."]


def _answerable(incident: Incident) -> Incident:
    """The incident; raises DriftflowError where no answer has an effect on it."""
    if not is_answerable(incident):
        raise DriftflowError(
            f"incident {short(incident.id)} tells what becomes of events as they arrive: it ends by itself once they "
            "are as they should be, and no answer changes that. What is meant to be so, say in the configuration: see "
            "event.tolerated and event.policy"
        )
    return incident


def run_feedback(config: Config, prefix: str, verdict: str, by: str, why: str) -> list[str]:
    """Judge an incident, or a message about strange events, open or over."""
    desk = Desk(config, by)
    told = desk.told()
    records: dict[str, Incident | StrangeEvents] = {one.id: one for one in open_first(told.incidents.values())}
    record = chosen(records | told.strange, prefix, "incident", words_of, INCIDENTS)
    desk.send("feedback", incident_id=record.id, verdict=verdict, why=why)
    return [
        f"{desk.by} finds {verdict}: {bounded(record.summary)}",
        "It counts in what `driftflow feedback` shows, in the place of an earlier verdict on it; no threshold changes "
        "by itself.",
    ]


def run_silence(config: Config, options: SilenceOptions, by: str) -> list[str]:
    """Keep incidents of some slices, channels, directions or sizes from people for a time."""
    span = checked_span(config, options)
    desk = Desk(config, by)
    action = desk.send(
        "silence",
        why=options.why,
        slices=list(options.slices),
        channel=options.channel,
        direction=options.direction,
        below_sd=options.below_sd,
        from_ms=span.from_ms,
        to_ms=span.to_ms,
    )
    return [
        f"{desk.by} silences {silence_words(action)}; `driftflow unsilence {short(action.id)}` takes it back",
        f"Incidents that it covers whole reach nobody meanwhile; `driftflow incidents --all` shows them; {_WORKER}.",
    ]


def run_unsilence(config: Config, prefix: str, by: str, why: str) -> list[str]:
    """Take a silence back."""
    desk = Desk(config, by)
    found = {action.id: action for action in silences(read_actions(config, Marks(config).is_trusted))}
    action = chosen(found, prefix, "silence", silence_words, _SILENCES)
    desk.send("unsilence", incident_id=action.id, why=why)
    return [
        f"{desk.by} takes a silence back: {silence_words(action)}",
        f"Incidents that it has covered, and that are open, reach people again; {_WORKER}.",
    ]


def run_mark(config: Config, text: str, at: str, by: str) -> list[str]:
    """Mark a time on the stream, such as that of a release."""
    if not text.strip():
        raise DriftflowError("the mark says nothing: give a few words, such as `driftflow mark 'release 4.2'`")
    try:
        at_ms = moment_ms(config, at)
    except ValueError as error:
        raise DriftflowError(f"--at: {error}") from None
    desk = Desk(config, by)
    desk.send("mark", at_ms=at_ms, why=text)
    return [
        f"{desk.by} marks {utc(at_ms)}: {bounded(text)}",
        f"The mark stands on plots, and in incidents that begin near it; {_WORKER}.",
    ]


def silence_words(action: Action) -> str:
    """A silence in a line: about what, from when to when, why, by whom."""
    what = ", ".join(action.slices) or "every slice"
    parts = [what, action.channel, action.direction, f"below {action.below_sd:g} sd" if action.below_sd else ""]
    span = f"from {utc(action.from_ms)} to {utc(action.to_ms)}"
    return bounded(f"{', '.join(part for part in parts if part)} {span} ({action.why}, {action.by})")


def words_of(record: Incident | StrangeEvents) -> str:
    """What people were told last, in a line."""
    return f"{utc(record.pane_end_ms)}  {bounded(record.summary)}"


def _key_of(config: Config) -> Ed25519PrivateKey:
    """The operator's key; who has none, and no broker either, hears of both."""
    try:
        return operator_key(config)
    except ModelError as error:
        try:
            require_reachable(config.kafka)
        except Unreachable as away:
            raise ModelError(f"{error}. Besides, {away}; {NOT_ASKED}") from None
        raise


@contextmanager
def _answers_need_workers() -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        raise Unreachable(f"{error}; {NOT_ASKED}") from None


class Desk:
    """Where a person's actions are made, signed and sent; without a key or a name there is none."""

    def __init__(self, config: Config, by: str) -> None:
        self._config = config
        self._key: Ed25519PrivateKey = _key_of(config)
        self.by = who(by)

    def open_incident(self, prefix: str, or_resolved: bool = False) -> Incident:
        """The open incident whose id begins like this; or where there is none, one that has ended by itself."""
        known = self.told().incidents
        open_ones = {one.id: one for one in open_first(known.values()) if not is_over(one)}
        past = [one for name, one in known.items() if name.startswith(prefix.lower()) and is_over(one) and prefix]
        if past and not any(name.startswith(prefix.lower()) for name in open_ones):
            resolved = {one.id: one for one in past if or_resolved and one.state == "resolve"}
            if resolved:
                return chosen(resolved, prefix, "incident", words_of, INCIDENTS)
            raise DriftflowError(f"incident {short(past[0].id)} is over since {utc(past[0].pane_end_ms)} already")
        return chosen(open_ones, prefix, "open incident", words_of, INCIDENTS)

    def told(self) -> Told:
        """What the stream has told people; raises Unreachable where there is no broker, which says what then."""
        with _answers_need_workers():
            return read_told(self._config)

    def send(self, verb: str, at_ms: int | None = None, **fields: Any) -> Action:
        """Make an action, sign it, send it."""
        action = new_action(self._config.stream, verb, self.by, at_ms, **fields)
        send_action(self._config, sign(action_message(action), self._key))
        return action
