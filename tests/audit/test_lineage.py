"""A training as OpenLineage run events, of the form that the published schema asks for."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import pytest

from stream_app.audit.lineage import SCHEMA, lineage_of
from tests.audit.stories import Story


def facets(value: Any) -> list[dict[str, Any]]:
    """All facets in an event."""
    if isinstance(value, list):
        return [one for item in value for one in facets(item)]
    if not isinstance(value, dict):
        return []
    own = [one for name in ("facets", "inputFacets", "outputFacets") for one in value.get(name, {}).values()]
    return own + [one for item in value.values() for one in facets(item)]


@pytest.mark.parametrize("which", ["first", "second"])
def test_a_run_starts_and_completes_with_what_went_in_and_came_out(told: Story, which: str) -> None:
    model = getattr(told, which)
    events = json.loads(json.dumps(lineage_of(told.config, model)))
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    assert len({uuid.UUID(event["run"]["runId"]) for event in events}) == 1
    for event in events:
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        assert event["schemaURL"] == f"{SCHEMA}#/$defs/RunEvent"
        assert event["producer"].startswith("urn:driftflow:")
        assert (event["job"]["namespace"], event["job"]["name"]) == ("driftflow://s", "training")
        found = facets(event)
        assert len(found) >= 6
        assert all(
            one["_producer"].startswith("urn:driftflow:") and one["_schemaURL"].startswith("https://") for one in found
        )
    start, complete = events
    assert start["eventTime"] <= complete["eventTime"]
    topic, *parents = complete["inputs"]
    assert (topic["namespace"], topic["name"]) == ("kafka://127.0.0.1:9092", "e")
    assert topic["inputFacets"]["dataQualityMetrics"]["rowCount"] == 1440
    assert topic["inputFacets"]["driftflow"]["ranges"][0]["end"] == 1440
    assert [one["name"] for one in parents] == ([f"models/{told.first}"] if which == "second" else [])
    assert [one["name"] for one in complete["outputs"]] == [f"models/{model}"]
    assert complete["outputs"][0]["outputFacets"]["driftflow"]["gates"]["likelihood"] is True
