"""Models on disk: one signed file each, and which of them is in service for a stream."""

from __future__ import annotations

import msgspec

from flowlib import artifact
from flowlib.artifact import Artifact
from flowlib.density import Density
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.disk import append_durably, read_lines
from stream_app.errors import ModelError
from stream_app.models.keys import trusted_keys

_REMEDY = "restore the file from a backup; without it nobody knows which model is in service"


class Entry(msgspec.Struct, frozen=True):
    """One promotion or roll-back, in order."""

    model_id: str
    request_id: str
    promoted_ms: int
    """Event time of the request."""


_ENTRIES, _NOTICES = msgspec.json.Decoder(Entry), msgspec.json.Decoder(ModelNotice)


class Registry:
    """A folder of models. Everything read from it is verified first."""

    def __init__(self, config: Config) -> None:
        self._dir = config.path(config.trainer.registry)
        self._dir.mkdir(parents=True, exist_ok=True)
        self._trusted = trusted_keys(config)
        self._log = self._dir / f"{config.stream}.jsonl"
        self._notices = self._dir / f"{config.stream}.notices.jsonl"

    def history(self) -> list[Entry]:
        """Promotions, oldest first."""
        return read_lines(self._log, _ENTRIES, _REMEDY)

    def current(self) -> Density | None:
        """The model in service, verified and ready to score; None before the first promotion."""
        history = self.history()
        return self.load(history[-1].model_id) if history else None

    def load(self, model_id: str) -> Density:
        """A model by id; raises ModelError."""
        return artifact.load(self.read(model_id), self._trusted)

    def read(self, model_id: str) -> Artifact:
        """A model's bytes, not yet verified; raises ModelError when there are none."""
        path = self._dir / f"{model_id}.model"
        if not path.exists():
            raise ModelError(f"no model {model_id} in {self._dir}: train it again, or copy its file there")
        return artifact.read(path)

    def save(self, made: Artifact) -> None:
        """Keep a model's bytes."""
        artifact.save(made, self._dir / f"{made.model_id}.model")

    def note(self, notice: ModelNotice) -> None:
        """Keep what was decided and why, promoted or refused; the bytes are in :meth:`save`."""
        brief = without_bytes(notice)
        if brief not in self.notices():
            append_durably(self._notices, msgspec.json.encode(brief) + b"\n")

    def notices(self) -> list[ModelNotice]:
        """Every decision, oldest first."""
        return read_lines(self._notices, _NOTICES, _REMEDY)

    def promote(self, entry: Entry) -> None:
        """Write down that a model is in service from now on."""
        append_durably(self._log, msgspec.json.encode(entry) + b"\n")

    def ids(self) -> list[str]:
        """Every model kept, sorted."""
        return sorted(path.stem for path in self._dir.glob("*.model"))


def without_bytes(notice: ModelNotice) -> ModelNotice:
    """The record of a model alone: what was decided, with its figures."""
    return msgspec.structs.replace(notice, manifest=b"", tensors=b"", signature=b"")
