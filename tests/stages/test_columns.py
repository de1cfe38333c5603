"""A model's columns are matched by name wherever it meets a configuration."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.stages.columns import check_columns, in_order_of
from stream_app.stages.pipeline import Pipeline
from tests.stages.streams import config


def named(numeric: list[str], categorical: list[str]) -> Config:
    cfg = config()
    event = msgspec.structs.replace(cfg.event, numeric=numeric, categorical=categorical)
    return msgspec.structs.replace(cfg, event=event)


def test_the_same_columns_are_brought_into_order_and_others_are_left_as_they_are() -> None:
    ordered = in_order_of(named(["v", "x", "y"], ["c"]), ["x", "y", "v"], ["c"])
    assert ordered == named(["x", "y", "v"], ["c"])
    check_columns(FeatureSpec(("x", "y", "v"), ("c",)), ordered)
    for numeric, categorical in ((["x", "y"], ["c"]), (["x", "y", "v", "w"], ["c"]), (["x", "y"], ["c", "v"])):
        assert in_order_of(config(), numeric, categorical) == config()


def test_no_pipeline_takes_a_model_of_other_columns(model: Density) -> None:
    """Columns were taken by position, and one too few ended in a traceback."""
    for numeric in (["y", "x", "v"], ["x", "y"], ["x", "y", "v", "w"]):
        pipeline = Pipeline(named(numeric, ["c"]), 1)
        with pytest.raises(ModelError, match=r"its columns are not those of event\.numeric and event\.categorical"):
            pipeline.models.add(model)
        assert not pipeline.models.densities
    Pipeline(config(), 1).models.add(replace(model))
