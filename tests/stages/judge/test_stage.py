"""JUDGE as a whole: WATCH of three partials partitions before it."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from flowlib.table import Ints
from schemas.codecs import encode_partials
from schemas.evidence import EvidenceClosed, ModelPane, OtherRow
from schemas.incidents import Action
from schemas.pane_layout import TOGETHER
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.stages.decisions import Acted
from stream_app.stages.detection.detectors.simulated import CHANGES, PANE_MS, START_MS, World
from stream_app.stages.judge.state import JudgeState
from stream_app.stages.outputs import Outgoing
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.judging import Judging, evidence, interleaved, spread

WORLD = World(d=2, k=0, slices=9, seed=5)
REFERENCES = {"m": WORLD.fitted[1]}
CONFIG: Config = spread(WORLD, 3, false_incidents_per_month=20.0)
ACCEPT = Action(id="a", stream="s", verb="accept", by="Li", at_ms=1)
MOVED = {2: CHANGES["location"], 5: CHANGES["location"], 7: CHANGES["location"]}


@cache
def sent() -> list[list[Outgoing]]:
    """Three slices move after 20 panes and come back after 60."""
    return evidence(WORLD, CONFIG, [(20, {}), (40, MOVED), (60, {})], seed=3)


@cache
def plain() -> Judging:
    """JUDGE on all of it, in one order."""
    return Judging(CONFIG, REFERENCES).feed(interleaved(sent(), 0))


def test_one_cause_on_slices_of_several_partitions_is_one_incident_that_opens_and_ends() -> None:
    said = plain().incidents
    assert len({incident.id for incident in said}) == 1
    assert [said[0].state, said[-1].state] == ["open", "resolve"]
    opened = START_MS + 20 * PANE_MS
    assert opened < said[0].pane_end_ms <= opened + 20 * PANE_MS
    members = {member.slice for incident in said for member in incident.members} - {TOGETHER}
    assert members == {WORLD.names[i] for i in MOVED}
    assert {incident.findings[0].feature for incident in said} == {"x0"}
    assert abs(said[0].since_ms - opened) <= 5 * PANE_MS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_comes_out_does_not_depend_on_how_partitions_interleave_nor_on_crashes(seed: int) -> None:
    other = Judging(CONFIG, REFERENCES).feed(interleaved(sent(), seed), size=17 * seed, restart=seed)
    assert other.out.messages == plain().out.messages
    assert other.out.points == plain().out.points


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_comes_out_does_not_depend_on_how_many_panes_come_at_once(size: int) -> None:
    """Of slices that are found by themselves, and of all of them together."""
    one, other = plain(), Judging(CONFIG, REFERENCES).feed(interleaved(sent(), 0), size=size)
    members = {member.slice for incident in one.incidents for member in incident.members}
    assert TOGETHER in members
    assert len(members) > 1
    assert other.out.messages == one.out.messages
    assert other.out.points == one.out.points
    assert pack(other.state.to_state()) == pack(one.state.to_state())


def accepting(panes: int) -> Acted:
    """A person takes the incident for normal, so many panes after it opened."""
    first = plain().incidents[0]
    accepted = Action(id="a", stream="s", verb="accept", by="Li", at_ms=1, incident_id=first.id)
    return Acted(first.pane_end_ms + panes * PANE_MS, 0, accepted)


def test_far_too_many_alarms_ask_for_no_model_until_a_person_has_accepted_them() -> None:
    assert plain().requests == []
    assert "until somebody says" in plain().incidents[-2].next
    judging, decision = Judging(CONFIG, REFERENCES), accepting(20)
    judging.state.acts = [decision]
    judging.feed(interleaved(sent(), 0), size=30)
    (ended,) = [incident for incident in judging.incidents if incident.state == "accepted"]
    (request,) = judging.requests
    assert ended.next.startswith("A new model is asked for")
    assert (request.alerts, request.model_id, request.unjudged) == ([ended.id], "m", [])
    assert request.requested_pane_ms == decision.at_ms + PANE_MS
    assert [part.partition for part in request.train] == [0]
    (span,) = request.accepted
    assert (span.incident_id, span.kind, span.slicing) == (ended.id, "burst", "slice")
    assert {*span.slices} >= {WORLD.names[i] for i in MOVED}
    assert (span.from_ms, span.to_ms) == (ended.since_ms, request.requested_pane_ms)


def test_a_request_leaves_out_what_nobody_has_judged() -> None:
    """The first burst is over and was not accepted; another change on the same stream is, later."""
    moved, wider = {2: CHANGES["location"]}, {5: CHANGES["scale"]}
    spans = [(20, {}), (40, moved), (80, {}), (40, wider)]
    config = spread(WORLD, 1, false_incidents_per_month=20.0)
    every = interleaved(evidence(WORLD, config, spans, seed=3), 0)
    before = Judging(config, REFERENCES).feed(every)
    first, second = (next(of for of in before.incidents if of.id == id_) for id_ in _ids(before))
    judging = Judging(config, REFERENCES)
    action = Action(id="a", stream="s", verb="accept", by="Li", at_ms=1, incident_id=second.id)
    judging.state.acts = [Acted(second.pane_end_ms + 20 * PANE_MS, 0, action)]
    judging.feed(every, size=30)
    (request,) = judging.requests
    assert {span.incident_id for span in request.accepted} == {second.id}
    (unjudged,) = request.unjudged
    ended = next(of for of in judging.incidents if of.id == first.id and of.state == "resolve")
    assert (unjudged.incident_id, unjudged.kind, unjudged.slices) == (first.id, "burst", [WORLD.names[2]])
    assert (unjudged.from_ms, unjudged.to_ms) == (ended.since_ms, ended.pane_end_ms)


def test_what_is_accepted_after_a_request_that_brought_no_model_is_asked_for_anew_once() -> None:
    """The first burst has ended long ago, the cooldown is not over: its events train only now."""
    moved, wider = {2: CHANGES["location"]}, {5: CHANGES["scale"]}
    config = spread(WORLD, 1, false_incidents_per_month=20.0)
    every = interleaved(evidence(WORLD, config, [(20, {}), (40, moved), (80, {}), (40, wider)], seed=3), 0)
    before = Judging(config, REFERENCES).feed(every)
    first, second = (next(of for of in before.incidents if of.id == id_) for id_ in _ids(before))
    acts = [
        Acted(
            second.pane_end_ms + after * PANE_MS, after, msgspec.structs.replace(ACCEPT, id=f"{after}", incident_id=i)
        )
        for after, i in ((10, second.id), (15, first.id), (16, first.id), (17, "nothing"))
    ]
    judging, again = Judging(config, REFERENCES), Judging(config, REFERENCES)
    judging.state.acts, again.state.acts = [*acts], [*acts]
    judging.feed(every, size=30)
    one, other = judging.requests
    assert [of.requested_pane_ms - second.pane_end_ms for of in (one, other)] == [11 * PANE_MS, 16 * PANE_MS]
    assert other.requested_pane_ms - one.requested_pane_ms < config.retrain.cooldown
    assert one.id != other.id
    assert [of.incident_id for of in one.unjudged] == [first.id]
    assert ({of.incident_id for of in other.accepted}, other.unjudged) == ({first.id, second.id}, [])
    assert [of for of in judging.incidents if of.state == "accepted" and of.id == first.id] == [], "it was over"
    for at in range(0, len(every), 7):  # the same after any crash
        again.feed(every[at : at + 7])
        state = pack(again.state.to_state())
        again.state = JudgeState.from_state(config, unpack(state))
        again.state.acts = [act for act in acts if act.offset > again.state.acted_offset]
    assert again.requests == judging.requests


def _ids(judging: Judging) -> list[str]:
    return list(dict.fromkeys(incident.id for incident in judging.incidents))


def test_a_pane_waits_for_a_model_that_is_not_here_and_is_then_judged_the_same() -> None:
    late = Judging(CONFIG, {})
    late.feed(interleaved(sent(), 0))
    assert (late.out.messages, late.state.needed_models()) == ([], {"m"})
    late.references = {"m": [REFERENCES["m"]]}
    late.feed([])
    late._add(late.stage.step(late.state, [], late.references))
    assert late.out.messages == plain().out.messages


def test_what_is_no_evidence_is_a_dead_letter_and_holds_nobody_up() -> None:
    good = interleaved(sent(), 0)
    bad = [Outgoing("evidence", 0, None, b"garbage", good[0].headers), Outgoing("evidence", 0, None, b"", ())]
    judging = Judging(CONFIG, REFERENCES).feed([bad[0], *good[:50], bad[1], *good[50:]])
    letters = [record for record in judging.records if isinstance(record, DeadLetter)]
    assert [letter.topic for letter in letters] == [CONFIG.topics.evidence] * 2
    assert judging.state.refused == len(judging.out.refused) == 2
    assert judging.incidents == plain().incidents


def test_what_people_say_counts_from_its_time_on_live_and_in_a_replay() -> None:
    first, decision = plain().incidents[0], accepting(3)
    replay = Judging(CONFIG, REFERENCES)
    replay.state.acts = [decision]
    replay.feed(interleaved(sent(), 0))
    live, every = Judging(CONFIG, REFERENCES), interleaved(sent(), 0)
    for message in every:
        live.feed([message])
        if live.state.final_ms == decision.at_ms and live.state.acted_offset < 0:
            live.act(decision)
    assert live.out.messages == replay.out.messages
    ended = next(incident for incident in live.incidents if incident.state == "accepted")
    later = live.incidents[live.incidents.index(ended) + 1 :]
    accepted_slices = {member.slice for member in ended.members}
    said_later = {member.slice for incident in later for member in incident.members}
    assert ended.id == first.id
    assert not accepted_slices & said_later, "their evidence stays, and says nothing any more"
    assert live.act(decision).out.messages == replay.out.messages, "one that was taken in has no effect"


def test_nothing_is_told_of_slices_that_do_not_change() -> None:
    calm = Judging(CONFIG, REFERENCES).feed(interleaved(evidence(WORLD, CONFIG, [(120, {})], seed=9), 0))
    assert calm.incidents == []


def of_strangers(k: int, row: Ints | None, service: str) -> EvidenceClosed:
    """A pane with nothing but events that have no slice of their own."""
    start = START_MS + k * PANE_MS
    other = [OtherRow(slicing="slice", model_id=service, row=row.astype("<i8").tobytes())] if row is not None else []
    return EvidenceClosed(
        stream="s",
        partition=0,
        pane_start_ms=start,
        pane_end_ms=start + PANE_MS,
        slices={"slice": 9},
        events=5,
        service=service,
        models=[],
        groups=[],
        other=other,
        top=[],
        marks=[],
        strangers=[],
    )


def test_while_a_model_is_tried_on_a_share_the_former_is_in_service_as_long_as_it_scores() -> None:
    """Else two that score about as many slices would take turns, and what was found would begin anew each time."""

    def closed(k: int, service: str, *models: str) -> EvidenceClosed:
        seen = [ModelPane(model_id=name, seen=9, scored=9, unscorable=0, alarms=0, log_prob_sum=0.0) for name in models]
        return msgspec.structs.replace(of_strangers(k, None, service), models=seen)

    for share, expected in ((0.5, ["m", "m", "n"]), (0.0, ["n", "n", "n"])):
        config = spread(WORLD, 1, false_incidents_per_month=20.0)
        config = msgspec.structs.replace(config, trainer=msgspec.structs.replace(config.trainer, canary_share=share))
        judging, found = Judging(config, {"m": REFERENCES["m"], "n": REFERENCES["m"]}), []
        panes = [closed(0, "m", "m"), closed(1, "n", "m", "n"), closed(2, "n", "m", "n"), closed(3, "n", "n")]
        for message in encode_partials([*panes]):
            judging.feed([Outgoing("evidence", 0, None, message.value, message.headers)])
            found.append(judging.state.service)
        assert found == ["m", *expected]


def test_what_was_found_of_strangers_waits_after_a_restart_for_the_model_that_it_was_found_under() -> None:
    """The panes to come name another one."""
    config = spread(WORLD, 1, false_incidents_per_month=20.0)
    rows = WORLD.rows(WORLD.events(40, 3, {2: CHANGES["location"]}), 40)
    before = [of_strangers(k, of_pane[2], "m") for k, of_pane in enumerate(rows)]
    sent = [Outgoing("evidence", 0, None, m.value, m.headers) for m in encode_partials([*before])]
    (later,) = encode_partials([of_strangers(40, None, "n")])

    judging = Judging(config, REFERENCES).feed(sent, restart=1)
    judging.references = {"n": [REFERENCES["m"]]}
    judging.feed([Outgoing("evidence", 0, None, later.value, later.headers)])
    assert judging.state.needed_models() == {"m", "n"}
    assert judging.state.final_ms == START_MS + 40 * PANE_MS
    judging.references["m"] = [REFERENCES["m"]]
    judging.feed([])
    judging._add(judging.stage.step(judging.state, [], judging.references))
    assert judging.state.final_ms == START_MS + 41 * PANE_MS
