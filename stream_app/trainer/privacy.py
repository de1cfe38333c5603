"""Private training for one request: what it will cost, charged before it begins, and what it promises."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from flowlib.density import Density
from flowlib.fit_config import Learn
from flowlib.flows import Flow
from flowlib.privacy.dp_sgd import KEY_BYTES, Keystream, PrivateConfig, fit_private
from flowlib.training import Progress, TrainingRows
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.trainer.ledger import Ledger, OverBudget

COVERS = ["the weights of the flow, against one training event added or removed"]
EXCLUDES = [
    "the encoder: scales, shares of missing values, smallest, largest and most frequent values, days with events and "
    "tables of categories are those of the training events as they are",
    "the calibration: it holds reference scores of held-out events, and scales of the columns, as they are",
    "the figures of the gates, the number of events and the offsets they came from",
]


def admit(
    config: Config, request_id: str, rows: int, in_service: Density | None
) -> tuple[PrivateConfig, dict[str, Any]]:
    """Plan a private training and charge it to the ledger.

    Returns:
        Its settings and the claim for the model's manifest.

    Raises:
        OverBudget: nothing is left for it, or δ means nothing for so many rows; nothing is charged.
        DriftflowError: the ledger is damaged, or knows nothing of the model in service.
    """
    settings = config.privacy
    if settings.delta * rows >= 1.0:
        raise OverBudget(
            f"privacy.delta {settings.delta:g} is no promise for {rows} rows: it would allow one of them to be "
            f"published whole; set it well below {1 / rows:.1g}"
        )
    ledger = Ledger(config)
    _check_known(ledger, in_service)
    try:
        plan = PrivateConfig.planned(settings.epsilon, settings.delta, rows, settings.clip)
    except ValueError as error:
        raise OverBudget(f"privacy.epsilon: {error}") from error
    entry = ledger.charge(request_id, plan.spent)
    claim = {
        "unit": "one event",
        "epsilon": settings.epsilon,
        "epsilon_total": entry.epsilon_total,
        "delta": settings.delta,
        "noise_multiplier": plan.noise_multiplier,
        "sampling_rate": plan.sampling_rate,
        "steps": plan.steps,
        "clip": plan.clip,
        "covers": COVERS,
        "excludes": EXCLUDES,
    }
    return plan, claim


def _check_known(ledger: Ledger, in_service: Density | None) -> None:
    """A ledger that has lost an entry would let the budget be spent twice."""
    about = in_service.manifest if in_service else {}
    if "privacy" in about and about["request"] not in {entry.request_id for entry in ledger.entries()}:
        raise DriftflowError(
            f"{ledger.path} does not hold the training of the model in service (request {about['request']}): restore "
            "the ledger of the folder it was trained from; without it the privacy budget could be spent twice"
        )


def learner(plan: PrivateConfig, progress: Callable[[Progress], None] | None) -> Learn:
    """Trains on the training and validation rows alike: nothing is selected, so none need be kept back."""

    def learn(flow: Flow, train: TrainingRows, valid: TrainingRows, _seed: int) -> None:
        # Not from the seed, which is known: with the key the noise could be subtracted, so it is drawn and not kept.
        fit_private(flow, train.joined(valid), plan, Keystream(secrets.token_bytes(KEY_BYTES)), progress)

    return learn
