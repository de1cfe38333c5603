"""Seeded maximum-likelihood training: early stopping on validation rows, trimming, checkpoints."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from flowlib.errors import OtherRun
from flowlib.flows import Flow
from flowlib.training.checkpoints import Checkpoint, copied
from flowlib.training.config import Progress, TrainConfig
from flowlib.training.kernel import learner
from flowlib.training.learners import Autograd, upper_mean
from flowlib.training.rows import TrainingRows, taken
from flowlib.training.slice_table import conditioned, hidden


def one_cycle(step: int, max_steps: int) -> float:
    """Share of the peak learning rate at a step, from 0: cosine up over 30 % of the steps, then down to 1/250,000.

    Smith & Topin, "Super-Convergence", arXiv 1708.07120. A function of the step alone, so that a checkpoint holds no
    state of it.
    """
    top = max(0.3 * max_steps - 1.0, 0.0)
    if step <= top:
        return _cosine(1 / 25, 1.0, step / top if top else 1.0)
    return _cosine(1.0, 1 / 250_000, min((step - top) / max(max_steps - 1 - top, 1.0), 1.0))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


def trimmed(n: int, contamination: float) -> int:
    """Number of n rows that do not count: the share, and two standard deviations of what chance puts into one batch.

    With the share alone a batch that holds more than its share teaches the surplus.
    """
    return (
        math.ceil(contamination * n + 2.0 * math.sqrt(contamination * (1.0 - contamination) * n))
        if contamination
        else 0
    )


def far(n: int) -> int:
    """Number of n validation rows that do not count, the least likely ones: 1 %, none of fewer than twenty.

    A single row beyond all training rows may cost thousands of nats and more with every step: it alone would throw the
    whole training away (``flowlib/FINDINGS.md``).
    """
    return math.ceil(0.01 * n) if n >= 20 else 0


def fit_flow(
    flow: Flow,
    train: TrainingRows,
    valid: TrainingRows,
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
        config: settings.
        seed: of batches, noise and fill-ins; the same seed gives the same weights on one machine.
        progress: called at each look at the validation rows.
        resume: checkpoint of an earlier call with the same arguments that was interrupted.
        keep: called with a checkpoint at each look; the caller stores it.

    Returns:
        The best mean validation log-likelihood, nats, in feature space, without the rows of :func:`far`.

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

    def __init__(self, flow: Flow, train: TrainingRows, valid: TrainingRows, config: TrainConfig, seed: int) -> None:
        self.flow, self.train, self.valid, self.config, self.seed = flow, train, valid, config, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.average = copy.deepcopy(flow).requires_grad_(False)
        self.learner = learner(flow, self.average, (train.context, valid.context), train.codes is not None)
        self.digest = self._digest()
        self.steps, self.stale_looks = 0, 0
        self.floor: float | None = None
        self.best, self.best_weights = self._validate(), copied(flow.state_dict())

    @property
    def done(self) -> bool:
        """No steps are left, or the last ``patience`` looks gained nothing."""
        return self.steps >= self.config.max_steps or self.stale_looks >= self.config.patience

    def step(self) -> None:
        """One batch, one step of the optimiser."""
        config = self.config
        rate = config.lr * one_cycle(self.steps, config.max_steps)
        self.steps += 1
        rows = torch.randint(len(self.train), (min(config.batch, len(self.train)),), generator=self.generator)
        loss = self.learner.loss(self.noisy(rows), self.context(rows), self._dropped if config.contamination else None)
        if not torch.isfinite(loss):
            return  # one bad batch must not poison the weights; the validation rows decide what is kept
        # Early averages forget faster, so that the first weights do not stay in them.
        average = min(config.averaging, self.steps / (self.steps + 9.0))
        self.learner.step(self.steps, rate, config.clip, 1.0 - average)

    def noisy(self, rows: Tensor) -> Tensor:
        """Features of training rows with fresh noise."""
        normal, uniform = self.train.draws(len(rows), self.generator)
        return self.train.noisy(rows, self.config.noise, normal, uniform)

    def context(self, rows: Tensor) -> Tensor:
        """Context of training rows, the slices of a few of them hidden."""
        codes = None if self.train.codes is None else hidden(self.train.codes[rows], self.generator)
        return conditioned(self.flow, taken(self.train.context, rows), codes)

    def solved(self) -> float:
        """Fit all rows at once by the family's own solver; its mean validation log-likelihood."""
        rows = torch.arange(len(self.train))
        assert self.flow.solve is not None
        self.flow.solve(self.noisy(rows), self.context(rows), self.seed)
        self.learner = Autograd(self.flow, self.flow)
        return self._validate()

    def look(self) -> float:
        """Mean log-likelihood of the validation rows by the averaged weights; the best weights are kept."""
        self.learner.store()
        if self.config.contamination and 2 * self.steps >= self.config.max_steps:
            if self.floor is None:  # from here on other rows count: the best so far is not comparable
                self.best, self.stale_looks = -math.inf, 0
            self.floor = self._floor()
        value = self._validate()
        if value > self.best:
            self.best, self.best_weights, self.stale_looks = value, copied(self.average.state_dict()), 0
        else:
            self.stale_looks += 1
        return value

    def checkpoint(self) -> Checkpoint:
        """A copy of all that :meth:`resume` needs."""
        self.learner.store()
        return Checkpoint(
            self.digest,
            self.steps,
            self.best,
            self.stale_looks,
            self.floor,
            copied(self.flow.state_dict()),
            copied(self.average.state_dict()),
            self.best_weights,
            self.learner.moments(),
            self.generator.get_state(),
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same run; raises OtherRun when it is of another."""
        if checkpoint.run != self.digest:
            raise OtherRun(
                "the checkpoint belongs to another run: its rows, settings, seed or first weights differ; start afresh"
            )
        self.steps, self.best, self.stale_looks = checkpoint.step, checkpoint.best, checkpoint.stale_looks
        self.floor = checkpoint.floor
        self.best_weights = copied(checkpoint.best_weights)
        self.flow.load_state_dict(checkpoint.weights)
        self.average.load_state_dict(checkpoint.average)
        self.learner.resume(checkpoint.moments)
        self.generator.set_state(checkpoint.generator)

    def _dropped(self, values: Tensor) -> int:
        """Number of rows of a batch that do not count; none in the first steps, until most rows are likely."""
        if self.steps <= 0.05 * self.config.max_steps:
            return 0
        dropped = trimmed(len(values), self.config.contamination)
        return dropped if self.floor is None else min(dropped, int((values.detach() < self.floor).sum()))

    def _floor(self) -> float:
        """The 0.2 % quantile of the log-likelihoods of the flow's samples, less one nat: rows above it always count.

        The reweighting step of robust estimates (Rousseeuw & van Driessen 1999): it gives the clean tails back.
        """
        codes = None if self.train.codes is None else self.train.codes[:2_000]
        with torch.no_grad():
            context = conditioned(self.average, self.train.context[:2_000], codes)
            drawn = self.average.sample(context, torch.Generator().manual_seed(self.seed))
            values = torch.nan_to_num(self.average.log_prob(drawn, context), nan=-math.inf)
        return float(torch.quantile(values, 2e-3)) - 1.0

    def _digest(self) -> str:
        """Of configuration, seed, rows and first weights."""
        digest = hashlib.sha256(repr((sorted(asdict(self.config).items()), self.seed, self.learner.name)).encode())
        rows = [tensor for part in (self.train, self.valid) for tensor in vars(part).values() if tensor is not None]
        for tensor in (*rows, *self.flow.state_dict().values()):
            digest.update(repr(tuple(tensor.shape)).encode() + tensor.detach().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _validate(self) -> float:
        """Mean log-likelihood of the validation rows less :func:`far`, nats; −∞ where it is not finite."""
        normal, uniform = self.valid.draws(len(self.valid), torch.Generator().manual_seed(self.seed))
        features = self.valid.noisy(slice(None), 0.0, normal, uniform)
        with torch.no_grad():
            context = conditioned(self.average, self.valid.context, self.valid.codes)
        values = self.learner.values(features, context)
        value = float(upper_mean(values, max(trimmed(len(values), self.config.contamination), far(len(values)))))
        return value if math.isfinite(value) else -math.inf
