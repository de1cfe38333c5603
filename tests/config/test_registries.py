"""What a configuration may name is what there is: each list of names is held to the registry that it names."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pytest
import torch

from flowlib.encoder.columns import MAPS
from flowlib.encoder.context import KINDS
from flowlib.engines import ENGINES
from flowlib.fit_config import DISTANCES
from flowlib.flows import FLOWS
from flowlib.privacy.clipping import layers_of
from stream_app.config import registries
from stream_app.sinks import SINKS
from stream_app.stages.detection.detectors import DETECTORS
from stream_app.stages.detection.pane_statistic import MAKERS
from stream_app.stages.score.decoding import DECODERS


@pytest.mark.parametrize(
    ("names", "registry"),
    [
        (registries.EventFormat, DECODERS),
        (registries.DetectorName, (*DETECTORS, *MAKERS)),
        (registries.FlowName, FLOWS),
        (registries.EngineName, ("auto", *ENGINES)),
        (registries.DistanceName, DISTANCES),
        (registries.MapName, MAPS),
        (registries.ContextKind, KINDS),
        (registries.SinkName, SINKS),
    ],
    ids=[
        "event.format",
        "rules.detectors",
        "model.flow",
        "model.engine",
        "model.distance",
        "model.maps",
        "model.context",
        "sink.kind",
    ],
)
def test_the_names_are_those_of_the_registry(names: Any, registry: Any) -> None:
    assert get_args(names) == tuple(registry)


def test_kinds_and_options_are_those_of_the_detectors() -> None:
    kinds = {name: detector.kind for name, detector in DETECTORS.items()}
    assert kinds | dict.fromkeys(MAKERS, "drift") == registries.DETECTOR_KINDS
    assert registries.DETECTOR_OPTIONS.keys() == MAKERS.keys()


@pytest.mark.parametrize("name", MAKERS)
def test_the_options_are_those_that_the_detectors_read(name: str) -> None:
    asked: set[str] = set()

    class Options(dict[str, float]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.add(key)
            return default

    MAKERS[name](Options())
    assert asked | {"hold"} == registries.DETECTOR_OPTIONS[name].keys()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("end", [0, 1])
def test_a_detector_takes_every_option_that_the_configuration_lets_through(name: str, end: int) -> None:
    made = MAKERS[name]({option: bounds[end] for option, bounds in registries.DETECTOR_OPTIONS[name].items()})
    for value in range(30):
        made.update(float(value))


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_the_private_flows_are_those_whose_gradients_are_known(name: str) -> None:
    flow = FLOWS[name](2, 2, torch.Generator().manual_seed(0))
    if name in registries.PRIVATE_FLOWS:
        assert list(layers_of(flow))
    else:
        with pytest.raises(ValueError, match="private training knows"):
            layers_of(flow)


def test_reading_a_configuration_imports_no_part_that_it_names() -> None:
    """In a process of its own: here everything is imported already."""
    script = (
        "import sys, stream_app.config\n"
        "try: stream_app.config.parse({'stream': 's', 'topics': {'events': 'e'}, 'privacy': {'enabled': True},\n"
        "    'event': {'time_field': 't', 'numeric': ['x']}, 'model': {'flow': 'glow'}})\n"
        "except stream_app.config.loading.ConfigError as error: print(error, file=sys.stderr)\n"
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "model.flow: one of maf" in run.stderr
    loaded = set(run.stdout.split())
    assert {"stream_app.config.checking", "msgspec"} <= loaded
    assert not {name.split(".")[0] for name in loaded} & {"torch", "numpy", "flowlib", "kafka", "faust"}
    assert not {name for name in loaded if name.startswith(("stream_app.stages", "stream_app.sinks"))}
