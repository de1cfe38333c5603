"""One small model on data whose true density is known, made once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig

SPEC = FeatureSpec(("a", "b", "c"), ("kind",))
SHIFT = {"x": 0.0, "y": 2.0}


def draw(n: int, seed: int) -> Table:
    """n rows of the known law: a and b correlated, c depends on the category; 10 % of c is missing."""
    g = np.random.default_rng(seed)
    kind = np.where(g.random(n) < 0.3, "y", "x").astype(object)
    a = g.standard_normal(n)
    b = 0.8 * a + 0.6 * g.standard_normal(n)
    c = np.array([SHIFT[k] for k in kind]) + 0.5 * g.standard_normal(n)
    c[g.random(n) < 0.1] = np.nan
    slices = np.where(g.random(n) < 0.9, "big", "small").astype(object)
    return Table.of(np.column_stack([a, b, c]), kind[:, None], slices)


def trained(**settings: Any) -> FitConfig:
    """A fit with these settings of training."""
    return FitConfig(learn=MaximumLikelihood(TrainConfig(**settings)))


def fit(seed: int = 0, **settings: Any) -> Density:
    """A model of that law; the same arguments give the same one."""
    train, valid, held = draw(4_000, 1), draw(1_000, 2), draw(2_000, 3)
    config = trained(**({"max_steps": 300} | settings))
    return Density.fit(SPEC, train, valid, held, seed, config, manifest={"stream": "test"})


@pytest.fixture(scope="session")
def density() -> Density:
    return fit()


def entropy_nats() -> float:
    """Differential entropy of (a, b, c | present), the category's and the gaps' included."""
    gauss = 0.5 * np.log(2 * np.pi * np.e)
    present, share = 0.9, 0.3
    binary = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    gaps = -(present * np.log(present) + (1 - present) * np.log(1 - present))
    return float(gauss + gauss + np.log(0.6) + present * (gauss + np.log(0.5)) + binary + gaps)
