"""A column of 1.77·10⁹ ± 20, a time or an id: what moves in it is seen from the body of an event to the incident."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from flowlib.channels import value_codes
from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig
from schemas.codecs import decode_event
from schemas.incidents import Incident
from schemas.records import EventAnomaly
from tests.stages import streams
from tests.stages.streams import CATEGORIES, NUMERIC, PANE, config, held_out, judge_all, pipeline, score_all, table

OFFSET, SCALE = 1.77e9, 20.0
RULES = {
    "drift": {"detectors": ["location", "variation"], "resolve": 0.01},
    "fault": {"detectors": ["unit", "stuck"], "resolve": 0.01},
}


def moved(rows: Table) -> Table:
    """The same rows with x on that scale."""
    numeric = rows.numeric.copy()
    numeric[:, 0] = OFFSET + SCALE * numeric[:, 0]
    return rows.with_numeric(numeric)


@pytest.fixture(scope="module")
def far() -> Density:
    parts = [moved(Table.of(*table(np.random.default_rng(100 + i), n))) for i, n in enumerate((600, 200, 400))]
    learn = MaximumLikelihood(TrainConfig(max_steps=60))
    made = Density.fit(FeatureSpec(NUMERIC, CATEGORIES), *parts, seed=1, config=FitConfig(learn=learn))
    made = replace(made, manifest={"stream": "s", "slicings": [["station"], []]}, model_id="far")
    return made.with_reference(moved(held_out(1)), PANE)


def bodies(x: Any) -> list[bytes | None]:
    """A stream whose x is made of what it was and of the number of the event."""
    events = [msgspec.json.decode(body or b"") for body in streams.bodies(3, 400, 20_000, drift_from=1.0)]
    return [msgspec.json.encode(one | {"x": x(one["x"], i)}) for i, one in enumerate(events)]


def told(model: Density, values: list[bytes | None]) -> tuple[set[tuple[str, str]], list[EventAnomaly]]:
    """``(detector, feature)`` of what the incidents are made of, and the anomalies."""
    made = pipeline(config(rules=RULES, event_rule={"alpha": 0.01, "publish": True}), [model])
    scored = score_all(made, 0, values, [100]).messages
    sent = [one for one in [*scored, *judge_all(made, scored).messages] if one.role == "signals"]
    records = [decode_event(one.value, one.headers) for one in sent]
    incidents = [one for one in records if isinstance(one, Incident)]
    anomalies = [one for one in records if isinstance(one, EventAnomaly)]
    return {(member.detector, member.feature) for one in incidents for member in one.members}, anomalies


def test_it_is_not_told_to_be_always_the_same(far: Density) -> None:
    assert not [one for one in far.encoder.findings if "x" in one.columns]


def test_a_shift_of_ten_standard_deviations_is_seen(far: Density) -> None:
    calm = bodies(lambda x, i: None if x is None else OFFSET + SCALE * x)
    shifted = bodies(lambda x, i: None if x is None else OFFSET + SCALE * (x + 10 * (i >= 200)))
    found, anomalies = told(far, calm)
    assert found == set()
    assert len(anomalies) <= 20
    found, anomalies = told(far, shifted)
    assert ("location", "x") in found
    assert sum("1770000" in (blame.detail or "") for one in anomalies for blame in one.blame[:1]) > 150, "in full"


def test_a_value_that_does_not_change_is_seen(far: Density) -> None:
    """Values that were one float32 are many: only one of them is stuck."""
    found, _ = told(far, bodies(lambda x, i: None if x is None else OFFSET + (SCALE * x if i < 150 else 7.25)))
    assert ("stuck", "x") in found


def test_codes_of_a_reference_are_those_of_the_values(far: Density) -> None:
    def code(value: float) -> int:
        return int(value_codes(np.array([[value]]))[0, 0])

    reference, numeric = far.references[0], moved(held_out(1)).numeric[:, 0]
    least, most = float(np.nanmin(numeric)), float(np.nanmax(numeric))
    beyond = 3 * (most - least)
    assert (reference.low[0], reference.high[0]) == (code(least - beyond), code(most + beyond))
    assert reference.low[0] < code(OFFSET - 100) < code(OFFSET) < code(OFFSET + 100) < reference.high[0]
