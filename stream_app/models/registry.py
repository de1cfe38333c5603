"""Models on disk: one signed file each, and which of them is in service for a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from flowlib import artifact
from flowlib.artifact import Artifact, ArtifactError
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.disk import append_locked, create_durably, locked, read_lines, writing
from stream_app.errors import ModelError
from stream_app.models.history import Entry, anchor, in_service
from stream_app.models.keys import trusted_keys
from stream_app.models.loading import check_stream, columns_of, read_model, verified
from stream_app.stages.columns import in_order_of

if TYPE_CHECKING:
    from flowlib.density import Density

T = TypeVar("T")

_LOG_REMEDY = "restore the file from a backup; without it nobody knows which model is in service"
_FILE_REMEDY = (
    "copy the file here again, from a backup or from where it was trained, choose another model, or train one with "
    "--bootstrap-until DATE"
)
_SETTINGS_REMEDY = "use the settings it was made with, or train another with --bootstrap-until DATE"


FINAL = ("promoted", "refused", "covered")
"""Statuses that answer a request; ``candidate`` and ``waiting`` are news on the way there."""


_ENTRIES, _NOTICES = msgspec.json.Decoder(Entry), msgspec.json.Decoder(ModelNotice)


class Registry:
    """A folder of models. Everything read from it is verified first.

    Raises:
        ModelError: a trusted key is missing or damaged.
        DriftflowError: the folder cannot be made.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._dir = config.path(config.trainer.registry)
        with writing(self._dir):
            self._dir.mkdir(parents=True, exist_ok=True)
        self._trusted = trusted_keys(config)
        self._log = self._dir / f"{config.stream}.jsonl"
        self._notices = self._dir / f"{config.stream}.notices.jsonl"

    def history(self) -> list[Entry]:
        """What has changed the model in service, oldest first; raises DriftflowError where the log is damaged."""
        return read_lines(self._log, _ENTRIES, _LOG_REMEDY)

    def promotions(self) -> list[Entry]:
        """Promotions alone, oldest first; raises what :meth:`history` raises."""
        return [entry for entry in self.history() if entry.verb == "promotion"]

    def in_service(self) -> str:
        """Id of the model in service; "" before the first promotion. Raises what :meth:`history` raises."""
        return in_service(self.history())

    def anchor(self) -> str:
        """Id of the model that none may leave far behind without a person; raises what :meth:`history` raises."""
        return anchor(self.history())

    def current(self) -> Density | None:
        """The model in service, ready to score; None before the first promotion. Raises what :meth:`load` raises."""
        model_id = self.in_service()
        return self.load(model_id) if model_id else None

    def load(self, model_id: str) -> Density:
        """A model by id, verified and ready to score.

        Raises:
            ModelError: there is no such file, or it is damaged, not signed by a trusted key, or of another stream; with
                the file and what to do.
        """
        model, path = self.read(model_id), self._path(model_id)
        if model.model_id != model_id:
            raise ModelError(f"{path} is not accepted: it holds model {model.model_id}; {_FILE_REMEDY}")
        try:
            density = verified(model, self._trusted)
        except ModelError as error:
            raise ModelError(f"{path} is not accepted: {error}; {_FILE_REMEDY}") from error
        try:
            check_stream(density, self._config)
        except ModelError as error:
            raise ModelError(f"{path} is not accepted: {error}; {_SETTINGS_REMEDY}") from error
        return density

    def is_usable(self, model_id: str) -> bool:
        """Whether :meth:`load` has a model of this id."""
        try:
            self.load(model_id)
        except ModelError:
            return False
        return True

    def read(self, model_id: str) -> Artifact:
        """A model's bytes, not yet verified.

        Raises:
            ModelError: there is no such file, or it is no model file.
        """
        path = self._path(model_id)
        if not path.exists():
            raise ModelError(f"no model {model_id} in {self._dir}: train it again, or copy its file there")
        try:
            return read_model(path)
        except ModelError as error:
            raise ModelError(f"{error}; {_FILE_REMEDY}") from error

    def check(self, model_id: str) -> None:
        """Verify a model's bytes; raises ModelError, with the file and what to do."""
        try:
            artifact.verify(self.read(model_id), self._trusted)
        except ArtifactError as error:
            raise ModelError(f"{self._path(model_id)} is not accepted: {error}; {_FILE_REMEDY}") from error

    def save(self, model: Artifact) -> None:
        """Keep a model's bytes; they are on disk when this returns.

        Raises:
            DriftflowError: the file cannot be written.
        """
        path = self._path(model.model_id)
        with writing(path):
            artifact.save(model, path)

    def record(self, notice: ModelNotice, above: int = 0) -> ModelNotice:
        """Append what was decided and why, once, and number it; the bytes of a model are in :meth:`save`.

        Args:
            notice: what was decided.
            above: a number that has been given elsewhere: this one's is larger, and larger than all that are kept.

        Returns:
            the notice with its number, as it is kept: what was decided before about this request and model stays, and
            of an answer what was answered first.

        Raises:
            DriftflowError: the file is damaged, or cannot be written.
        """

        def new(kept: list[ModelNotice]) -> ModelNotice | None:
            if any(_decides_alike(earlier, notice) for earlier in kept):
                return None
            number = max([above, *(earlier.sequence for earlier in kept)]) + 1
            return msgspec.structs.replace(without_bytes(notice), sequence=number)

        _append(self._notices, self.notices, new)
        return next(kept for kept in self.notices() if _decides_alike(kept, notice))

    def notices(self) -> list[ModelNotice]:
        """What was decided so far, oldest first; raises DriftflowError where the file is damaged, or holds notices
        without a number, which no worker takes."""
        kept = read_lines(self._notices, _NOTICES, _LOG_REMEDY)
        if not all(notice.sequence for notice in kept):
            raise ModelError(
                f"{self._notices} is of an earlier build, whose notices have no number: move {self._dir} away, then "
                "train the first model anew with `driftflow trainer --bootstrap-until DATE`"
            )
        return kept

    def answer_to(self, request_id: str) -> ModelNotice | None:
        """What was decided about a request, None where nothing was yet."""
        answers = (notice for notice in reversed(self.notices()) if notice.status in FINAL)
        return next((notice for notice in answers if notice.request_id == request_id), None)

    def whole(self, notice: ModelNotice) -> ModelNotice:
        """A notice with the model's bytes, not yet verified; raises ModelError where they cannot be read."""
        if notice.status != "promoted":
            return notice
        model = self.read(notice.model_id)
        return msgspec.structs.replace(
            notice, manifest=model.manifest, tensors=model.tensors, signature=model.signature, key_id=model.key_id
        )

    def change(self, entry: Entry) -> None:
        """Append what changes the model in service, or the anchor, once; a promoted model's bytes must have been saved
        before.
        """
        name = (entry.verb, entry.model_id, entry.request_id)

        def new(kept: list[Entry]) -> Entry | None:
            return None if name in {(earlier.verb, earlier.model_id, earlier.request_id) for earlier in kept} else entry

        _append(self._log, self.history, new)

    def _path(self, model_id: str) -> Path:
        return self._dir / f"{model_id}.model"


