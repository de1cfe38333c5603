"""Which message of the signals topic the trainer acts on: a request, or the news that another model is in service. A
trusted key has signed it whole, and it is on the partition of whoever it says it is from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowlib.artifact import Ed25519PublicKey
from schemas.intake import RawHeaders, Refusal, header_map, take_in
from schemas.records import RetrainRequest, ServiceChange
from stream_app.config import Config
from stream_app.kafka.shape import shape_path
from stream_app.kafka.types import ConsumerRecord
from stream_app.models.signing import signature_fault
from stream_app.stages.partitioning import judge_signals

_SOURCE = "ce_source"
_SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is believed.

    Attributes:
        request: what is asked for.
        writer: who asks, as its source header says: requests of a writer are a sequence by their panes.
    """

    request: RetrainRequest
    writer: str


def believed(
    config: Config, trusted: Mapping[str, Ed25519PublicKey], record: ConsumerRecord
) -> Asked | ServiceChange | Refusal | None:
    """What a message of the signals topic asks for, or says of the model in service; why it is not believed; None where
    it is not for the trainer.

    Args:
        config: the stream, with the number of partials partitions that it really has.
        trusted: public keys of those who may ask, by their id.
        record: as fetched: anything may be in it.
    """
    taken = take_in("signals", config.stream, record.value, record.headers)
    if isinstance(taken, Refusal):
        return taken
    if not isinstance(taken, RetrainRequest | ServiceChange) or record.value is None:
        return None
    fault = signature_fault(record.value, record.headers or (), trusted)
    if fault is not None:
        return fault
    writer = _source(record.headers)
    refusal = _stranger(config, writer, record.partition)
    if refusal is not None:
        return refusal
    return Asked(taken, writer) if isinstance(taken, RetrainRequest) else taken


def _source(headers: RawHeaders) -> str:
    return header_map(headers).get(_SOURCE, b"")[:_SHOWN_MAX].decode("utf-8", "replace")


def _stranger(config: Config, source: str, partition: int) -> Refusal | None:
    """Why a source is none that asks on a partition. JUDGE has one; an operator may ask on any."""
    stream, width = f"/driftflow/{config.stream}", config.topics.partitions
    operator = f"{stream}/operator"
    if source == operator or source.startswith(f"{operator}/"):
        return None
    judge, place = f"{stream}/judge", judge_signals(width)
    if (source, partition) == (judge, place):
        return None
    detail = (
        f"it says it is from {source or 'nobody'} on partition {partition}, and {judge} asks on partition {place}, "
        f"{operator} on any"
    )
    if source == judge:  # signed: more likely counted in another way than a slip
        detail += f"; where it is one of our workers, its {shape_path(config)} and this trainer's ({width}) must agree"
    return Refusal("not_accepted", _SOURCE, detail)
