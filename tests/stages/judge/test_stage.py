"""JUDGE as a whole: WATCH of three partials partitions before it."""

from __future__ import annotations

from functools import cache

import pytest

from flowlib.table import Ints
from schemas.codecs import encode_partials
from schemas.evidence import EvidenceClosed, OtherRow
from schemas.incidents import Action
from schemas.pane_layout import TOGETHER
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.stages.decisions import Acted
from stream_app.stages.detection.detectors.simulated import CHANGES, PANE_MS, START_MS, World
from stream_app.stages.outputs import Outgoing
from tests.stages.judge.judging import Judging, evidence, interleaved, spread

WORLD = World(d=2, k=0, slices=9, seed=5)
REFERENCES = {"m": WORLD.fitted[1]}
CONFIG: Config = spread(WORLD, 3, false_incidents_per_month=20.0)
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


def test_a_model_is_asked_for_once_and_by_the_incident() -> None:
    (request,) = plain().requests
    assert request.alerts == [plain().incidents[0].id]
    assert request.model_id == "m"
    assert request.requested_pane_ms >= plain().incidents[0].pane_end_ms
    assert [part.partition for part in request.train] == [0]


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
    first = plain().incidents[0]
    accepted = Action(id="a", stream="s", verb="accept", by="Li", at_ms=1, incident_id=first.id)
    decision = Acted(first.pane_end_ms + 3 * PANE_MS, 0, accepted)
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
