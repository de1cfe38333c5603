"""What all runs share: the stream's configurations, two tiny models, and keys. Made once a process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig
from schemas.codecs import WireMessage
from stream_app.config import Config
from stream_app.models.keys import operator_key, request_key, signing_key
from stream_app.models.keys.commands import new_key
from stream_app.models.signing import sign
from tests.stages import streams
from tests.worker.making import notice

SOURCES = WIDTH = 2
"""Partitions of the events, and of the partials."""
MODELS = ("model-1", "model-2")

RULES: dict[str, Any] = {
    "drift": {"detectors": ["location", "likelihood"], "resolve": 0.01, "retrain": True},
    "fault": {"detectors": ["missing", "silence"], "resolve": 0.01},
}
_WINDOWS: dict[str, Any] = {
    "pane": "1s",
    "spans": ["2s", "4s"],
    "lateness": "500ms",
    "max_future": "20s",
    "max_slices": 20,
    "idle_after": "1s",
}


@dataclass(frozen=True)
class Cast:
    """Attributes:
    configs: by name; the clock of one is the newest event, that of the other several, and of that few panes are open.
    models: in the order of their notices.
    notices: their messages.
    operator: signs actions.
    """

    configs: dict[str, Config]
    models: dict[str, Density]
    notices: list[WireMessage]
    operator: Ed25519PrivateKey


def _fit(seed: int, model_id: str) -> Density:
    parts = [Table.of(*streams.table(np.random.default_rng(100 * seed + i), n)) for i, n in enumerate((300, 100, 200))]
    density = Density.fit(
        FeatureSpec(streams.NUMERIC, streams.CATEGORIES),
        parts[0],
        valid=parts[1],
        calibration=parts[2],
        seed=seed,
        config=FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=8))),
        manifest={"stream": "s", "slicings": [["station"], []]},
    )
    return replace(density.with_reference(streams.held_out(seed), streams.PANE), model_id=model_id)


def _notice(number: int, model_id: str, key: Ed25519PrivateKey) -> WireMessage:
    value = msgspec.json.encode(notice(model_id, sequence=number, manifest=b"{}", tensors=b"{}", signature=b"{}"))
    return sign(WireMessage(value, (("ce_type", b"driftflow.model-notice.v1"),)), key)


def _config(keys: Path, **windows: Any) -> Config:
    made = streams.config(rules=RULES, windows=_WINDOWS | windows)
    folder = keys / "keys"
    return _with(
        made,
        event={"first_events": 0},
        state={"trusted_keys": [str(folder / "signing.pub")]},
        alerts={"trusted_keys": [str(folder / "operator.pub")]},
        worker={"signing_key": str(folder / "worker.pem")},
        trainer={
            "signing_key": str(folder / "signing.pem"),
            "trusted_keys": [str(folder / "worker.pub")],
            "registry": str(keys / "models"),
        },
    )


def _with(config: Config, **sections: dict[str, Any]) -> Config:
    changed = {name: msgspec.structs.replace(getattr(config, name), **fields) for name, fields in sections.items()}
    return msgspec.structs.replace(config, **changed)


@cache
def cast() -> Cast:
    """Fitted and signed at the first call."""
    keys = Path(tempfile.mkdtemp(prefix="driftflow-simulation-"))
    configs = {"newest": _config(keys, clock=1), "median": _config(keys, clock=3, max_open_panes=4)}
    at_keys = msgspec.structs.replace(configs["newest"], root=str(keys))
    request_key(at_keys)
    signing = signing_key(at_keys)
    new_key(at_keys, "operator")
    return Cast(
        configs,
        {model_id: _fit(number, model_id) for number, model_id in enumerate(MODELS, 1)},
        [_notice(number, model_id, signing) for number, model_id in enumerate(MODELS, 1)],
        operator_key(at_keys),
    )
