"""How much an incident matters: by the size of the effect, and by the share of traffic that its slices have.

*Effect* is large (2) where a mean has moved by one standard deviation of an event or more, where values cannot be
right (another unit, missing, stuck), and where events fail to come at all; it is middling (1) from half a standard
deviation on; else small (0). *Share* is large (2) from half of the traffic on, middling (1) from a tenth on, else small
(0). The incident is

- ``critical`` where a large effect meets a tenth of the traffic or more;
- ``warning`` where the two add up to 2 or more otherwise: a large effect on few events, a middling one on a tenth of
  them or more, a small one on half of them or more;
- ``info`` else.

    >>> severity(effect(2.0, grave=False), 0.3), severity(effect(-0.2, grave=False), 0.9), severity(0, 0.01)
    ('critical', 'warning', 'info')
"""

from __future__ import annotations

from collections.abc import Iterable

from stream_app.config.registries import SPOILING
from stream_app.stages.judge.heard import Heard

SEVERITIES = ("info", "warning", "critical")
"""Least first."""

_LARGE_SD, _MIDDLING_SD = 1.0, 0.5
_LARGE_SHARE, _MIDDLING_SHARE = 0.5, 0.1
_LARGE, _WARNING = 2, 2


def effect(size_sd: float | None, grave: bool) -> int:
    """0, 1 or 2.

    Args:
        size_sd: of the largest change of a mean, in standard deviations of one event; None where there is none.
        grave: values that cannot be right, or no events.
    """
    size = abs(size_sd) if size_sd is not None else 0.0
    return 2 if grave or size >= _LARGE_SD else 1 if size >= _MIDDLING_SD else 0


def severity(effect: int, share: float) -> str:
    """One of :data:`SEVERITIES`.

    Args:
        effect: see :func:`effect`.
        share: of the traffic.
    """
    of_share = 2 if share >= _LARGE_SHARE else 1 if share >= _MIDDLING_SHARE else 0
    if effect >= _LARGE and of_share:
        return "critical"
    return "warning" if effect + of_share >= _WARNING else "info"


def grave(members: Iterable[Heard]) -> bool:
    """Whether a member is a fault of values, or says that events fail to come."""
    return any(of.detector in SPOILING or of.detector == "silence" for of in members)


def kind_of(members: Iterable[Heard], before: str) -> str:
    """``fault`` where a member is a fault of values or silent, or all are faults of the data; else ``drift``.

    Args:
        members: those that are not over; of none the kind stays as it was ``before``.
    """
    found = list(members)
    if not found:
        return before
    faulty = any(of.detector in {*SPOILING, "silence"} for of in found) or all(of.kind == "fault" for of in found)
    return "fault" if faulty else "drift"
