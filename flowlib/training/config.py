"""Settings of training, and its report of progress."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the optimiser (AdamW). What each default was measured against stands in ``flowlib/FINDINGS.md``.

    Attributes:
        lr: peak of the learning rate; see :func:`flowlib.training.fit.one_cycle`.
        batch: rows of a step.
        max_steps: bound on steps.
        clip: bound on the norm of a step's gradient, against single far-out rows.
        noise: standard deviation of Gaussian noise added to the features, in scale units; keeps rounded and repeated
            values from becoming spikes of the density.
        check_every: steps between looks at the validation rows; a look costs about two steps.
        patience: looks without a gain before training stops; a third of the run, so that the learning rate has fallen
            by then.
        contamination: share of the rows in [0, ½) that may be anomalies. As many of a batch, its least likely rows, do
            not count, in training and validation (trimmed likelihood; Neykov & Müller 2003). In the second half of the
            run only rows below a floor that samples of the model set are left out. 0: a share must be known to be
            stated.
        averaging: decay of the exponential average of the weights; the average is what is validated and kept.

    Raises:
        ValueError: ``contamination`` is not in [0, ½).
    """

    lr: float = 3e-3
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
        """Fine-tuning of a trained flow: a third of the rate, fewer steps."""
        return replace(cls(), lr=1e-3, max_steps=max_steps, check_every=50)


@dataclass(frozen=True)
class Progress:
    """A look at the validation rows.

    Attributes:
        step: steps taken.
        max_steps: bound on steps.
        valid_log_prob: mean log-likelihood of the validation rows in feature space, nats; NaN in private training.
    """

    step: int
    max_steps: int
    valid_log_prob: float
