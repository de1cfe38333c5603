"""Models in service are watched, and the former returns where a newer one does not do what it promised."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.codecs import decode_event, encode_partials
from schemas.evidence import EvidenceClosed, ModelPane
from schemas.incidents import Action, Incident
from schemas.records import ServiceChange, record_id
from stream_app.stages.decisions import Acted
from stream_app.stages.detection.detectors.simulated import World
from stream_app.stages.judge.probation import SERVED_MAX, Probation
from stream_app.stages.judge.served import LEVEL
from stream_app.stages.outputs import Outgoing
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.judging import Judging, spread
from tests.stages.judge.making import HOUR, START, config

EVENTS = 60


class Models:
    """A probation, pane by pane.

    Attributes:
        now: number of the next pane.
        changes, incidents: all that was said.
    """

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.config = config(**settings)
        self.probation, self.rng = Probation(self.config), np.random.default_rng(seed)
        self.now = 0
        self.changes: list[ServiceChange] = []
        self.incidents: list[Incident] = []

    def panes(
        self, n: int, model: str, alarms: float = 0.01, unscorable: float = 0.0, clump: int = 1, on: bool = False
    ) -> int:
        """So many panes under a model, until something is said unless it is to go ``on``; how many events came."""
        events = 0
        for _ in range(n):
            said = len(self.incidents)
            hits = clump * int(self.rng.binomial(EVENTS, alarms / clump))
            self.pane({model: (EVENTS, min(hits, EVENTS), int(self.rng.binomial(EVENTS, unscorable)))})
            events += EVENTS
            if len(self.incidents) > said and not on:
                break
        return events

    def pane(self, models: dict[str, tuple[int, int, int]]) -> None:
        """One pane: events that were scored, alarms among them, and others that could not be."""
        start = START + self.now * HOUR
        said = self.probation.take(start, start + HOUR, {name: pane(name, *of) for name, of in models.items()})
        self.now += 1
        self._add(said)

    def act(self, verb: str, model: str = "", incident_id: str = "") -> None:
        """What a person says."""
        name = record_id("test", verb, model, self.now)
        action = Action(id=name, stream="air", verb=verb, by="ann", at_ms=1, model=model, incident_id=incident_id)
        self._add(self.probation.act(action, START + self.now * HOUR))

    def _add(self, said: Any) -> None:
        self.changes += said.changes
        self.incidents += said.incidents

    def restart(self) -> None:
        """From its snapshot."""
        state = unpack(pack(self.probation.to_state()))
        self.probation = Probation(self.config)
        self.probation.restore(state)


def pane(model_id: str, scored: int, alarms: int, unscorable: int) -> ModelPane:
    return ModelPane(
        model_id=model_id,
        seen=scored + unscorable,
        scored=scored,
        unscorable=unscorable,
        alarms=alarms,
        log_prob_sum=-2.0 * scored,
    )


@pytest.mark.parametrize(
    ("found", "figures", "at_most"),
    [
        ("silent", {"alarms": 0.0}, 1_400),
        ("noisy", {"alarms": 0.049}, 1_500),
        ("noisy", {"alarms": 1.0}, 2 * EVENTS),
        ("unscorable", {"unscorable": 0.99}, 3 * EVENTS),
    ],
)
def test_a_bad_model_is_found_soon_and_the_former_returns(found: str, figures: dict[str, float], at_most: int) -> None:
    models = Models()
    models.panes(200, "good")
    models.restart()
    events = models.panes(100, "bad", **figures)
    (change,), (incident,) = models.changes, models.incidents
    assert events <= at_most
    assert (change.verb, change.model_id, change.returns_to, change.by) == ("rollback", "bad", "good", "driftflow")
    assert change.figures["found"] == incident.detector == found
    assert change.figures["e_value"] >= 1 / LEVEL
    assert (incident.state, incident.rules, incident.model_id) == ("open", ["model"], "bad")
    assert "model bad" in incident.summary
    assert "model good returns" in incident.summary
    assert models.probation.service == "good"
    models.restart()
    models.panes(100, "good")
    assert (len(models.changes), len(models.incidents)) == (1, 1), "said once"


def test_a_model_in_order_stays_however_often_one_looks() -> None:
    """Fresh ones, one after the other: of each question one in a thousand might be answered wrongly. That three of
    sixty models are found by chance has a probability below 10⁻³ of the thousandth: C(180, 3) · 10⁻⁹.
    """
    models = Models(seed=20)
    for k in range(60):
        models.panes(170, f"m{k}")
    assert len(models.changes) <= 2
    assert len(models.probation.to_state()["served"]) <= SERVED_MAX


def test_alarms_that_come_in_clumps_take_longer_to_say_the_same() -> None:
    """Six at once, one per cent in all: a design effect from the week of the former."""
    for seed in range(5):
        models = Models(seed)
        models.panes(168, "good", clump=6)
        models.panes(168, "next", clump=6)
        assert (models.changes, models.incidents) == ([], [])


def beside(models: Models, panes: int, alarms: float = 0.01, scored: int = 90) -> int:
    """Panes that a new model scores a part of, until something changes; how many."""
    for k in range(panes):
        before = len(models.changes)
        hits = int(models.rng.binomial(scored, alarms))
        models.pane({"good": (270, int(models.rng.binomial(270, 0.01)), 0), "new": (scored, hits, 0)})
        if len(models.changes) > before:
            return k + 1
    return panes


def test_a_model_that_begins_on_a_share_is_extended_once_enough_events_spoke_for_it() -> None:
    models = Models(trainer={"canary_share": 0.25})
    models.panes(168, "good")
    assert models.changes == [], "a first model is on all"
    assert 1_300 / 90 <= beside(models, 168) <= 13_000 / 90
    (change,) = models.changes
    assert (change.verb, change.model_id, change.returns_to, change.by) == ("extend", "new", "new", "driftflow")
    assert "on a share of the source partitions, and nothing was found against it" in change.why
    assert change.figures["events"] >= 1_300
    models.restart()
    beside(models, 50)
    assert (models.changes, models.incidents) == ([change], [])
    assert models.probation.service == "new"


def test_a_bad_model_that_begins_on_a_share_leaves_before_the_others_follow() -> None:
    for alarms in (0.0, 0.06):
        models = Models(trainer={"canary_share": 0.25})
        models.panes(168, "good")
        beside(models, 168, alarms)
        (change,) = models.changes
        assert (change.verb, change.model_id, change.returns_to) == ("rollback", "new", "good")
        models.panes(100, "good")
        assert models.changes == [change]


def test_of_a_quiet_stream_a_model_is_extended_when_its_probation_is_over() -> None:
    models = Models(trainer={"canary_share": 0.25, "probation": "2d"})
    models.panes(168, "good")
    assert beside(models, 168, scored=1) == 49
    assert [of.verb for of in models.changes] == ["extend"]


@pytest.mark.parametrize(("share", "pin"), [(0.0, False), (0.25, True)])
def test_nothing_is_extended_where_models_begin_everywhere_or_a_person_has_chosen(share: float, pin: bool) -> None:
    models = Models(trainer={"canary_share": share})
    models.panes(168, "good")
    if pin:
        models.act("pin", "new")
    beside(models, 168)
    assert [of.verb for of in models.changes] == ["pin"] * pin


def test_after_its_probation_a_model_is_left_alone() -> None:
    models = Models(trainer={"probation": "2d"})
    models.panes(48, "good")
    models.panes(50, "late")
    assert models.panes(200, "late", alarms=0.0) == 200 * EVENTS
    assert models.changes == []


def test_a_silent_model_is_noticed_on_a_stream_of_few_events_too() -> None:
    """Two days of it have a fifth of the events that tell."""
    models = Models(trainer={"probation": "2d"})
    for number in range(400):
        models.pane({"good": (6, int(number % 17 == 0), 0)})
    for _ in range(400):
        models.pane({"mute": (6, 0, 0)})
    (change,) = models.changes
    assert (change.model_id, change.returns_to, change.figures["found"]) == ("mute", "good", "silent")
    assert 800 < change.figures["events"] < 1_300


def test_a_model_that_alarms_no_more_than_the_former_stays() -> None:
    """The world has changed, and both alarm on 4 %."""
    models = Models()
    models.panes(168, "good", alarms=0.04, on=True)
    models.incidents.clear()
    models.panes(160, "next", alarms=0.04)
    assert (models.changes, models.incidents) == ([], [])


def test_a_first_model_may_be_silent_on_the_history_that_it_was_trained_on() -> None:
    models = Models()
    models.panes(100, "first", alarms=0.0)
    assert (models.changes, models.incidents) == ([], [])


def test_the_first_model_stays_and_people_are_told() -> None:
    models = Models()
    models.panes(100, "first", alarms=0.1)
    (incident,) = models.incidents
    assert models.changes == []
    assert "no model before it" in incident.summary
    models.act("ack", incident_id=incident.id)
    assert (models.incidents[-1].state, models.incidents[-1].number, models.incidents[-1].next) == ("accepted", 2, "")
    models.act("ack", incident_id=incident.id)
    assert len(models.incidents) == 2


def test_of_a_first_model_nothing_is_said_while_people_know_of_a_change() -> None:
    models = Models()
    for k in range(60):
        start = START + k * HOUR
        models._add(models.probation.take(start, start + HOUR, {"first": pane("first", 60, 30, 0)}, explained=True))
    assert models.incidents == []
    models.now = 60
    models.panes(3, "first")
    assert models.incidents == []
    models.panes(1, "first", alarms=0.5)
    assert [of.state for of in models.incidents] == ["open"]


def test_an_incident_about_a_model_ends_with_the_longest_window() -> None:
    models = Models()
    models.panes(100, "first", alarms=0.1)
    span = int(models.config.windows.spans[-1])
    models.panes(span // HOUR + 2, "first")
    assert [of.state for of in models.incidents] == ["open", "resolve"]


def test_two_bad_models_in_a_row_fall_back_to_the_one_before_them() -> None:
    models = Models()
    models.panes(100, "good")
    models.panes(2, "bad")
    models.panes(100, "worse", alarms=0.3)
    assert (models.changes[-1].model_id, models.changes[-1].returns_to) == ("worse", "bad")
    models.panes(100, "bad", alarms=0.3)
    assert (models.changes[-1].model_id, models.changes[-1].returns_to) == ("bad", "good")
    assert models.probation.service == "good"


def test_people_roll_back_pin_and_unpin() -> None:
    models = Models()
    models.panes(10, "a")
    models.act("rollback", "a")
    models.act("unpin")
    assert models.changes == [], "nothing could return, and nothing is pinned"
    models.panes(10, "b")
    models.act("rollback", "b")
    models.act("rollback", "b")
    models.panes(10, "c")
    models.act("pin", "b")
    models.restart()
    models.act("pin", "b")
    models.act("unpin")
    said = [(of.verb, of.model_id, of.returns_to, of.by) for of in models.changes]
    assert said == [("rollback", "b", "a", "ann"), ("pin", "b", "b", "ann"), ("unpin", "", "c", "ann")]
    assert len({of.id for of in models.changes}) == 3
    models.act("approve", "c")
    assert len(models.changes) == 3


def test_what_is_pinned_is_not_rolled_back_by_itself() -> None:
    models = Models()
    models.panes(10, "good")
    models.panes(5, "bad", alarms=0.0)
    models.act("pin", "bad")
    models.panes(100, "bad", alarms=0.0)
    (incident,) = models.incidents
    assert [of.verb for of in models.changes] == ["pin"]
    assert "is pinned" in incident.summary


def closed(k: int, model: str, alarms: int) -> EvidenceClosed:
    """A pane of a hundred events."""
    return EvidenceClosed(
        stream="s",
        partition=0,
        pane_start_ms=k * HOUR,
        pane_end_ms=(k + 1) * HOUR,
        slices={"slice": 1},
        events=100,
        service=model,
        models=[pane(model, 100, alarms, 0)],
        groups=[],
        other=[],
        top=[],
        marks=[],
        strangers=[],
    )


def test_judge_says_it_once_to_the_trainer_to_people_and_as_a_decision_whatever_crashes() -> None:
    world = World(d=1, k=0, slices=1)
    stream = spread(world, 1)
    every = [*(closed(k, "m", 1) for k in range(30)), *(closed(k, "n", 0) for k in range(30, 60))]
    sent = [Outgoing("evidence", 0, None, m.value, m.headers) for m in encode_partials([*every])]
    references = {"m": world.fitted[1], "n": world.fitted[1]}
    once = Judging(stream, references).feed(sent, size=7)
    again = Judging(stream, references).feed(sent, size=3, restart=2)
    assert again.out.messages == once.out.messages
    (change,) = once.out.changes
    told = [decode_event(m.value, m.headers) for m in once.out.messages]
    assert [of for of in told if isinstance(of, ServiceChange)] == [change]
    assert [of.rules for of in told if isinstance(of, Incident)] == [["model"]]
    assert [point.measurement for point in once.out.points if point.measurement == "service"] == ["service"]
    action = Action(id="p", stream="s", verb="pin", by="ann", at_ms=1, model="n")
    once.act(Acted(once.state.final_ms, 0, action))
    assert [of.verb for of in once.out.changes] == ["rollback", "pin"]
    unpin = msgspec.structs.replace(action, id="u", verb="unpin", model="")
    once.act(Acted(once.state.final_ms, 1, unpin, "nothing follows from it"))
    assert [of.verb for of in once.out.changes] == ["rollback", "pin"], "it was decided so"
    assert once.state.acted_offset == 1
