"""Decisions: what depends on the wall clock, written down so that a run can be repeated.

A replay that is given the decisions repeats the run byte for byte; one without them makes its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from schemas.incidents import Action

ServiceVerb = Literal["rollback", "pin", "unpin", "extend"]


class Activated(msgspec.Struct, frozen=True, tag="activation"):
    """From ``pane_start_ms`` on, a source partition is scored by ``model_id``, run by ``engine``.

    Engines agree to 1e-4 nats, not to the bit, and which of them is there depends on the installation: so it is
    written down.
    """

    partition: int
    pane_start_ms: int
    model_id: str
    engine: str = ""
    """Of :data:`flowlib.engines.ENGINES`; empty in records that did not say."""


class PassedOver(msgspec.Struct, frozen=True, tag="pass_over"):
    """A partials partition does not wait for the panes in ``[from_ms, to_ms)`` of an idle source partition."""

    partials_partition: int
    partition: int
    from_ms: int
    to_ms: int


class Joined(msgspec.Struct, frozen=True, tag="join"):
    """A partials partition waits from ``from_ms`` on for a source partition that the events topic did not have before.

    Panes that end at or before ``from_ms`` are final without it.
    """

    partials_partition: int
    partition: int
    from_ms: int


class Acted(msgspec.Struct, frozen=True, tag="act"):
    """JUDGE takes a person's action in after the panes that end at or before ``at_ms``, and before those after them.

    Attributes:
        offset: of the action on its topic: one that is at or below that of the last decision has been taken.
        refused: why nothing follows from it, in a sentence; "" where something may.
    """

    at_ms: int
    offset: int
    action: Action
    refused: str = ""


class Service(msgspec.Struct, frozen=True, tag="service"):
    """Another model is in service, and not because it is new: by JUDGE's finding, or a person's word.

    Attributes:
        at_ms: end of the pane that it follows from, or was said after.
        verb: ``rollback``, ``pin``, ``unpin``, or ``extend`` of one that has begun on a share of the source partitions.
        model_id: that is rolled back, pinned or extended.
        returns_to: in service then, as far as JUDGE knows; newer models may have been promoted.
        id: of the message that tells it.
    """

    at_ms: int
    verb: ServiceVerb
    model_id: str
    returns_to: str
    id: str


Decision = Activated | PassedOver | Joined | Acted | Service

DECODER: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)
REMEDY = "restore the file from a backup; without it the run cannot be repeated"
"""What to do where a file of decisions is damaged."""


def encode(decision: Decision) -> bytes:
    """One line, newline included."""
    return msgspec.json.encode(decision) + b"\n"


def activations_of(decisions: Iterable[Decision], partition: int) -> list[tuple[int, str]]:
    """``(pane_start_ms, model_id)`` of a source partition, ascending; of two for one pane the later one counts."""
    chosen = {d.pane_start_ms: d.model_id for d in decisions if isinstance(d, Activated) and d.partition == partition}
    return sorted(chosen.items())


def engines_of(decisions: Iterable[Decision], partition: int) -> dict[str, str]:
    """Engine of each model on a source partition: its own record, else what another partition's says."""
    said = [d for d in decisions if isinstance(d, Activated) and d.engine]
    others = {d.model_id: d.engine for d in reversed(said)}
    return others | {d.model_id: d.engine for d in said if d.partition == partition}


def models_of(decisions: Iterable[Decision]) -> set[str]:
    """Every model the decisions name."""
    return {d.model_id for d in decisions if isinstance(d, Activated)}


def sources_of(decisions: Iterable[Decision]) -> set[int]:
    """Every source partition that some worker has scored or waited for."""
    return {d.partition for d in decisions if isinstance(d, Activated | Joined)}


def width_of(decisions: Iterable[Decision]) -> int | None:
    """Number of partials partitions of a run, where its events topic had more: the others have joined, from the first
    on. None where it had not, and the decisions do not say.
    """
    return min((d.partition for d in decisions if isinstance(d, Joined)), default=None)


def watched_of(decisions: Iterable[Decision], partials_partition: int) -> list[PassedOver | Joined]:
    """Those about a partials partition, in order."""
    return [d for d in decisions if isinstance(d, PassedOver | Joined) and d.partials_partition == partials_partition]


def actions_of(decisions: Iterable[Decision]) -> list[Acted]:
    """What people said, in order."""
    return [d for d in decisions if isinstance(d, Acted)]


def services_of(decisions: Iterable[Decision]) -> list[Service]:
    """What has changed the model in service beside promotions, in order, each once."""
    return list({d.id: d for d in reversed([*decisions]) if isinstance(d, Service)}.values())[::-1]
