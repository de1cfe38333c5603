"""A model that cannot be used never replaces the one in service, and the columns of snapshots keep their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib import artifact
from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from schemas.intake import take_in
from schemas.records import DeadLetter, ModelNotice
from stream_app.config import Config
from stream_app.errors import SnapshotError
from stream_app.kafka.shape import in_recorded_order, record_shape
from stream_app.models.keys import signing_key
from stream_app.stages.decisions import Activated
from stream_app.stages.outputs import Outgoing
from stream_app.worker.files import FileStore
from stream_app.worker.models_feed import ModelsFeed
from stream_app.worker.reports import Reports
from tests.models.streams import config_in, density
from tests.worker.making import in_a_loop, notice, notice_record
from tests.worker.test_models_feed import MODELS


class Service:
    """What a worker hears of its models.

    Attributes:
        models: those that came to be in service, in order.
        letters: what the dead letters say.
    """

    def __init__(self) -> None:
        self.models: list[Density] = []
        self.letters: list[str] = []

    async def take(self, sent: ModelNotice, model: Density | None) -> None:
        self.models += [model] if model is not None else []

    async def refuse(self, letter: Outgoing, reports: Reports) -> None:
        read = take_in("dead_letters", "s", letter.value, letter.headers)
        assert isinstance(read, DeadLetter)
        self.letters.append(read.detail)


def renamed(model: Density, *numeric: str) -> Density:
    return replace(model, encoder=replace(model.encoder, spec=FeatureSpec(numeric)))


@in_a_loop
async def test_a_model_for_other_columns_is_refused_with_the_difference_and_the_one_in_service_stays(
    tmp_path: Path,
) -> None:
    config = config_in(tmp_path)
    (tmp_path / "state").mkdir()
    key = signing_key(config)
    records = []
    for number, columns in enumerate((("x", "y"), ("y", "x"), ("x", "z")), 1):
        model = artifact.pack(_with_reference(renamed(density(), *columns)), key)
        parts: dict[str, Any] = {"manifest": model.manifest, "tensors": model.tensors, "signature": model.signature}
        sent = notice(model.model_id, sequence=number, key_id=model.key_id, **parts)
        records.append(notice_record(MODELS, number, sent, key))
    service = Service()
    feed = ModelsFeed(config, service.take, service.refuse)
    for record in records:
        await feed._take(record)
    assert [model.spec.numeric for model in service.models] == [("x", "y")]
    said = "its columns are not those of event.numeric and event.categorical: "
    first, second = service.letters
    assert first.endswith(said + "it has the same ones in another order, 'y', 'x'")
    assert second.endswith(said + "it lacks 'y' (numeric); it has 'z' (numeric) besides")


def _with_reference(model: Density) -> Density:
    object.__setattr__(model, "channels", density().channels)
    object.__setattr__(model, "references", density().references)
    return model


def with_columns(config: Config, *numeric: str) -> Config:
    return msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, numeric=list(numeric)))


def test_a_state_is_read_on_where_the_configuration_has_its_columns_in_another_order(config: Config) -> None:
    record_shape(config)
    FileStore(config).record(Activated(0, 0, "m", "fused"))
    moved = with_columns(config, *reversed(config.event.numeric))
    assert in_recorded_order(moved) == config
    assert FileStore(in_recorded_order(moved)).decisions()
    with pytest.raises(SnapshotError, match="holds the state of another configuration"):
        FileStore(in_recorded_order(with_columns(config, "x", "other", "v")))


def test_where_nothing_is_written_down_the_order_is_that_of_the_configuration(config: Config) -> None:
    assert in_recorded_order(config) is config
