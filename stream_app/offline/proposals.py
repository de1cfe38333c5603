"""A stricter promise, where people call much of what they are told noise: proposed, never applied.

Evidence of an incident over what opened it says by how much the threshold could have been higher. With the promise
divided by the least of what was real, all of that would have opened all the same, and the noise below it not. It is
chosen on the verdicts that it is then judged by, so that a backtest on events they are not from is what counts. That
the promise holds whatever people say of past incidents is because it is a promise of its own for every value: none is
ever put into service by a verdict (arXiv 2509.03297 has a way to let verdicts in and keep a guarantee).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.incidents import Incident
from stream_app.config import Config

JUDGED_MIN = 5
"""Verdicts below which nothing is proposed."""

_ROOM = 0.9
"""The proposal leaves the weakest real incident this much room."""


@dataclass(frozen=True)
class Proposal:
    """Another value of ``alerts.false_incidents_per_month``.

    Attributes:
        promise: the value.
        noise, noise_left: incidents that are called noise, and those of them that would still open.
        real: incidents that were real; all of them would still open.
        verdicts: how many it is chosen on.
    """

    promise: float
    noise: int
    noise_left: int
    real: int

    @property
    def verdicts(self) -> int:
        """How many it is chosen on."""
        return self.noise + self.real

    def toml(self, config: Config) -> str:
        """A file for ``driftflow backtest --rules``."""
        was, spared = config.alerts.false_incidents_per_month, self.noise - self.noise_left
        return (
            f"# Proposed from {self.verdicts} verdicts: {spared} of {self.noise} that were noise would not have\n"
            f"# opened, and all {self.real} that were real would. It is chosen on these verdicts: look what it does\n"
            f"# to other events before you take it (driftflow backtest). In service: {was:g}.\n"
            f"[alerts]\nfalse_incidents_per_month = {self.promise:.3g}\n"
        )


def propose(config: Config, opened: Mapping[str, Incident], verdicts: Mapping[str, str]) -> Proposal | None:
    """What the verdicts speak for; None where they are too few, or no stricter promise would spare any noise.

    Args:
        config: the stream.
        opened: the first message of each incident, by id.
        verdicts: incident to the verdict on it.
    """
    judged = {name: opened[name] for name in verdicts.keys() & opened.keys() if opened[name].threshold > 0}
    if len(judged) < JUDGED_MIN:
        return None
    noise = [_over(of) for name, of in judged.items() if verdicts[name] == "noise"]
    real = [_over(of) for name, of in judged.items() if verdicts[name] != "noise"]
    factor = max(min(real, default=max(noise, default=1.0) * 2.0) * _ROOM, 1.0)
    left = sum(over >= factor for over in noise)
    if left == len(noise):
        return None
    return Proposal(config.alerts.false_incidents_per_month / factor, len(noise), left, len(real))


def _over(opened: Incident) -> float:
    return opened.statistic / opened.threshold
