"""Seeded maximum-likelihood training: early stopping on rows that are not the calibration set, trimming, checkpoints."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from flowlib.encoder.context import conditioned, hidden
from flowlib.flows import Flow
from flowlib.training.checkpoints import Checkpoint, OtherRun, copied, moments_of, restore_moments


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser settings.

    Each default says why. Figures are held-out nats in feature space on annthyroid (6 features), cardio (21, 1,158 rows),
    satellite (36) and the Beijing example (11), one seed each unless two are given; another seed moves them by 0.03, 0.6, 0.05
    and 0.005.

    Attributes:
        lr: peak of a one-cycle schedule (AdamW). A quarter of it loses 0.26, 0.27, 2.1 and 0.58 nats in as many steps; twice it
            gains 0.06 and 0.12 on annthyroid and Beijing and loses 0.73 and 0.72 on the other two.
        batch: rows a step. 512 rows at twice the rate in 500 steps take 0.5 of the time and lose 0.08, 0.65, −0.02, 0.09.
        max_steps: upper bound on steps; see ``batch`` for fewer.
        clip: bound on the gradient norm; it stops single far-out rows from throwing the weights. Its
            value is the lab's; it has not been varied.
        noise: standard deviation of Gaussian noise added to the features, in scale units; it keeps rounded and repeated
            values from becoming spikes, and a flow from drawing its contours around single rows. On eight anomaly sets of
            two seeds 0.15 beats 0.05 by 0.003 and 0.001 of AUROC and by 0.008 and 0.006 of average precision (normals only,
            contaminated); it costs 0.03 to 0.24 nats where the truth is narrow. 0 gains 0.6, 4.5 and 1.9 nats on rounded
            columns (the spikes) and loses 0.6 on satellite.
        check_every: steps between looks at the validation rows; a look costs about two steps.
        patience: looks without a gain before training stops: a third of the run, so that the fall of the rate is reached.
            Without it nothing is gained on any of the four, and nothing lost but time.
        contamination: share of the rows, in [0, ½), that may be anything: so many of each batch, the least likely by the
            model so far, do not count, nor do they in validation (trimmed likelihood, Neykov & Müller 2003). In the second
            half only those below a floor that the model's own samples set are left out. With 5-10 % of the rows in a tight
            cluster, 1.00 of the cluster is above the 1 % quantile of clean rows untrimmed, 0.00 trimmed, at −0.01 to +0.01
            nats on clean held-out rows. 0, because a share must be known to be stated.
        averaging: decay of the exponential average of the weights that is validated and kept. On two seeds it gains 0.64 and
            0.35 on cardio, 0.06 and 0.04 on satellite, nothing (±0.005) on the two larger sets, for 2 % of the time.
    """

    lr: float = 2e-3
    batch: int = 256
    max_steps: int = 1_500
    clip: float = 5.0
    noise: float = 0.15
    check_every: int = 100
    patience: int = 5
    contamination: float = 0.0
    averaging: float = 0.99

    def __post_init__(self) -> None:
        if not 0.0 <= self.contamination < 0.5:
            raise ValueError(
                f"contamination is {self.contamination}: expected a share of the rows from 0 to below 0.5; "
                "where most rows are contaminated nothing tells them from the rest"
            )

    @classmethod
    def warm(cls, max_steps: int = 400) -> TrainConfig:
        """Fine-tuning of a trained flow."""
        return replace(cls(), lr=1e-3, max_steps=max_steps, check_every=50)


@dataclass(frozen=True)
class Progress:
    """Where training stands: step, bound on steps, mean validation log-likelihood in feature space (nats)."""

    step: int
    max_steps: int
    valid_log_prob: float


