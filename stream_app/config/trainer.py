"""What the trainer does with requests: gates, how a model enters service, and where models are kept."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.config.types import Duration, Positive, PromotionName, Section, Share, days


class TrainerConfig(Section, frozen=True):
    """Gates and where models are kept."""

    registry: str = "models"
    """Folder of all models and of what was decided about them."""
    signing_key: str = "keys/signing.pem"
    """Private Ed25519 key, made on first use; keep it where only the trainer can read it."""
    folds_file: str = ""
    """File whose bytes draw which blocks of time say when training stops, in place of the signing key: trainers that
    share it make the same models. Who knows it can aim at these blocks; readable by the trainer alone, at least 16
    bytes."""
    passphrase_env: str = ""
    """Environment variable with the passphrase of this key, which is then made encrypted; or ``passphrase_file``."""
    passphrase_file: str = ""
    """File that holds the passphrase of this key; where both are given, the file counts."""
    trusted_keys: list[str] = msgspec.field(default_factory=lambda: ["keys/worker.pub"])
    """Public Ed25519 keys of those whose retrain requests are honoured; requests signed with any other are refused."""
    min_gain_nats: float = 0.01
    """A candidate must explain held-out events better than the model in service by so many nats each, with 97.5 %
    confidence."""
    max_alarm_ratio: float = 3.0
    """A first model fails where its share of p <= 0.01 on held-out events is surely above this many times 0.01, and any
    where a slice's is, and above that of the model in service."""
    anchor_budget: Share = 0.02
    """Of what a candidate takes for ordinary, this share more than usual may be strange to the anchor, the first model
    or one that a person has named; a fortieth of it may lie at the anchor's edge where the candidate takes for ordinary
    what is beyond. Above it a person has to approve the candidate."""
    anchor_nats: Annotated[float, Meta(gt=0.0)] = 1.0
    """So many nats an event a candidate may lose on what the anchor takes for ordinary; beyond it a person has to
    approve the candidate."""
    membership_gate: bool = False
    """Attack each candidate: guess which rows it was trained on. Always done with ``privacy.enabled``. The attack takes
    a tenth of the training rows, at most 2,000, which then do not train."""
    max_membership_advantage: Share = 0.1
    """The candidate fails where the attack's advantage is above this with 95 % confidence."""
    min_rows: Positive = 500
    """Fewer rows than this train no model."""
    min_blocks: Annotated[int, Meta(ge=2)] = 5
    """Fewer blocks of time than this (days, or hours where the rows span less than 20 days) neither calibrate a model
    nor judge one: rows of one block resemble each other, so that intervals count blocks."""
    max_missing_share: Share = 0.3
    """A model is not trained where a larger share of what was asked for is not there any more, because retention has
    deleted it, or where as much of the time between its first row and its last has no rows."""
    budget_per_day: Positive = 24
    """Models promoted within a day of event time; requests beyond are refused."""
    promotion: PromotionName = "shadow"
    """How a model that has passed its gates enters service: ``auto``, at once; ``shadow``, after it was better on live
    events than the model in service; ``approve``, after that and a person's ``driftflow models approve``. A first model
    enters at once."""
    shadow_events: Annotated[int, Meta(ge=100)] = 200_000
    """After so many live events that have not decided between a candidate and the model in service it is given up."""
    shadow_patience: Duration = days(1)
    """The same after so much time, by the clock."""
    canary_share: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    """A new model scores this share of the source partitions first, one at least, and the others once it has scored
    enough events there and nothing was found against it; what is found takes it out of service there. 0 lets it score
    all at once, as it does where there is one partition. For streams whose records are keyed by slice: of a slice that
    two models score, what was found begins anew whenever the other one scores more of it. Workers go by it."""
    probation: Duration = days(7)
    """So long, in event time, a model is watched from its first pane in service on: one that is silent, alarms too
    often or cannot score is rolled back, and the former returns. Whether it is silent is watched for longer where too
    few events have come to tell. Workers go by it."""
