"""Private training: DP-SGD, its noise and its accountant.

Abadi et al., "Deep Learning with Differential Privacy", arXiv 1607.00133: each step draws rows independently (Poisson
sampling), clips the gradient of each row, adds Gaussian noise. What is protected is one row, added or removed; the
number of rows is taken as public.

Batches and noise come from :class:`Keystream`, ChaCha20 under a key that the caller draws from the operating system's
entropy and does not store. Whoever knows the key can subtract the noise: with a fixed or predictable key, as in tests,
nothing is private. There is no defence against floating-point attacks on the Gaussian (Mironov 2012).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from torch import Tensor

from flowlib.flows import Flow
from flowlib.privacy.steps import steps_of
from flowlib.training import Progress, TrainingRows
from flowlib.training.fit import one_cycle
from flowlib.training.kernel import normals
from flowlib.training.rows import taken

KEY_BYTES = 32

ROWS_A_STEP = 1_024
"""Expected rows of a step, where there are as many."""

STEPS = 500
"""Steps of a training (``flowlib/FINDINGS.md``)."""

_GRID = 1e-4
"""Step of the accountant's grid of privacy losses. A coarser one is faster and claims more ε, never less."""

_NOISE_MIN = 0.3
"""Least noise multiplier that is tried: less protects nothing, and the accountant's time grows without bound."""


@dataclass(frozen=True)
class Spent:
    """One private training, as an accountant sees it: Poisson-sampled Gaussian steps.

    Attributes:
        noise_multiplier: standard deviation of the noise over the clipping norm.
        sampling_rate: chance of a row to be in a step.
        steps: number of steps.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int


def epsilon_of(spent: Sequence[Spent], delta: float) -> float:
    """ε at δ of several trainings on the same rows together, an upper bound.

    Google's PLD accountant composes them (Doroshenko et al., "Connect the Dots", arXiv 2207.04380): never more, and
    mostly far less, than the sum of their own ε. Needs the ``private`` extra.

    Args:
        spent: the trainings; ε of none is 0.
        delta: δ in (0, 1).
    """
    if not spent:
        return 0.0
    accountant = _accounting().pld.PLDAccountant(value_discretization_interval=_GRID)
    for training in spent:
        accountant.compose(_event(training))
    return float(accountant.get_epsilon(delta))


def noise_for(epsilon: float, delta: float, sampling_rate: float, steps: int) -> float:
    """The least noise multiplier, to about 1 %, that keeps such a training within ε at δ.

    Raises:
        ValueError: no noise of reasonable size does.
    """
    dp, grid = _accounting(), min(1e-3, epsilon / 500)
    try:
        return float(
            dp.calibrate_dp_mechanism(
                lambda: dp.pld.PLDAccountant(value_discretization_interval=grid),
                lambda noise: _event(Spent(noise, sampling_rate, steps)),
                epsilon,
                delta,
                dp.LowerEndpointAndGuess(_NOISE_MIN, 2 * _NOISE_MIN),
                tol=0.005,
            )
        )
    except (dp.mechanism_calibration.NoBracketIntervalFoundError, MemoryError) as error:
        raise ValueError(f"no noise gives epsilon {epsilon} at delta {delta} ({error}): raise epsilon") from error


def _event(spent: Spent) -> Any:
    dp = _accounting()
    step = dp.GaussianDpEvent(spent.noise_multiplier)
    if spent.sampling_rate < 1.0:
        step = dp.PoissonSampledDpEvent(spent.sampling_rate, step)
    return dp.SelfComposedDpEvent(step, spent.steps)


def _accounting() -> Any:
    try:  # an optional package, of the ``private`` extra
        import dp_accounting
        import dp_accounting.pld
    except ImportError:
        raise ImportError("private training needs an accountant: pip install 'driftflow[private]'") from None
    return dp_accounting


@dataclass(frozen=True)
class PrivateConfig:
    """Settings of DP-SGD. What the defaults were measured against stands in ``flowlib/FINDINGS.md``.

    Attributes:
        noise_multiplier: standard deviation of the noise over ``clip``; see :func:`noise_for`.
        sampling_rate: chance of a row to be in a step.
        steps: number of steps. All are taken: stopping early would use rows that the accountant does not count.
        clip: bound on the norm of a row's gradient.
        lr: peak of the one-cycle schedule (Adam).
        noise: standard deviation of the blur of the features, in scale units, as in
            :class:`flowlib.training.TrainConfig`.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int = STEPS
    clip: float = 1.0
    lr: float = 1e-2
    noise: float = 0.05

    @classmethod
    def planned(cls, epsilon: float, delta: float, rows: int, clip: float = 1.0) -> PrivateConfig:
        """Settings for so many rows that stay within ε at δ; raises ValueError where no noise does."""
        rate = min(ROWS_A_STEP / rows, 1.0)
        return cls(noise_for(epsilon, delta, rate, STEPS), rate, STEPS, clip)

    @property
    def spent(self) -> Spent:
        """A training with these settings, as the accountant sees it."""
        return Spent(self.noise_multiplier, self.sampling_rate, self.steps)


