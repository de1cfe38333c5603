"""From the gates to the answer: a candidate beside the model in service, on fake topics; and what people say."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from schemas.records import IncidentSpan, ServiceChange
from stream_app.models.audit import AuditLog
from stream_app.models.history import Entry
from stream_app.trainer.shadow import reading
from stream_app.trainer.shadow.state import CandidateFile
from tests.trainer.asking import LATER, WRITER, ask, asked
from tests.trainer.fakes import FakeConsumer
from tests.trainer.shadow.saying import accepting, lines, statuses
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
