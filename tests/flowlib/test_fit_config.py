"""Settings of a fit: refused where senseless, and each of them has its effect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from flowlib.density import Density
from flowlib.encoder.spec import EncoderConfig
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.flows import FLOWS, Flow
from flowlib.training import Progress, TrainConfig, TrainingRows, fit_flow
from tests.flowlib.conftest import SPEC, draw, trained

TABLES = (draw(300, 1), draw(100, 2), draw(200, 3))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"flow_name": "nope"}, "flow_name: one of maf, .*, got 'nope'"),
        ({"distance": "miles"}, "distance: one of columns, mixture, base, got 'miles'"),
        ({"weight": -0.5}, "weight: .*at least 0, got -0.5"),
        ({"weight": float("nan")}, "weight: expected a finite number"),
    ],
)
def test_a_senseless_setting_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FitConfig(**settings)


def test_every_setting_has_its_effect() -> None:
    config = replace(
        trained(max_steps=2),
        flow_name="affine_coupling",
        distance="base",
        encoder=EncoderConfig(maps=("robust",)),
        weight=0.25,
    )
    density = Density.fit(SPEC, *TABLES, 0, config)
    assert type(density.flow) is FLOWS["affine_coupling"]
    assert density.flow_name == "affine_coupling"
    assert density.calibration.beside == ()
    assert density.calibration.weights == density.recalibrated(TABLES[2], 1).calibration.weights == [0.25]
    assert {column_map.kind for _, column_map in density.encoder.maps} == {"robust"}
    assert Density.fit(SPEC, *TABLES, 0, trained(max_steps=2)).calibration.beside


def test_a_strategy_of_ones_own_trains_the_flow_and_is_given_the_seed() -> None:
    calls: list[tuple[int, int, int]] = []

    def learn(flow: Flow, train: TrainingRows, valid: TrainingRows, seed: int) -> None:
        calls.append((len(train), len(valid), seed))
        with torch.no_grad():
            for weights in flow.parameters():
                weights.zero_()

    density = Density.fit(SPEC, *TABLES, 7, FitConfig(learn=learn))
    assert calls == [(300, 100, 7)]
    assert not any(weights.any() for weights in density.flow.parameters())
    assert not density.flow.training


def test_maximum_likelihood_is_fit_flow_with_its_own_settings() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [
        TrainingRows(torch.randn(n, 2, generator=generator), torch.zeros(n, 0), torch.zeros(n, 2, dtype=torch.bool))
        for n in (200, 50)
    ]
    flows = [FLOWS["maf"](2, 0, torch.Generator().manual_seed(1), blocks=2, hidden=8) for _ in range(2)]
    config, looks = TrainConfig(max_steps=20, check_every=10), list[Progress]()
    MaximumLikelihood(config, looks.append)(flows[0], *rows, 3)
    fit_flow(flows[1], *rows, config, 3)
    assert [look.step for look in looks] == [10, 20]
    for ours, theirs in zip(flows[0].parameters(), flows[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)
