"""From anything that has an id to all that it hangs together with."""

from __future__ import annotations

import json

import pytest

from stream_app.audit.records import NAMED_MAX
from stream_app.audit.tracing import trace
from stream_app.errors import DriftflowError
from stream_app.models.audit import AuditLog
from tests.audit.stories import CHANGE, INCIDENT, Story
from tests.trainer.shadow.worlds import better


def kinds(traced: object) -> list[str]:
    return [step.kind for step in traced.steps]  # type: ignore[attr-defined]


def test_from_an_incident_to_the_model_that_came_of_it(told: Story) -> None:
    traced = trace(told.config, INCIDENT[:6])
    assert (traced.kind, traced.id, traced.missing, traced.unasked) == ("incident", INCIDENT, [], [])
    found = kinds(traced)
    for kind in ("incident", "action", "request", "training", "gates", "shadow", "anchor", "promotion", "change"):
        assert kind in found, kind
    facts = {step.kind: step.facts for step in traced.steps if step.id == better().id}
    assert facts["request"]["incidents"] == [INCIDENT]
    training = facts["training"]
    assert training["topic"] == "e"
    assert training["ranges"][0]["end"] > 0
    assert training["first_ms"] < training["last_ms"]
    assert len(training["rows_sha256"]) == 64
    assert facts["gates"]["gates"]["likelihood"]["passed"]
    assert facts["shadow"]["verdict"] == "promote"
    assert json.loads(json.dumps(traced.to_json()))["complete"]
    lines = list(traced.says())
    assert any("partition 0 [0, " in line for line in lines)
    assert any("feedback useful" in line for line in lines)


def test_from_a_model_to_all_that_was_said_under_it(told: Story) -> None:
    traced = trace(told.config, told.first[:8])
    assert traced.kind == "model"
    said = next(step for step in traced.steps if step.kind == "said under it")
    assert said.facts == {"incidents": 1, "messages": 0, "strange_events": 25}
    assert kinds(traced).count("strange event") == NAMED_MAX
    assert kinds(traced).count("incident") == 1


@pytest.mark.parametrize(
    ("prefix", "kind"), [("a0000024", "strange event"), (CHANGE[:8], "change"), ("request-1", "request")]
)
def test_from_other_things(told: Story, prefix: str, kind: str) -> None:
    traced = trace(told.config, prefix)
    assert traced.kind == kind
    assert traced.id.startswith(prefix)
    assert "promotion" in kinds(traced)
    assert traced.missing == []


def test_from_what_a_person_has_said(told: Story) -> None:
    silence, feedback, *_ = told.actions
    assert kinds(trace(told.config, silence.id)) == ["action", "audit line"]
    assert kinds(trace(told.config, feedback.id))[:3] == ["action", "audit line", "incident"]


def test_without_a_broker_models_are_traced_from_the_registry(told: Story, silent: None) -> None:
    traced = trace(told.config, told.second)
    assert {"request", "training", "gates", "shadow", "promotion", "change"} <= set(kinds(traced))
    assert traced.missing == []
    assert traced.unasked == ["topic s.signals cannot be read: no broker"]
    assert not traced.to_json()["complete"]


def test_a_story_without_its_record_is_not_complete(told: Story) -> None:
    AuditLog(told.config).path.unlink()
    missing = trace(told.config, told.second).missing
    assert any(line.startswith("promotion") for line in missing)


def test_what_is_not_known_is_said(told: Story) -> None:
    with pytest.raises(DriftflowError, match="no known thing has an id that begins with 'zz'"):
        trace(told.config, "zz")
