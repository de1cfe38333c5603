"""``driftflow models``: what was decided of each model, and whether its file still verifies."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flowlib import artifact
from stream_app.errors import ModelError
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.listing import check_listed, list_models
from stream_app.models.registry import Registry
from tests.models.streams import config_in, density, notice_of


def test_each_notice_is_a_row_and_the_last_promotion_is_in_service(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    model = artifact.pack(density(), signing_key(config))
    registry = Registry(config)
    assert list_models(config) == []
    registry.save(model)
    covered = notice_of("covered-1", "covered")
    for notice in (notice_of("older"), notice_of("refused-1", "refused"), covered, notice_of(model.model_id)):
        registry.record(notice)
    for number, model_id in enumerate(("older", model.model_id)):
        registry.change(Entry(model_id, f"r-{model_id}", number))
    older, refused, newest = list_models(config)
    assert [row["status"] for row in (older, refused, newest)] == ["promoted", "refused", "in service"]
    assert (refused["verified"], newest["verified"]) == ("–", "yes")
    assert older["verified"].startswith("NO: no model older in ")
    assert (newest["trained_until"], newest["train_rows"]) == ("1970-01-01 00:00", 200)
    for status in ("candidate", "waiting"):
        registry.record(notice_of(f"{status}-1", status))
    assert [row["status"] for row in list_models(config)[3:]] == ["candidate", "waiting"]
    registry.record(msgspec.structs.replace(notice_of("waiting-1", "refused"), model_id="waiting-1"))
    assert [row["status"] for row in list_models(config)[3:]] == ["candidate", "refused"], "what was decided counts"
    check_listed([older, refused, newest])  # one that was replaced may be of other columns, or signed by an older key
    registry.change(Entry("older", "back", 2))
    with pytest.raises(ModelError, match="the model in service cannot be used: no model older in "):
        check_listed(list_models(config))
