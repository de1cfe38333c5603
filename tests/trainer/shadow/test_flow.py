"""From the gates to the answer: a candidate beside the model in service, on fake topics; and what people say."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.incidents import Action
from schemas.records import IncidentSpan, RetrainRequest, ServiceChange
from stream_app.errors import DriftflowError
from stream_app.kafka.actions import new_action
from stream_app.models.audit import AuditLog
from stream_app.models.history import Entry
from stream_app.trainer.canaries.overruling import overruled
from stream_app.trainer.gates.gate import Gate, figures
from stream_app.trainer.shadow import reading
from stream_app.trainer.shadow.state import CandidateFile
from tests.trainer.asking import LATER, WRITER, ask, asked
from tests.trainer.fakes import FakeConsumer
from tests.trainer.shadow.worlds import (
    World,
    answered,
    as_log,
    better,
    config_in,
    crashing,
    live,
    places,
    until_decided,
)


def say(verb: str, model_id: str, by: str = "ann", why: str = "") -> Action:
    return new_action("s", verb, by, 1, model=model_id, why=why)


def statuses(world: World) -> list[str]:
    return [notice.status for notice in world.answers()]


def test_a_better_model_enters_service_after_the_shadow_and_not_before(world: World) -> None:
    trainer, first = world.start(), world.registry.in_service()
    candidate = trainer.handle(asked(better()))
    assert candidate is not None
    assert (candidate.status, candidate.parent_id) == ("candidate", first)
    assert world.registry.in_service() == first
    assert trainer.handle(asked(better())) is None, "it is in hand"
    until_decided(trainer)
    known, promoted = world.answers()
    assert (known.status, promoted.status) == ("candidate", "promoted")
    assert promoted.request_id == better().id
    assert "the new model is better over" in promoted.reason
    assert world.registry.in_service() == promoted.model_id
    assert promoted.model_id != known.model_id, "its calibration is of now"
    assert promoted.gates["shadow"]["passed"]
    assert promoted.created_ms > known.created_ms, "dated by what was seen"
    sent = [(notice.status, notice.request_id) for notice in world.topics.told()]
    assert sent == [("candidate", better().id), ("promoted", better().id)]
    assert not CandidateFile(config_in(world.folder)).path.exists()


def test_the_promoted_model_says_all_about_where_it_comes_from(world: World) -> None:
    trainer = world.start()
    answered(trainer, better())
    (known, promoted) = world.answers()
    manifest = world.registry.load(promoted.model_id).manifest
    about = manifest["provenance"]
    assert manifest["candidate"] == about["candidate"] == known.model_id
    assert about["shadow"]["verdict"] == "promote"
    assert about["calibration"]["rows"] > about["parts"]["calibration"]
    assert about["calibration"]["from_ms"] >= about["held_out_from_ms"]
    assert about["calibration"]["to_ms"] > LATER
    said = promoted.provenance
    for name in (
        "topic",
        "ranges",
        "first_ms",
        "last_ms",
        "rows_sha256",
        "left_out",
        "settings_sha256",
        "code",
        "packages",
        "seed",
        "gates",
        "shadow",
        "approved_by",
        "parent",
        "anchor",
        "sheet",
        "audit_head",
    ):
        assert name in said, name
    audit = AuditLog(config_in(world.folder))
    assert audit.faults([notice.provenance["audit_head"] for notice in world.answers()]) == []
    events = [(entry.event, entry.about) for entry in audit.entries()][-6:]
    request = better().id
    assert events == [
        ("request", request),
        ("training", request),
        ("gates", request),
        ("shadow", known.model_id),
        ("shadow end", known.model_id),
        ("promotion", promoted.model_id),
    ]


def test_a_model_that_is_no_better_on_live_events_is_refused(world: World) -> None:
    world.log = as_log(live(shift=0.0))
    trainer, first = world.start(), world.registry.in_service()
    answered(trainer, better())
    assert statuses(world) == ["candidate", "refused"]
    refused = world.answers()[-1]
    assert "the new model is not better by what is asked for" in refused.reason
    assert not refused.gates["shadow"]["passed"]
    assert world.registry.in_service() == first
    again = trainer.handle(asked(ask(2, LATER + 2, model_id=first)))
    assert again is not None
    assert again.status == "refused"
    assert again.reason.startswith(f"a model was trained for request {better().id} within a cooldown before")


def test_what_cannot_be_told_is_given_up(world: World) -> None:
    trainer = world.start(shadow_events=100, min_gain_nats=0.45)
    world.log = as_log(live().span(0, 130))
    trainer.handle(asked(better()))
    for _ in range(20):
        trainer.go_on(timeout_ms=0)
    assert statuses(world)[0] == "candidate"
    assert statuses(world)[-1] in ("refused", "promoted")
    world.log = as_log(live().span(0, 10))
    later = world.start(shadow_patience=0)
    later.handle(asked(ask(7, 3 * LATER)))
    assert statuses(world)[-1] == "candidate"
    later.go_on(timeout_ms=0)
    refused = world.answers()[-1]
    assert (refused.request_id, refused.status) == ("request-7", "refused")
    assert "the shadow could not tell which model is better" in refused.reason


def test_what_is_given_up_does_not_depend_on_how_many_events_come_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    for number, a_poll in ((1, 7), (2, 10_000)):
        made = partial(FakeConsumer, {0: world.log}, a_poll=a_poll)
        monkeypatch.setattr(reading, "KafkaConsumer", lambda made=made, **_: made())
        trainer = world.start(shadow_events=100, min_gain_nats=0.45)
        trainer.handle(asked(ask(number, 3 * number * LATER)))
        until_decided(trainer)
        shadow = world.answers()[-1].gates["shadow"]
        figures.append({name: shadow[name] for name in ("verdict", "events", "panes", "gain_nats", "e_better")})
    assert figures[0] == figures[1]
    assert figures[0]["verdict"] == "give up"


@pytest.mark.parametrize("place", list(places()), ids=lambda place: place[0])
def test_a_process_that_ends_anywhere_goes_on_and_does_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    _, *where = place
    with monkeypatch.context() as patch:
        trainer = world.start()
        crashing(*where)(patch)
        with pytest.raises(KeyboardInterrupt):
            answered(trainer, better())
    trainer = world.start()
    trainer.handle(asked(better()))  # read again, where it had not been committed
    until_decided(trainer)
    trainer.handle(asked(better()))
    assert statuses(world) == ["candidate", "promoted"]
    assert [entry.request_id for entry in world.registry.history()] == ["request-0", better().id]
    numbers = [notice.sequence for notice in world.topics.told()]
    assert numbers == sorted(set(numbers)), "each is told once"
    assert [notice.status for notice in world.topics.told()] == ["candidate", "promoted"]
    assert AuditLog(config_in(world.folder)).faults() == []
    assert world.start()._answering._answers.unsent() == []


def test_a_shadow_that_is_killed_at_each_step_counts_every_event_once(world: World) -> None:
    figures = []
    for kill in (False, True):
        trainer = world.start(shadow_events=300, min_gain_nats=0.3)
        trainer.handle(asked(better(1 if not kill else 2)))
        while True:
            if kill:
                candidate = trainer._answering.candidates.current
                assert candidate is not None
                CandidateFile(config_in(world.folder)).keep(candidate)
                trainer = world.start(shadow_events=300, min_gain_nats=0.3)
            if not trainer.go_on(timeout_ms=0):
                break
        last = world.answers()[-1]
        figures.append({name: last.gates["shadow"][name] for name in ("events", "panes", "gain_nats", "e_better")})
        world.registry.change(Entry(last.model_id, f"back-{kill}", 1, "rollback"))
    assert figures[0] == figures[1]


def test_requests_that_come_meanwhile_wait_and_are_answered_once(world: World) -> None:
    """81 at once, from one writer and from others."""
    trainer = world.start()
    trainer.handle(asked(better()))
    others = [(ask(number, LATER + number), f"{WRITER}/{number}" if number % 2 else WRITER) for number in range(2, 82)]
    assert trainer._answering.candidates.is_busy
    until_decided(trainer)
    for request, writer in others:
        trainer.handle(asked(request, writer))
    answers = [notice for notice in world.topics.told() if notice.status != "candidate"]
    assert len({notice.request_id for notice in answers}) == len(answers) == 81
    assert {notice.status for notice in answers} <= {"promoted", "covered", "refused"}
    assert [notice.status for notice in answers].count("promoted") == 1


# People ---------------------------------------------------------------------------------------------------------------


def test_with_approve_a_person_has_the_last_word(world: World) -> None:
    trainer, first = world.start(promotion="approve"), world.registry.in_service()
    answered(trainer, better())
    assert statuses(world) == ["candidate", "waiting"]
    waiting = world.answers()[-1]
    assert (
        f"`driftflow models approve {waiting.model_id}`, or reject. If yes, it enters service at once."
        in waiting.reason
    )
    assert f"If no, model {first} stays in service, which finds " in waiting.reason
    assert world.registry.in_service() == first
    trainer = world.start(promotion="approve")  # it waits on in the next process
    covered = trainer.handle(asked(ask(5, LATER + 50, model_id=first)))
    assert covered is not None
    assert (covered.status, covered.reason) == (
        "covered",
        f"covered by {waiting.model_id} (request {better().id}), which waits for a person",
    )
    trainer._answering.act(say("approve", "another"))
    assert statuses(world)[-1] == "covered"
    approval = say("approve", waiting.model_id, why="seen it")
    trainer._answering.act(approval)
    trainer._answering.act(approval)
    promoted = world.answers()[-1]
    assert (promoted.status, promoted.provenance["approved_by"]) == ("promoted", "ann")
    assert world.registry.in_service() == promoted.model_id
    lines = [entry for entry in AuditLog(config_in(world.folder)).entries() if entry.event == "approval"]
    assert [(line.about, line.body["by"], line.body["why"]) for line in lines] == [(approval.id, "ann", "seen it")]


@pytest.mark.parametrize("phase", ["shadow", "waiting"])
def test_a_person_may_reject_it_at_any_time(world: World, phase: str) -> None:
    trainer, first = world.start(promotion="approve"), world.registry.in_service()
    candidate = trainer.handle(asked(better()))
    assert candidate is not None
    if phase == "waiting":
        until_decided(trainer)
    trainer._answering.act(say("reject", candidate.model_id, "bob", "not on a Friday"))
    refused = world.answers()[-1]
    assert (refused.status, refused.reason) == ("refused", "rejected by bob: not on a Friday")
    assert world.registry.in_service() == first
    assert not trainer._answering.candidates.is_busy


def lines(world: World, *events: str) -> list[Any]:
    return [entry for entry in AuditLog(config_in(world.folder)).entries() if entry.event in events]


def test_what_nothing_follows_from_is_written_down_once_and_never_takes_effect(world: World) -> None:
    trainer, first = world.start(promotion="approve"), world.registry.in_service()
    early = [say(verb, "another") for verb in ("approve", "reject", "anchor", "pin", "rollback")]
    for action in early * 2:
        trainer._answering.act(action)
    found = lines(world, "no effect")
    assert [(line.about, line.body["verb"], line.body["by"]) for line in found] == [
        (action.id, action.verb, "ann") for action in early
    ]
    assert "model another waits for nobody" in found[0].body["says"]
    assert "no model another was promoted for stream s" in found[4].body["says"]
    assert sum(line.startswith("nothing follows from what ann says") for line in world.said) == len(early)
    answered(trainer, better())
    waiting = world.answers()[-1].model_id
    words = [say("approve", waiting), say("approve", waiting, "bob"), say("reject", waiting, "bob")]
    for action in words:
        trainer._answering.act(action)
    assert [line.about for line in lines(world, "no effect")[5:]] == [words[1].id, words[2].id]
    promoted = world.registry.in_service()
    assert promoted != first
    again = world.start(promotion="approve")  # reads all that was said anew
    for action in [*early, *words]:
        again._answering.act(action)
    assert len(lines(world, "no effect", "approval", "rejection")) == len(early) + len(words)
    assert (world.registry.in_service(), world.registry.anchor()) == (promoted, first)


def test_what_was_said_of_an_earlier_candidate_does_not_decide_a_later_one_of_the_same_id(world: World) -> None:
    trainer, first = world.start(promotion="approve"), world.registry.in_service()
    candidate = trainer.handle(asked(accepting(1, first)))
    assert candidate is not None
    rejection = say("reject", candidate.model_id)
    trainer._answering.act(rejection)
    later = trainer.handle(asked(accepting(2, first, "b")))
    assert later is not None
    assert (later.model_id, later.status) == (candidate.model_id, "candidate")
    again = world.start(promotion="approve")
    again._answering.act(rejection)
    assert again._answering.candidates.is_busy
    assert [line.event for line in lines(world, "no effect", "rejection")] == ["rejection"]


def test_a_trainer_goes_on_without_a_log_only_where_that_is_said(world: World) -> None:
    answered(world.start(), better())
    path = AuditLog(config_in(world.folder)).path
    whole = path.read_bytes()
    for left in (b"", whole[:30], whole[: whole.rfind(b"\n", 0, -1) // 2].rpartition(b"\n")[0] + b"\n"):
        path.write_bytes(left)
        with pytest.raises(DriftflowError, match="move it away, where it stays for who looks into it"):
            world.start()
    path.rename(path.with_suffix(".old"))
    world.start()
    assert [entry.event for entry in AuditLog(config_in(world.folder)).entries()] == ["log lost"]
    assert any("audit.jsonl is gone, and 3 notices name lines of it" in line for line in world.said)
    assert world.start().handle(asked(ask(9, 3 * LATER))) is not None


def test_a_model_that_is_approved_though_it_forgets_a_canary_overrules_it(world: World) -> None:
    gate = Gate("canaries", False, "it forgets", waits=True, detail={"incidents": ["forgotten"]})
    world.wait_for_a_person("canaries: it forgets")
    notice = msgspec.structs.replace(world.outcome.notice, gates=figures([gate]))
    world.outcome = replace(world.outcome, notice=notice)
    trainer = world.start()
    waiting = trainer.handle(asked(better()))
    assert waiting is not None
    approval = say("approve", waiting.model_id, why="it is the new normal")
    trainer._answering.act(approval)
    assert overruled(world.registry.notices()) == {}, "not before it is in service"
    until_decided(trainer)
    assert overruled(world.registry.notices()) == {"forgotten": approval.at_ms}
    (line,) = lines(world, "canary overruled")
    promoted = world.registry.in_service()
    assert line.body == {
        **{"incident": "forgotten", "model": promoted, "by": "ann", "why": "it is the new normal"},
        "action": approval.id,
    }
    assert f"incident forgotte is no canary any more: ann has approved model {promoted}" in world.said[-1]


def test_what_gates_leave_to_a_person_is_compared_after_the_approval(world: World) -> None:
    world.wait_for_a_person("bursts: it would not flag them")
    trainer = world.start()
    waiting = trainer.handle(asked(better()))
    assert waiting is not None
    assert (waiting.status, trainer._answering.candidates.is_busy) == ("waiting", False)
    assert waiting.reason.startswith("bursts: it would not flag them; a person has to say")
    assert "on live events, and enters service where it is surely better there; nobody is asked again" in waiting.reason
    trainer._answering.act(say("approve", waiting.model_id))
    assert trainer._answering.candidates.is_busy
    until_decided(trainer)
    assert statuses(world) == ["waiting", "candidate", "promoted"]
    assert world.answers()[-1].provenance["approved_by"] == "ann"


def test_a_later_model_takes_the_place_of_one_that_waits(world: World) -> None:
    passed = world.outcome
    world.wait_for_a_person("anchor: it is far from it")
    trainer = world.start()
    first = trainer.handle(asked(better(1)))
    assert first is not None
    world.outcome = passed
    trainer.handle(asked(ask(2, 3 * LATER)))
    assert [(notice.request_id, notice.status) for notice in world.answers()] == [
        (better(1).id, "waiting"),
        (better(1).id, "refused"),
        ("request-2", "candidate"),
    ]
    assert "has taken its place before anything was decided" in world.answers()[1].reason


def accepting(number: int, model_id: str, *incidents: str, until: int = 9) -> RetrainRequest:
    """A request within a cooldown of the first one, with incidents that people have accepted."""
    spans = [
        IncidentSpan(incident_id=name, kind="burst", slicing="", slices=[], from_ms=0, to_ms=until)
        for name in incidents
    ]
    return ask(number, LATER + 10 * number, reason="drift", model_id=model_id, accepted=spans)


def test_what_people_have_accepted_since_is_trained_though_another_model_waits(world: World) -> None:
    """The one that waits has not learned it."""
    world.wait_for_a_person("bursts: it would not flag them")
    trainer, first = world.start(), world.registry.in_service()
    trainer.handle(asked(accepting(1, first, "a")))
    covered = trainer.handle(asked(accepting(2, first, "a")))
    assert covered is not None
    assert covered.status == "covered"
    trainer.handle(asked(accepting(3, first, "a", "b")))
    assert [(notice.request_id, notice.status) for notice in world.answers()] == [
        ("request-1", "waiting"),
        ("request-2", "covered"),
        ("request-1", "refused"),
        ("request-3", "waiting"),
    ]


def test_what_people_have_accepted_since_is_trained_though_another_was_refused(world: World) -> None:
    trainer, first = world.start(promotion="approve"), world.registry.in_service()
    candidate = trainer.handle(asked(accepting(1, first)))
    assert candidate is not None
    trainer._answering.act(say("reject", candidate.model_id))
    again = [trainer.handle(asked(request)) for request in (accepting(2, first), accepting(3, first, "b"))]
    assert [notice.status for notice in again if notice is not None] == ["refused", "candidate"]


def test_the_anchor_is_what_a_person_names(world: World) -> None:
    trainer, first = world.start(), world.registry.in_service()
    answered(trainer, better())
    newest = world.registry.in_service()
    assert world.registry.anchor() == first
    trainer._answering.act(say("anchor", "nothing"))
    assert world.registry.anchor() == first
    for _ in range(2):
        trainer._answering.act(say("anchor", newest))
    assert world.registry.anchor() == newest
    assert world.registry.in_service() == newest


# The model in service -------------------------------------------------------------------------------------------------


def changed(verb: str, model_id: str, returns_to: str = "", name: str = "change") -> ServiceChange:
    return ServiceChange(
        id=name, stream="s", verb=verb, model_id=model_id, returns_to=returns_to, by="ann", pane_end_ms=5, why="said so"
    )


def test_a_roll_back_is_known_to_the_trainer_and_no_request_is_covered_by_what_was_rolled_back(world: World) -> None:
    trainer, first = world.start(), world.registry.in_service()
    answered(trainer, better())
    bad = world.registry.in_service()
    for _ in range(2):
        trainer._answering.change(changed("rollback", bad, first))
    assert world.registry.in_service() == first
    assert [entry.verb for entry in world.registry.history()] == ["promotion", "promotion", "rollback"]
    notice = trainer.handle(asked(ask(9, 3 * LATER, model_id=first)))
    assert notice is not None
    assert (notice.status, notice.parent_id) == ("candidate", first)


def test_that_a_model_scores_all_partitions_by_now_is_written_down_and_changes_nothing_else(world: World) -> None:
    trainer = world.start()
    answered(trainer, better())
    newest = world.registry.in_service()
    for _ in range(2):
        trainer._answering.change(changed("extend", newest, newest))
    assert world.registry.in_service() == newest
    assert [(line.about, line.body["model_id"]) for line in lines(world, "extend")] == [("change", newest)]
    assert [entry.verb for entry in world.registry.history()] == ["promotion", "promotion", "extend"]


def test_where_the_model_in_service_changes_the_shadow_begins_anew(world: World) -> None:
    trainer, first = world.start(), world.registry.in_service()
    answered(trainer, better())
    second = world.registry.in_service()
    world.log = as_log(live())
    trainer.handle(asked(ask(9, 3 * LATER, model_id=second)))
    trainer.go_on(timeout_ms=0)
    trainer._answering.change(changed("pin", first))
    trainer.go_on(timeout_ms=0)
    current = trainer._answering.candidates.current
    assert current is not None
    assert current.champion == first
    assert any("the shadow begins anew" in line for line in world.said)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_flood_in_the_shadow_does_not_calibrate_unless_a_person_has_accepted_it(world: World, accepted: bool) -> None:
    """Every tenth live event lies far from all that was ever there."""
    table = live()
    numeric = table.numeric.copy()
    numeric[::10] += [9.0, -9.0]
    flood = table.with_numeric(numeric)
    world.log, world.live = as_log(flood), flood
    trainer, first = world.start(), world.registry.in_service()
    trainer.handle(asked(accepting(1, first, *(["i"] if accepted else []), until=10 * LATER)))
    until_decided(trainer)
    promoted = world.answers()[-1]
    assert promoted.status == "promoted", promoted.reason
    kept = "with the calibration that its gates saw" in promoted.reason
    assert kept == (not accepted)
    assert any("keeps its calibration: far more" in line for line in world.said) == (not accepted)
    if kept:
        scores = world.registry.load(promoted.model_id).score(flood.take(np.arange(len(flood)) % 10 == 0))
        assert np.mean(scores.p_value <= 0.01) > 0.99


def test_spans_that_nobody_has_judged_do_not_calibrate(world: World) -> None:
    span = IncidentSpan(incident_id="i", kind="burst", slicing="", slices=[], from_ms=LATER, to_ms=2 * LATER)
    trainer = world.start()
    trainer.handle(asked(better()))
    trainer._answering.candidates.remember([span, span])
    until_decided(trainer)
    about = world.registry.load(world.registry.in_service()).manifest["provenance"]
    assert about["calibration"]["to_ms"] < LATER
