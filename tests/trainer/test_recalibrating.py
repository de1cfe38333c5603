"""A mild change gets a calibration, not a model; and a calibration learns nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flowlib import Density, Table
from stream_app.models.keys import signing_key
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.gates.memory import anchor
from stream_app.trainer.recalibrating import recalibrated
from stream_app.trainer.training import answer
from tests.trainer.gates.worlds import fit, trial
from tests.trainer.gates.worlds import rows as world
from tests.trainer.test_answering import config_in, load, request, rows


def loud(density: Density, calibration: Table) -> Density:
    """The model as if it had been calibrated while everything varied by a third less."""
    centre = calibration.numeric.mean(axis=0)
    return density.recalibrated(calibration.with_numeric(centre + 0.65 * (calibration.numeric - centre)), 0)


def test_a_recalibrated_model_has_the_same_likelihood_and_the_p_values_of_its_rows() -> None:
    density, wide = fit(world(1_500, 1), world(2_000, 2), steps=40), world(2_000, 3)
    wide = wide.with_numeric(wide.numeric * 1.5)
    again = density.recalibrated(wide, 7)
    rows = world(2_000, 4).take(np.arange(1_000))
    assert np.array_equal(again.score(rows).log_prob, density.score(rows).log_prob)
    of_its_own = wide.with_numeric(wide.numeric[::-1])
    assert 0.004 < np.mean(again.score(of_its_own).p_value <= 0.01) < 0.02
    assert np.mean(density.score(of_its_own).p_value <= 0.01) > 0.05
    assert (again.model_id, again.references, again.channels) == ("unsigned", (), None)
    assert np.array_equal(again.recalibrated(wide, 7).score(rows).p_value, again.score(rows).p_value), "repeatable"


def test_it_is_proposed_where_it_mends_what_the_model_in_service_has() -> None:
    calibration, gate = world(3_000, 2), world(3_000, 5, day=60)
    good = fit(world(1_500, 1), calibration, steps=40)
    bad = loud(good, calibration)
    mended = recalibrated(trial(good, bad, gate), calibration)
    assert mended is not None
    assert mended.candidate.manifest["kind"] == "recalibration"
    assert mended.is_recalibrated
    assert mended.candidate.flow is bad.flow
    assert recalibrated(trial(good, good, gate), calibration) is None, "nothing is out of its band"
    wrong = calibration.with_numeric(calibration.numeric * 3.0)
    assert recalibrated(trial(good, bad, gate), wrong) is None, "from far too many alarms to none is no help"
    blank = calibration.with_numeric(np.full_like(calibration.numeric, np.nan))
    assert recalibrated(trial(good, bad, gate), blank) is None
    assert recalibrated(trial(good, None, gate), calibration) is None


@pytest.mark.parametrize(
    ("moved", "accepted", "within"), [(1.0, False, True), (1.3, False, False), (2.0, False, False), (1.3, True, True)]
)
def test_a_person_is_asked_before_a_calibration_takes_a_world_far_away_for_ordinary(
    moved: float, accepted: bool, within: bool
) -> None:
    """The density is the anchor's own; so are its samples."""
    calibration, gate = world(3_000, 7, moved=moved), world(3_000, 5, moved=moved, day=60)
    champion = fit(world(3_000, 1), world(3_000, 2), steps=150)
    settled = np.ones(len(gate), dtype=bool) if accepted else None
    mended = recalibrated(trial(champion, champion, gate, anchor=champion, settled=settled), calibration)
    assert mended is not None
    found = anchor(mended)
    assert found.threshold is not None
    assert (found.detail["unflagged"] <= found.threshold) == within
    assert not found.passed or within
    assert found.waits
    assert "and not to the new calibration" in found.says
    assert found.figure is not None
    assert found.figure <= found.threshold, "of the density nothing has changed"
    assert (found.detail["unflagged"] > 0.1) == (moved == 2.0)


def test_a_request_gets_a_calibration_where_that_is_all_it_needs(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    first = load(tmp_path, answer(config, request(), Rows.of(rows()), None, signing_key(config)))
    bad = replace(loud(first, rows(seed=3)), model_id="in-service")
    outcome = answer(config, request(bad.model_id), Rows.of(rows()), bad, signing_key(config))
    assert (outcome.notice.status, outcome.verdict) == ("promoted", "pass"), outcome.notice.reason
    about = json.loads(outcome.notice.manifest)["about"]
    assert (about["kind"], about["parent"]) == ("recalibration", "in-service")
    assert outcome.notice.train_rows == 0
    assert outcome.notice.gates["likelihood"]["gain_nats"] == 0.0
    mended = load(tmp_path, outcome)
    assert np.array_equal(mended.score(rows(seed=4)).log_prob, bad.score(rows(seed=4)).log_prob)
    assert mended.references
