"""A small stream with a model, keys and genuine messages of every kind: what is damaged in the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.table import Table
from flowlib.training import TrainConfig
from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.incidents import Action
from schemas.records import MODEL_BYTES_MAX, Health, ModelNotice, OffsetRange, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.kafka.actions import action_message
from stream_app.models.keys import operator_key, request_key, signing_key
from stream_app.models.keys.commands import new_key
from stream_app.models.signing import sign
from stream_app.stages.outputs import Outgoing
from stream_app.worker.health import health_message
from tests.stages import streams

_STEPS = 20
EVENTS_END = 400
"""Events that the topic is said to hold on each partition."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """A message as driftflow itself writes it.

    Attributes:
        name: of its record, ``block`` or ``retrain request``.
        value, headers: as sent.
        packed: MessagePack, where JSON is the rule.
        key: signs it, where it is believed with a signature only.
    """

    name: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    packed: bool = False
    key: Ed25519PrivateKey | None = None

    @property
    def document(self) -> dict[str, Any]:
        """Its fields."""
        read = msgspec.msgpack.decode if self.packed else msgspec.json.decode
        document: dict[str, Any] = read(self.value)
        return document

    def signed(self, value: bytes, headers: tuple[tuple[str, bytes], ...], key: Ed25519PrivateKey) -> WireMessage:
        """Another value under these headers, signed."""
        return sign(WireMessage(value, tuple(h for h in headers if not h[0].startswith("df-"))), key)


class Source(Protocol):
    """Where genuine messages come from."""

    stranger: Ed25519PrivateKey

    def events(self) -> Iterator[Genuine]: ...
    def blocks_and_markers(self) -> Iterator[Genuine]: ...
    def signals(self) -> Iterator[Genuine]: ...
    def models(self) -> Iterator[Genuine]: ...
    def evidence(self) -> Iterator[Genuine]: ...
    def actions(self) -> Iterator[Genuine]: ...


class World:
    """Everything that a consumer of the stream ``s`` needs, in a folder. Made once; consumers must not change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Config = msgspec.structs.replace(streams.config(event_rule={"publish": True}), root=str(folder))
        names = {"events": "e", "partials": "p", "evidence": "v", "signals": "g", "actions": "a", "models": "m"}
        topics = msgspec.structs.replace(self.config.topics, **names, dead_letters="d", partitions=2)
        self.config = msgspec.structs.replace(self.config, topics=topics)
        self.workers, self.trainer = request_key(self.config), signing_key(self.config)
        new_key(self.config, "operator")
        self.operator, self.stranger = operator_key(self.config), Ed25519PrivateKey.generate()

    @cached_property
    def model(self) -> Density:
        """The model in service."""
        parts = [Table.of(*streams.table(np.random.default_rng(i), n)) for i, n in enumerate((600, 200, 400))]
        settings = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=_STEPS)))
        spec = FeatureSpec(streams.NUMERIC, streams.CATEGORIES)
        manifest = {"stream": "s", "slicings": self.config.event.slicings}
        made = Density.fit(spec, *parts, 0, settings, manifest=manifest)
        made = made.with_reference(streams.held_out(0), streams.PANE)
        return artifact.load(artifact.pack(made, self.trainer, MODEL_BYTES_MAX), self._trusted)

    @property
    def _trusted(self) -> dict[str, Any]:
        public = self.trainer.public_key()
        return {artifact.key_id(public): public}

    @cached_property
    def scored(self) -> list[Outgoing]:
        """What SCORE sends of 400 events on one source partition."""
        made = streams.pipeline(self.config, [self.model], sources=2)
        return streams.score_all(made, 0, streams.bodies(3, EVENTS_END, 20_000), [100]).messages

    @cached_property
    def partials(self) -> list[Outgoing]:
        """Those of them that go to the first partials partition."""
        return [message for message in self.scored if (message.role, message.partition) == ("partials", 0)]

    @cached_property
    def judged(self) -> list[Outgoing]:
        """What WATCH and JUDGE send of it all."""
        return streams.judge_all(streams.pipeline(self.config, [self.model]), self.scored).messages

    # Genuine messages ----------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Genuine]:
        """One event with every field."""
        yield Genuine("event", streams.event(3_000, 7), ())

    def blocks_and_markers(self) -> Iterator[Genuine]:
        """A block and a marker."""
        for kind in ("block", "closed"):
            found = next(m for m in self.partials if dict(m.headers)["kind"] == kind.encode())
            yield Genuine(kind, found.value, found.headers, packed=True)

    def signals(self) -> Iterator[Genuine]:
        """Each kind of record of the signals topic, requests and notices signed."""
        for kind in ("incident", "event-anomaly", "activation"):
            name = f"driftflow.{kind}.v1".encode()
            found = next(m for m in [*self.scored, *self.judged] if dict(m.headers).get("ce_type") == name)
            yield Genuine(kind, found.value, found.headers)
        health = Health(stream="s", source="worker w-1", part="drainer", state="failing", says="away", since_ms=5)
        message = health_message(self.config, health)
        yield Genuine("health", message.value, message.headers)
        yield self.request(1)
        yield self.notice("refused", 1)

    def evidence(self) -> Iterator[Genuine]:
        """Evidence and a marker."""
        for kind in ("evidence", "judge"):
            found = next(m for m in self.judged if dict(m.headers).get("kind") == kind.encode())
            yield Genuine(kind, found.value, found.headers, packed=True)

    def actions(self) -> Iterator[Genuine]:
        """What people may say, signed."""
        span: dict[str, Any] = {"slices": ["station=north"], "channel": "location", "from_ms": 0, "to_ms": 9_000}
        said: dict[str, dict[str, Any]] = {
            "accept": {},
            "feedback": {"verdict": "noise"},
            "silence": {"direction": "up", "below_sd": 0.5, **span},
            "mark": {},
        }
        for verb, fields in said.items():
            yield self.action(verb, **fields)

    def action(self, verb: str, name: str = "", **fields: Any) -> Genuine:
        """What a person says of the first incident there is."""
        found = next(m for m in self.judged if dict(m.headers).get("ce_type") == b"driftflow.incident.v1")
        incident = msgspec.json.decode(found.value)["id"]
        action = Action(
            id=record_id("hostile", verb, name),
            stream="s",
            verb=verb,
            by="ann",
            at_ms=5_000,
            incident_id=incident,
            why="it is to stay like this",
            **fields,
        )
        message = sign(action_message(action), self.operator)
        return Genuine(verb, message.value, message.headers, key=self.operator)

    def models(self) -> Iterator[Genuine]:
        """Each kind of notice, the promoted one with its model."""
        for number, status in enumerate(("promoted", "refused", "covered"), 1):
            yield self.notice(status, number)

    def request(self, number: int, key: Ed25519PrivateKey | None = None, **fields: Any) -> Genuine:
        """A request for the events of the first partition, its pane as many seconds after the epoch as its number."""
        end_ms = 20_000 + 1_000 * number
        wanted = OffsetRange(topic="e", partition=0, start=0, end=EVENTS_END, start_ms=0, end_ms=end_ms)
        known = {
            "id": record_id("hostile", number),
            "stream": "s",
            "reason": "drift",
            "slices": ["north"],
            "alerts": ["a"],
            "model_id": self.model.model_id,
            "requested_pane_ms": end_ms,
            "train": [wanted],
            "calibrate_from_ms": 0,
        }
        request = RetrainRequest(**{**known, **fields})
        event = Envelope(request, request.id, "/driftflow/s/judge", end_ms, "north")
        message = sign(encode_event(event), key or self.workers)
        return Genuine("retrain-request", message.value, message.headers, key=key or self.workers)

    def notice(self, status: str, number: int, **fields: Any) -> Genuine:
        """A notice with this sequence number, signed by the trainer."""
        model = artifact.pack(self.model, self.trainer, MODEL_BYTES_MAX)
        parts = {"manifest": model.manifest, "tensors": model.tensors, "signature": model.signature}
        known = {
            "model_id": model.model_id if status == "promoted" else f"{status}-{number}",
            "stream": "s",
            "status": status,
            "parent_id": "",
            "request_id": record_id("hostile", number),
            "created_ms": 20_000 + number,
            "train_rows": 400,
            "gates": {"calibration": {"passed": True, "says": "1 %", "interval_95": [0.0, 0.1], "rows": 7}},
            "reason": "calibration: held",
            "sequence": number,
            **(parts if status == "promoted" else {}),
            "key_id": model.key_id,
        }
        notice = ModelNotice(**{**known, **fields})
        event = Envelope(notice, record_id("notice", status, number), "/driftflow/s/trainer", 20_000, notice.model_id)
        message = sign(encode_event(event), self.trainer)
        return Genuine(f"{status} notice", message.value, message.headers, key=self.trainer)
