"""What a rule may cost: the share of the false incidents that ``alerts.false_incidents_per_month`` allows it."""

from __future__ import annotations

from stream_app.config.alerts import MONTH_MS
from stream_app.config.registries import DETECTOR_OPTIONS
from stream_app.config.settings import Config


def alpha(config: Config, rule: str) -> float:
    """False incidents a pane that a rule may open on the whole stream: an equal share for each rule of evidence, and
    for JUDGE's own about slices without a place.

    Rules of detectors that make no evidence (``adwin`` and the like) have no promise, and no share.
    """
    of_evidence = [name for name, of in config.rules.items() if of.detectors[0] not in DETECTOR_OPTIONS]
    panes_a_month = MONTH_MS / int(config.windows.pane)
    return config.alerts.false_incidents_per_month / panes_a_month / (len(of_evidence) + 1)


def floor(config: Config, rule: str) -> float:
    """Evidence below which a slice can have no part in an incident, however many others have: WATCH sends none of it.

    e-d-BH rejects the k slices with most evidence where each has K / (alpha k) or more, K of them in all: 1 / alpha at
    least. Of ``adwin`` and the like it is the statistic that opens.
    """
    settings = config.rules[rule]
    return settings.open if settings.detectors[0] in DETECTOR_OPTIONS else 1.0 / alpha(config, rule)
