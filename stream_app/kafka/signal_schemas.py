"""Signals with the header of a schema registry, where ``schema_registry.signals`` asks for it.

Their JSON Schemas are registered when a process starts, each as a subject of its own: a topic with records of many
kinds has no one schema. Registering is idempotent, so that it is done at each start; where the registry does not answer
then, the ids count that it gave before.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable

import msgspec

from schemas.framing import framed
from schemas.intake import SIGNALS
from schemas.publish import schemas
from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.kafka.schema_registry import Registry, RegistryError
from stream_app.kafka.types import Headers

log = logging.getLogger(__name__)

_KIND = "ce_type"


class _Kept(msgspec.Struct):
    """What a registry has said, of which schemas."""

    registry: str
    schemas: str
    ids: dict[str, int]


class SignalFrames:
    """Puts the header of a registry before signals.

    Args:
        topic: of the signals.
        ids: CloudEvents type to the id of its schema; none leaves signals as they are.
    """

    def __init__(self, topic: str, ids: dict[str, int]) -> None:
        self._topic, self._ids = topic, {kind.encode(): schema_id for kind, schema_id in ids.items()}

    def value(self, topic: str, value: bytes, headers: Headers) -> bytes:
        """A message's value as it is sent to a topic: behind a header where it is a signal with a schema."""
        if not self._ids or topic != self._topic:
            return value
        schema_id = self._ids.get(dict(headers).get(_KIND, b""))
        return value if schema_id is None else framed(schema_id, value)


def subject_of(topic: str, kind: str) -> str:
    """The subject of a kind of signals: topic and record, as Confluent's ``TopicRecordNameStrategy`` has it."""
    return f"{topic}-{kind}"


def signal_frames(config: Config) -> SignalFrames:
    """What puts headers before a stream's signals; asks the registry, blocking, where the stream wants them.

    Raises:
        DriftflowError: the registry refuses a schema, or does not answer, and nothing is kept from before; or a secret
            or the file of authorities cannot be read.
    """
    topic = config.topics.signals
    if not config.schema_registry.signals:
        return SignalFrames(topic, {})
    texts = {subject_of(topic, kind): text for kind, text in _texts(SIGNALS).items()}
    ids = _registered(config, texts)
    return SignalFrames(topic, {kind: ids[subject_of(topic, kind)] for kind in SIGNALS})


def _texts(kinds: Iterable[str]) -> dict[str, str]:
    """Kind to its published JSON Schema."""
    published = schemas()
    return {kind: msgspec.json.encode(published[f"{kind.removeprefix('driftflow.')}.json"]).decode() for kind in kinds}


def _registered(config: Config, texts: dict[str, str]) -> dict[str, int]:
    registry, path = Registry(config), config.path(config.state.dir) / "schemas" / "signals.json"
    mark = hashlib.sha256(msgspec.json.encode(texts, order="deterministic")).hexdigest()
    try:
        kept = _Kept(registry.url, mark, registry.register(texts))
    except RegistryError as error:
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise error from None
        if (kept.registry, kept.schemas) != (registry.url, mark) or kept.ids.keys() != texts.keys():
            raise
        log.warning("signals have the ids that the schema registry gave before: %s", error)
        return kept.ids
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, msgspec.json.encode(kept))
    return kept.ids
