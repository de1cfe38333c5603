"""What is kept of a candidate, and which calibration counts where its rows are gone or its training was private."""

from __future__ import annotations

import stat
from typing import Any

import msgspec
import pytest

from stream_app.config import PrivacyConfig
from stream_app.errors import DriftflowError
from stream_app.models.keys import signing_key
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.ranges import RangesGone
from stream_app.trainer.shadow import candidates
from stream_app.trainer.shadow.calibrating import calibrated
from stream_app.trainer.shadow.state import CandidateFile
from tests.trainer.asking import asked
from tests.trainer.shadow.worlds import SHIFT, World, answered, better, config_in
from tests.trainer.test_answering import rows


def test_only_the_trainer_may_read_it_and_a_damaged_one_is_named(world: World) -> None:
    trainer, file = world.start(), CandidateFile(config_in(world.folder))
    trainer.handle(asked(better()))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    whole = file.path.read_bytes()
    for damaged in (b"", whole[:-1], b"\xc1" + whole[1:]):
        file.path.write_bytes(damaged)
        with pytest.raises(DriftflowError, match=rf"{file.path} cannot be read .*: restore it from a backup"):
            world.start()
    file.path.write_bytes(whole)
    assert world.start().is_busy


def test_where_the_rows_are_gone_its_own_calibration_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any) -> Any:
        raise RangesGone("no rows came for 30 s")

    monkeypatch.setattr(candidates, "read_ranges", gone)
    answered(world.start(), better())
    known, promoted = world.answers()
    assert promoted.status == "promoted"
    assert promoted.model_id == known.model_id
    assert promoted.reason.endswith("; with the calibration that its gates saw")
    assert any("keeps its calibration: no rows came" in line for line in world.said)
    assert world.registry.in_service() == known.model_id


def test_a_private_model_and_one_of_few_rows_keep_their_calibration(world: World) -> None:
    trainer, config = world.start(), config_in(world.folder)
    trainer.handle(asked(better()))
    candidate, key = trainer._answering.candidates.current, signing_key(config)
    assert candidate is not None
    density, read = world.registry.load(candidate.model_id), Rows.of(rows(SHIFT, seed=5))
    assert calibrated(config, candidate, density, read, {}, key) is not None
    private = msgspec.structs.replace(config, privacy=PrivacyConfig(enabled=True))
    assert calibrated(private, candidate, density, read, {}, key) is None
    few = Rows.of(rows(SHIFT, seed=5).span(0, 100))
    assert calibrated(config, candidate, density, few, {}, key) is None
