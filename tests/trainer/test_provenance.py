"""Where a model comes from, in its manifest and notice: the same for the same request, another for other rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec

from flowlib.table import DAY_MS
from stream_app.models.keys import signing_key
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.provenance import rows_sha256, settings_of, settings_sha256, versions
from stream_app.trainer.training import answer
from tests.trainer.test_answering import DAYS, config_in, request, rows


def test_a_refusal_says_it_too_and_the_same_request_says_the_same(tmp_path: Path) -> None:
    config = config_in(tmp_path, max_alarm_ratio=0.01)
    key = signing_key(config)
    one, other = (answer(config, request(), Rows.of(rows()), None, key).notice for _ in range(2))
    assert one.status == "refused"
    assert one.provenance == other.provenance
    about = one.provenance
    times = {"start_ms": 0, "end_ms": DAYS * DAY_MS}
    assert about["ranges"] == [{"partition": 0, "start": 0, "end": DAYS * 24, **times}]
    assert about["rows_sha256"] == rows_sha256(Rows.of(rows()))
    assert about["held_out_from_ms"] > about["first_ms"]
    assert about["parts"].keys() == {"train", "validation", "calibration", "gate"}
    assert about["packages"]["python"]
    assert msgspec.json.decode(msgspec.json.encode(about)) == about, "plain values alone"


def test_the_hash_of_rows_changes_with_any_value_place_or_time() -> None:
    table, base = rows(n_days=2), rows_sha256(Rows.of(rows(n_days=2)))
    altered = table.numeric.copy()
    altered[3, 1] += 1e-12
    others = [Rows.of(table.with_numeric(altered)), Rows.of(rows(n_days=1)), one_later(Rows.of(table))]
    assert base not in {rows_sha256(other) for other in others}
    assert rows_sha256(Rows.of(table)) == base


def one_later(whole: Rows) -> Rows:
    """The same rows one offset later."""
    return replace(whole, offsets=whole.offsets + 1)


def test_settings_are_those_that_make_a_model_and_their_hash_is_of_them(tmp_path: Path) -> None:
    settings = settings_of(config_in(tmp_path))
    assert settings["retrain"]["cooldown"] == int(config_in(tmp_path).retrain.cooldown)
    assert "kafka" not in settings, "addresses make no model"
    said = msgspec.json.encode(settings, order="deterministic")
    assert settings_sha256(settings) == hashlib.sha256(said).hexdigest()
    assert versions()["torch"]
