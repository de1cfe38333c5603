"""What people are told, and what they answer: incidents, strange events, and actions.

Like all records: event times in integer milliseconds, deterministic ids, fields within bounds.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.bounds import Count, Finite, Id, Millis, Name, Number, Share, Text
from schemas.records import MANY, Blame, Record

MEMBERS_MAX = 100
"""Members that a message lists, of however many there are."""

EXAMPLES_MAX = 5
"""Events that a message names."""


class Member(Record, frozen=True):
    """A rule that fired on a slice: one thing that an incident is made of."""

    rule: Name
    slicing: Name
    slice: Name
    detector: Id
    """What explains it best."""
    feature: Name
    """The column that it is about, or "" where it is about the slice as a whole."""
    direction: Annotated[str, Meta(pattern="^(up|down|)$")]
    since_ms: Millis
    """Since when, as far as the evidence tells."""
    over: bool
    """Whether the evidence has turned: it is as before, or as a newer model takes for normal."""


class Finding(Record, frozen=True):
    """What is not as it was, in figures: of a column, or of events as a whole."""

    detector: Id
    feature: Name
    weight: Share
    """Share of the evidence."""
    direction: Annotated[str, Meta(pattern="^(up|down|)$")]
    measure: Text
    """What ``seen`` and ``expected`` are: ``mean``, ``spread``, ``share missing``, ``events a pane`` …"""
    unit: Text = ""
    """Unit of both, where the configuration gives one (``event.units``) or the measure has one."""
    seen: Finite | None = None
    expected: Finite | None = None
    """What is usual at these hours, under the model; None where nothing is."""
    size_sd: Finite | None = None
    """How far apart they are, in standard deviations of one event; None where that means nothing."""
    events: Count = 0
    """Events that ``seen`` is of."""
    says: Text = ""
    """All of this in words, such as ``TEMP 4.1 σ higher: 12.3 against 3.5 °C usual for this hour``."""


class Example(Record, frozen=True):
    """An event to look at: the strangest ones of the slices that are meant."""

    topic: Name
    partition: Number
    offset: Count
    event_time_ms: Millis
    slice: Name
    p_value: Share
    blame: Annotated[list[Blame], Meta(max_length=MANY)]


class Mark(Record, frozen=True):
    """Something that people did, such as a release: it may explain what began near it."""

    at_ms: Millis
    text: Text
    by: Name


class Incident(Record, frozen=True):
    """One cause, one thread: rules and slices that move together, under one ``id`` from the first message to the last.

    A message comes when it opens, when its severity, its kind or its members have changed, as a reminder, and when it
    ends.
    """

    id: Id
    stream: Name
    number: Count
    """Number of this message in its thread, from 1 on."""
    state: Annotated[str, Meta(pattern="^(open|update|resolve|handover|accepted)$")]
    """``open``, ``update``; over: ``resolve`` (as before), ``handover`` (a newer model, ``successor_id``, takes it for
    normal), ``accepted`` (a person does)."""
    reason: Annotated[str, Meta(pattern="^(opened|again|severity|kind|members|reminder|action|ended)$")]
    """Why this message is sent."""
    kind: Annotated[str, Meta(pattern="^(drift|fault)$")]
    """``drift``: the world has changed, and a model may be asked for; ``fault``: the data have, and none is."""
    severity: Annotated[str, Meta(pattern="^(info|warning|critical)$")]
    """By the size of the effect and the share of traffic."""
    rules: Annotated[list[Name], Meta(max_length=MANY)]
    detector: Id
    """What explains it best."""
    feature: Name
    """The column that is blamed most, or ""."""
    members: Annotated[list[Member], Meta(max_length=MANY)]
    """The first :data:`MEMBERS_MAX`, those with most evidence first."""
    member_count: Count
    """All members."""
    slice_count: Count
    """Slices among them."""
    since_ms: Millis
    """When it began, as far as the evidence tells."""
    opened_pane_ms: Millis
    """Start of the pane at which it opened."""
    pane_start_ms: Millis
    pane_end_ms: Millis
    """The pane that this message is about."""
    events: Count
    """Events of its slices since ``since_ms``, as far as they were counted."""
    share: Share
    """Share of the traffic that its slices have."""
    statistic: Finite
    """The largest evidence of a member."""
    threshold: Finite
    """What opened it."""
    evidence: Text
    """What the statistic is."""
    promise: Text
    """What is promised about false ones, in words."""
    findings: Annotated[list[Finding], Meta(max_length=MANY)]
    examples: Annotated[list[Example], Meta(max_length=MANY)]
    marks: Annotated[list[Mark], Meta(max_length=MANY)]
    """What people did near its beginning."""
    model_id: Id
    """The model that it was found under."""
    successor_id: Id = ""
    cause_id: Id = ""
    """Of what a source partition tells of its own events (rule ``intake``): the same for the same fault on any of them.
    Partitions do not know of each other, so each has an ``id`` of its own; those with one cause that are open together
    are one to people. "" where an incident stands alone.
    """
    links: dict[str, Text] = msgspec.field(default_factory=dict)
    """``console``, ``grafana``: where to look."""
    acked_by: Name = ""
    silenced_by: Id = ""
    """The silence that keeps this message from people: it is then of the type ``driftflow.silenced-incident.v1``."""
    next: Text = ""
    """What happens next by itself, and what a person can do."""
    summary: Text = ""
    """One sentence for an operator who is no statistician."""


class SilencedIncident(Incident, frozen=True):
    """A message of an incident that a silence covers: for the audit, not for people."""


class StrangeEvents(Record, frozen=True):
    """Single events that the model finds strange and that belong to no incident: one message, however many they are."""

    id: Id
    stream: Name
    pane_start_ms: Millis
    pane_end_ms: Millis
    from_ms: Millis
    """Start of the first pane that is counted here."""
    count: Count
    """Strange events in ``[from_ms, pane_end_ms)``."""
    threshold: Share
    """Events with a p-value at or below this are counted, the largest that one was counted by."""
    per_day: Finite
    """While nothing changes so many events a day are expected to be told, or fewer (``alerts.single_events_per_day``).
    """
    events: Annotated[list[Example], Meta(max_length=MANY)]
    """The strangest."""
    model_id: Id
    summary: Text


class Action(Record, frozen=True):
    """What a person says about an incident, a silence, a release or a model; signed by an operator's key."""

    id: Id
    stream: Name
    verb: Annotated[
        str, Meta(pattern="^(accept|ack|silence|unsilence|mark|feedback|rollback|pin|unpin|approve|reject|anchor)$")
    ]
    by: Name
    """Who."""
    at_ms: Millis
    """When it was said, wall clock; of a mark, the time on the stream that it stands at."""
    incident_id: Id = ""
    """Of ``accept``, ``ack``, ``feedback``; of ``unsilence`` the silence's id."""
    why: Text = ""
    verdict: Annotated[str, Meta(pattern="^(useful|noise|wrong-owner|)$")] = ""
    slices: Annotated[list[Text], Meta(max_length=MANY)] = msgspec.field(default_factory=list)
    """Of a silence: patterns such as ``country=DE`` or ``Dong*``, all of which have to fit; none is every slice."""
    channel: Name = ""
    """Of a silence: a detector, a feature, or ``detector feature``; "" is every one."""
    direction: Annotated[str, Meta(pattern="^(up|down|)$")] = ""
    below_sd: Finite = 0.0
    """Of a silence: only effects smaller than so many standard deviations; 0 is every one."""
    from_ms: Millis = 0
    to_ms: Millis = 0
    """Of a silence: its span on the stream's time, half-open."""
    model: Id = ""
    """Of ``rollback``, ``pin``, ``approve``, ``reject`` and ``anchor``: id of the model that is meant."""
