"""Events in a DataFrame get the scores that the same rows of a file get, whatever library the frame is of."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowlib.density import Density
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.event_files import read_rows
from stream_app.offline.frames import score_frame
from stream_app.offline.replay import batches
from stream_app.stages.score.decoding import Decoder
from tests.conftest import need
from tests.offline.serving import serving
from tests.stages.streams import bodies


@pytest.fixture
def cfg(tmp_path: Path, model: Density) -> Config:
    """A stream with a model in service."""
    cfg = serving(tmp_path, model)
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(bodies(5, 300, 30_000)) + b"\n")
    return cfg


def of_file(cfg: Config, model: Density) -> dict[str, float]:
    """Likelihood of each event of the file, by its id."""
    scored: dict[str, float] = {}
    for raw in batches(cfg, read_rows(cfg.path("events.jsonl"), cfg)):
        events, rejects = Decoder(cfg).decode(raw)
        assert not rejects
        assert events.ids is not None
        scored |= dict(zip(events.ids, model.score(events.table()).log_prob.tolist(), strict=True))
    return scored


def columns(cfg: Config) -> dict[str, list[Any]]:
    rows = [json.loads(line) for line in cfg.path("events.jsonl").read_text().splitlines()]
    return {name: [row.get(name) for row in rows] for name in rows[0]}


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_frame_has_the_scores_of_the_file(cfg: Config, model: Density, library: str) -> None:
    module, given = need(library), columns(cfg)
    make = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}[library]
    frame = getattr(module, make)(given)
    scored = score_frame(cfg, frame)
    assert type(scored) is type(frame)
    texts, numbers = (_listed(scored, name) for name in ("id", "log_prob"))
    known = of_file(cfg, model)
    once = {name for name, n in Counter(map(str, texts)).items() if n == 1}  # an id that comes again has other values
    there = [i for i, value in enumerate(numbers) if str(texts[i]) in once and value is not None and value == value]
    assert len(there) > 250
    of_id = [known[str(texts[i])] for i in there]
    np.testing.assert_allclose([numbers[i] for i in there], of_id, rtol=1e-5, atol=1e-5)


def _listed(frame: Any, name: str) -> list[Any]:
    column = frame[name]
    return list(column.to_pylist() if hasattr(column, "to_pylist") else column)


def test_a_row_that_is_no_event_says_why_and_has_no_score(cfg: Config) -> None:
    polars = need("polars")
    given = columns(cfg)
    given["t"][3] = None
    scored = score_frame(cfg, polars.DataFrame(given))
    assert scored["fault"][3].startswith("missing_time (t)")
    assert scored["p_value"][3] is None
    assert scored["strange"][3] is None
    assert scored["fault"][4] == ""
    assert set(scored["strange"].drop_nulls()) <= {True, False}


def test_what_is_no_frame_is_a_sentence(cfg: Config) -> None:
    with pytest.raises(DriftflowError, match="list is no DataFrame: give one of pandas or polars"):
        score_frame(cfg, [1])
    polars = need("polars")
    with pytest.raises(DriftflowError, match="has a column 'p_value' already"):
        score_frame(cfg, polars.DataFrame({"t": [1], "p_value": [0.5]}))