class Keystream:
    """Random numbers of a ChaCha20 keystream: unpredictable without the key.

    Args:
        key: 32 bytes, from ``secrets.token_bytes`` for a private training.

    Raises:
        ValueError: another number of bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes, expected {KEY_BYTES}: secrets.token_bytes({KEY_BYTES})")
        self._cipher = Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor()

    def uniforms(self, *shape: int) -> Tensor:
        """Independent uniforms in (0, 1), float32, on a grid of 2⁻⁵² before they are rounded."""
        uniform = (np.frombuffer(self._words(math.prod(shape)), dtype="<u8") >> np.uint64(12)).astype(np.float64)
        return torch.from_numpy(((uniform + 0.5) * 2.0**-52).astype(np.float32)).reshape(shape)

    def normals(self, *shape: int) -> Tensor:
        """Independent standard normals, float32."""
        return torch.from_numpy(normals(self._words(math.prod(shape)))).reshape(shape)

    def rows(self, n: int, rate: float) -> Tensor:
        """Indices of a Poisson sample: each of n rows with the same chance, independently."""
        words = np.frombuffer(self._words(n), dtype="<u8")
        return torch.from_numpy(np.flatnonzero(words < np.uint64(int(rate * 2**64))) if rate < 1.0 else np.arange(n))

    def _words(self, n: int) -> bytes:
        return self._cipher.update(bytes(8 * n))


def fit_private(
    flow: Flow,
    train: TrainingRows,
    config: PrivateConfig,
    keystream: Keystream,
    progress: Callable[[Progress], None] | None = None,
) -> Spent:
    """Train a flow in place so that its weights are differentially private in the rows.

    The starting weights must not depend on private rows: fresh, or of a model whose own training is composed with this
    one.

    Args:
        flow: of linear, masked linear and embedding layers, each used once a pass; without a table of slices.
        train: encoded rows, at least one.
        config: settings.
        keystream: source of batches and noise.
        progress: called after each fiftieth of the steps; its likelihood is NaN, since the accountant would have to
            count it.

    Returns:
        The training, for :func:`epsilon_of`.

    Raises:
        ValueError: a kind of layer for which gradients of single rows are not known, or rows with codes of slices.
    """
    if train.codes is not None:
        raise ValueError(
            'private training does not learn a table of slices: fit without "slice" in the context of the encoder'
        )
    steps = steps_of(flow)
    every = max(config.steps // 50, 1)
    # Over the expected size: the size of the Poisson sample itself depends on which rows are in it.
    expected = config.sampling_rate * len(train)
    for step in range(config.steps):
        rows = keystream.rows(len(train), config.sampling_rate)
        normal = keystream.normals(len(rows), train.features.shape[1])
        uniform = None if train.cells is None else keystream.uniforms(*normal.shape)
        features = train.noisy(rows, config.noise, normal, uniform)
        steps.noised(features, taken(train.context, rows), config.clip, config.noise_multiplier, keystream.normals)
        steps.step(step + 1, config.lr * one_cycle(step, config.steps), expected)
        if progress is not None and (step + 1) % every == 0:
            progress(Progress(step + 1, config.steps, float("nan")))
    steps.store()
    return config.spent
