"""What people say of models: approve, reject, anchor, accept; written down, and of effect where something follows."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from stream_app.errors import DriftflowError
from stream_app.models.audit import AuditLog
from stream_app.trainer.canaries.overruling import overruled
from stream_app.trainer.gates.gate import Gate, figures
from tests.trainer.asking import LATER, ask, asked
from tests.trainer.shadow.saying import accepting, lines, say, statuses
from tests.trainer.shadow.worlds import World, answered, better, config_in, until_decided


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