def ordered(config: Config, model_id: str | None = None) -> Config:
    """The configuration with its columns in the order of a model's, by default of the one in service: they are matched
    by name. As it is where that model cannot be read, or has other columns: whoever loads it says so.

    Raises:
        DriftflowError: the log of promotions is damaged.
    """
    try:
        registry = Registry(config)
        model_id = registry.in_service() if model_id is None else model_id
        return in_order_of(config, *columns_of(registry.read(model_id))) if model_id else config
    except ModelError:
        return config


def _decides_alike(one: ModelNotice, other: ModelNotice) -> bool:
    """Whether two notices are of one decision: a request has one answer, and one notice of each other status."""
    if one.request_id != other.request_id:
        return False
    return {one.status, other.status} <= set(FINAL) if one.status in FINAL else one.status == other.status


def without_bytes(notice: ModelNotice) -> ModelNotice:
    """A notice less the model's bytes: what was decided, with its figures."""
    return msgspec.structs.replace(notice, manifest=b"", tensors=b"", signature=b"")


def _append(path: Path, read: Callable[[], list[T]], new: Callable[[list[T]], T | None]) -> None:
    """Append what comes of what a file holds, None is nothing; of several processes one at a time looks and writes.

    Raises:
        DriftflowError: the file is damaged, or cannot be written.
    """
    with writing(path):
        first = None if path.exists() else new([])
        if first is not None and create_durably(path, msgspec.json.encode(first) + b"\n"):
            return
        with locked(path) as file:
            line = new(read())
            if line is not None:
                append_locked(file, path, msgspec.json.encode(line) + b"\n")