@dataclass(frozen=True)
class Batch:
    """Encoded rows as tensors.

    Attributes:
        features: ``(n, d)``.
        context: ``(n, c)``.
        missing: ``(n, d)`` bool.
        cells: ``(2, n, d)`` features at the lower and upper end of each value's cell; None where nothing is rounded.
        codes: ``(n,)`` codes of the slices, where the flow carries a table of them.
    """

    features: Tensor
    context: Tensor
    missing: Tensor
    cells: Tensor | None = None
    codes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)

    def noisy(self, rows: Tensor | slice, blur: float, normal: Tensor, uniform: Tensor | None) -> Tensor:
        """Features of the chosen rows as training sees them, ``(m, d)``: rounded values anywhere in their cells, observed
        ones blurred, gaps filled.

        Args:
            rows: which.
            blur: standard deviation of the blur, in scale units.
            normal: ``(m, d)`` fresh draws of N(0, 1).
            uniform: ``(m, d)`` fresh draws of U(0, 1), needed where there are cells.
        """
        features = self.features[rows]
        if self.cells is not None:
            assert uniform is not None
            low, high = self.cells[0, rows], self.cells[1, rows]
            features = low + (high - low) * uniform
        return torch.where(self.missing[rows], normal, features + blur * normal)

    def draws(self, m: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """What :meth:`noisy` wants for m rows."""
        shape = m, self.features.shape[1]
        normal = torch.randn(shape, generator=generator)
        return normal, None if self.cells is None else torch.rand(shape, generator=generator)

    def joined(self, other: Batch) -> Batch:
        """These rows, then the others, of the same encoder."""
        cells = None if self.cells is None or other.cells is None else torch.cat((self.cells, other.cells), dim=1)
        codes = None if self.codes is None or other.codes is None else torch.cat((self.codes, other.codes))
        features, context, missing = (
            torch.cat((getattr(self, name), getattr(other, name))) for name in ("features", "context", "missing")
        )
        return Batch(features, context, missing, cells, codes)


def one_cycle(step: int, max_steps: int) -> float:
    """Share of the peak learning rate at a step from 0: cosine up over 30 % of the steps, then down to nearly nothing.

    Smith & Topin, "Super-Convergence", arXiv 1708.07120. A function of the step alone: a checkpoint needs no state of it.
    """
    top = max(0.3 * max_steps - 1.0, 0.0)
    if step <= top:
        return _cosine(1 / 25, 1.0, step / top if top else 1.0)
    return _cosine(1.0, 1 / 250_000, min((step - top) / max(max_steps - 1 - top, 1.0), 1.0))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def trimmed(n: int, contamination: float) -> int:
    """How many of n rows do not count: the share, and two standard deviations of what chance puts into one batch.

    Without the two a batch that holds more than its share teaches the surplus, and a tight cluster of them is soon likely.
    """
    return (
        math.ceil(contamination * n + 2.0 * math.sqrt(contamination * (1.0 - contamination) * n))
        if contamination
        else 0
    )


def upper_mean(values: Tensor, out: int) -> Tensor:
    """Mean of log-likelihoods ``(n,)`` without the ``out`` lowest."""
    if not out:
        return values.mean()
    return torch.topk(torch.nan_to_num(values, nan=-math.inf), max(len(values) - out, 1), sorted=False).values.mean()


def fit_flow(
    flow: Flow,
    train: Batch,
    valid: Batch,
    config: TrainConfig,
    seed: int,
    progress: Callable[[Progress], None] | None = None,
    resume: Checkpoint | None = None,
    keep: Callable[[Checkpoint], None] | None = None,
) -> float:
    """Train a flow in place and keep its best weights.

    Args:
        flow: starting weights (fresh, or of an earlier model for a warm start).
        train, valid: encoded rows; at least one each.
        config: optimiser settings.
        seed: seeds batches, noise and fill-ins; the same seed gives the same weights on one machine.
        progress: called at each look at the validation rows.
        resume: where an earlier call with the same arguments was interrupted.
        keep: called with a checkpoint at each look, to be written down by the caller.

    Returns:
        The best mean validation log-likelihood, nats, in feature space.

    Raises:
        OtherRun: ``resume`` belongs to another run; nothing is changed.
    """
    run = Run(flow, train, valid, config, seed)
    if flow.solve is not None:
        return run.solved()
    if resume is not None:
        run.resume(resume)
    while not run.done:
        run.step()
        if run.steps % config.check_every == 0 or run.steps == config.max_steps:
            value = run.look()
            if progress is not None:
                progress(Progress(run.steps, config.max_steps, value))
            if keep is not None:
                keep(run.checkpoint())
    flow.load_state_dict(run.best_weights)
    return run.best


class Run:
    """One training run, step by step; :func:`fit_flow` drives it. Arguments as there."""

    def __init__(self, flow: Flow, train: Batch, valid: Batch, config: TrainConfig, seed: int) -> None:
        self.flow, self.train, self.valid, self.config, self.seed = flow, train, valid, config, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.optimiser = torch.optim.AdamW(flow.parameters(), lr=config.lr, weight_decay=1e-4, fused=True)
        self.mean = copy.deepcopy(flow).requires_grad_(False)
        self.name = self._name()
        self.steps, self.since = 0, 0
        self.floor: float | None = None
        self.best, self.best_weights = self._validate(), copied(flow.state_dict())

    @property
    def done(self) -> bool:
        """No steps left, or the validation rows have gained nothing for too long."""
        return self.steps >= self.config.max_steps or self.since >= self.config.patience

    def step(self) -> None:
        """One batch, one step of the optimiser."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.lr * one_cycle(self.steps, self.config.max_steps)
        self.steps += 1
        rows = torch.randint(len(self.train), (min(self.config.batch, len(self.train)),), generator=self.generator)
        values = self.flow.objective(self.noisy(rows), self.context(rows))
        loss = -upper_mean(values, self._out(values))
        if not torch.isfinite(loss):
            return  # one bad batch must not poison the weights; the validation rows decide what is kept
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.flow.parameters(), self.config.clip)
        self.optimiser.step()
        # Young averages forget faster, so that the first weights do not linger.
        decay = min(self.config.averaging, self.steps / (self.steps + 9.0))
        for kept, new in zip(self.mean.parameters(), self.flow.parameters(), strict=True):
            kept.lerp_(new.detach(), 1.0 - decay)

    def noisy(self, rows: Tensor) -> Tensor:
        """Features of training rows with fresh noise."""
        normal, uniform = self.train.draws(len(rows), self.generator)
        return self.train.noisy(rows, self.config.noise, normal, uniform)

    def context(self, rows: Tensor) -> Tensor:
        """Context of training rows, the slices of a few hidden."""
        codes = None if self.train.codes is None else hidden(self.train.codes[rows], self.generator)
        return conditioned(self.flow, self.train.context[rows], codes)

    def solved(self) -> float:
        """Fit all rows at once by the family's own solver; its validation figure."""
        rows = torch.arange(len(self.train))
        assert self.flow.solve is not None
        self.flow.solve(self.noisy(rows), self.context(rows), self.seed)
        self.mean = self.flow
        return self._validate()

    def look(self) -> float:
        """Mean log-likelihood of the validation rows by the averaged weights; those are kept if it is the best so far."""
        if self.config.contamination and 2 * self.steps >= self.config.max_steps:
            if self.floor is None:  # from here on other rows count: what was best before is not comparable
                self.best, self.since = -math.inf, 0
            self.floor = self._floor()
        value = self._validate()
        if value > self.best:
            self.best, self.best_weights, self.since = value, copied(self.mean.state_dict()), 0
        else:
            self.since += 1
        return value

    def checkpoint(self) -> Checkpoint:
        """What :meth:`resume` needs, copied."""
        return Checkpoint(
            self.name,
            self.steps,
            self.best,
            self.since,
            self.floor,
            copied(self.flow.state_dict()),
            copied(self.mean.state_dict()),
            self.best_weights,
            moments_of(self.optimiser),
            self.generator.get_state(),
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same run; raises ValueError when it is of another."""
        if checkpoint.run != self.name:
            raise OtherRun(
                "the checkpoint belongs to another run: its rows, settings, seed or first weights differ; start afresh"
            )
        self.steps, self.best, self.since = checkpoint.step, checkpoint.best, checkpoint.since
        self.floor = checkpoint.floor
        self.best_weights = copied(checkpoint.best_weights)
        self.flow.load_state_dict(checkpoint.weights)
        self.mean.load_state_dict(checkpoint.average)
        restore_moments(self.optimiser, checkpoint.moments)
        self.generator.set_state(checkpoint.generator)

    def _out(self, values: Tensor) -> int:
        """How many rows of a batch do not count; a fresh flow first learns a little of where most of them are."""
        if self.steps <= 0.05 * self.config.max_steps:
            return 0
        out = trimmed(len(values), self.config.contamination)
        return out if self.floor is None else min(out, int((values.detach() < self.floor).sum()))

    def _floor(self) -> float:
        """What hardly any of the flow's own samples falls below, a nat lower: rows above it are no contamination.

        The reweighting step of robust estimates (Rousseeuw & van Driessen 1999): it gives the clean tails back.
        """
        codes = None if self.train.codes is None else self.train.codes[:2_000]
        with torch.no_grad():
            context = conditioned(self.mean, self.train.context[:2_000], codes)
            drawn = self.mean.sample(context, torch.Generator().manual_seed(self.seed))
            values = torch.nan_to_num(self.mean.log_prob(drawn, context), nan=-math.inf)
        return float(torch.quantile(values, 2e-3)) - 1.0

    def _name(self) -> str:
        digest = hashlib.sha256(repr((sorted(asdict(self.config).items()), self.seed)).encode())
        rows = [tensor for part in (self.train, self.valid) for tensor in vars(part).values() if tensor is not None]
        for tensor in (*rows, *self.flow.state_dict().values()):
            digest.update(repr(tuple(tensor.shape)).encode() + tensor.detach().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _validate(self) -> float:
        normal, uniform = self.valid.draws(len(self.valid), torch.Generator().manual_seed(self.seed))
        features = self.valid.noisy(slice(None), 0.0, normal, uniform)
        with torch.no_grad():
            values = self.mean.log_prob(features, conditioned(self.mean, self.valid.context, self.valid.codes))
            value = float(upper_mean(values, trimmed(len(values), self.config.contamination)))
        return value if math.isfinite(value) else -math.inf
