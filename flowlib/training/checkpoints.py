"""An interrupted training as bytes: safetensors and JSON behind a hash. Nothing is unpickled.

A run that goes on from a checkpoint takes the same steps, bit for bit, as one that was never interrupted: the learning
rate is a function of the step alone, and weights, optimiser moments and the generator's state are stored exactly.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

_MAGIC = b"DFC1"
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Checkpoint:
    """Everything a training run needs to go on.

    Attributes:
        run: digest of configuration, seed, rows and first weights: a checkpoint belongs to one run only.
        step: steps taken.
        best: best mean validation log-likelihood so far, nats; −∞ when none was finite.
        stale_looks: looks at the validation rows since then.
        floor: log-likelihood below which rows do not count, once trimming has found it; None otherwise.
        weights: of the flow now, by name.
        average: of the weights so far, by name.
        best_weights: the averages at the best look; the result when training ends now.
        moments: of the optimiser, see :meth:`flowlib.training.learners.Learner.moments`.
        generator: ``(k,)`` uint8, state of the source of batches and noise.
    """

    run: str
    step: int
    best: float
    stale_looks: int
    floor: float | None
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    best_weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    generator: Tensor

    def to_bytes(self) -> bytes:
        """One blob; the same checkpoint gives the same bytes."""
        best = self.best if math.isfinite(self.best) else None
        head = json.dumps(
            {"run": self.run, "step": self.step, "best": best, "since": self.stale_looks, "floor": self.floor}
        ).encode()
        parts = {"weights": self.weights, "average": self.average, "best": self.best_weights, "moments": self.moments}
        tensors = {
            f"{part}.{name}": tensor.contiguous() for part, named in parts.items() for name, tensor in named.items()
        }
        saved: bytes = save_tensors(tensors | {"generator": self.generator})
        body = len(head).to_bytes(4, "little") + head + saved
        return _MAGIC + hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, blob: bytes) -> Checkpoint:
        """Inverse of :meth:`to_bytes`; raises ValueError on anything else, a truncated or altered blob included."""
        start = len(_MAGIC) + _DIGEST
        body = blob[start:]
        if blob[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != blob[len(_MAGIC) : start]:
            raise ValueError("these bytes are no checkpoint, or are truncated or altered: start the training afresh")
        size = 4 + int.from_bytes(body[:4], "little")
        try:
            return cls._of(json.loads(body[4:size]), load_tensors(body[size:]))
        except (KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"the checkpoint is of another version ({error}): start the training afresh") from error

    @classmethod
    def _of(cls, head: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
        best = -math.inf if head["best"] is None else float(head["best"])
        return cls(
            str(head["run"]),
            int(head["step"]),
            best,
            int(head["since"]),
            None if head["floor"] is None else float(head["floor"]),
            part(tensors, "weights."),
            part(tensors, "average."),
            part(tensors, "best."),
            part(tensors, "moments."),
            tensors["generator"],
        )


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, which is taken off."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def copied(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """Copies that later steps do not touch."""
    return {name: torch.clone(tensor.detach()) for name, tensor in tensors.items()}
