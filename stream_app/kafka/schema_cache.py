"""Schemas on disk, so that neither a restart nor a replay needs the registry; and ids that the registry does not know.

That an id is unknown is believed for :data:`UNKNOWN_S` seconds, over a restart too, and then asked for again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.stages.score.formats.schemas import KEPT_MAX, Schemas

log = logging.getLogger(__name__)

T = TypeVar("T")

UNKNOWN_S = 300.0
_UNKNOWN_MAX = 1_000
"""Ids that are asked for in vain within that time; whatever else comes then is not asked for."""
_FILES_MAX = 8_000

Found = tuple[str, ...] | str
"""A schema after those that it names types of; or why there is none, in words."""


class _Kept(msgspec.Struct):
    """A file of the cache: a schema, as the last of those that it needs."""

    registry: str
    schemas: list[str]


class _Unanswered(msgspec.Struct):
    """Ids that the registry did not know, to the second since the epoch in which it said so."""

    registry: str
    asked: dict[str, float] = {}


class SchemaCache:
    """What is kept of a stream's registry, in ``state.dir``; what is there of another registry does not count.

    Args:
        config: the stream.
        now_s: the wall clock.
    """

    def __init__(self, config: Config, now_s: Callable[[], float] = time.time) -> None:
        self._url, self._now_s = config.schema_registry.url, now_s
        self._folder = config.path(config.state.dir) / "schemas"
        found = _load(self._folder / "unknown.json", _Unanswered)
        asked = found.asked if found is not None and found.registry == self._url else {}
        self._asked = {int(one): asked_s for one, asked_s in asked.items() if one.isdecimal()}
        self._put_off: dict[int, None] = {}

    def expire(self, schemas: Schemas) -> None:
        """Let ids be asked for again that the registry did not know a while ago; there is room then for those that were
        not asked for.
        """
        due = [one for one, asked_s in self._asked.items() if self._now_s() - asked_s > UNKNOWN_S]
        for schema_id in due:
            del self._asked[schema_id]
        for schema_id in [*due, *self._put_off] if due else ():
            schemas.forget(schema_id)
        if due:
            self._put_off.clear()

    def kept(self, schemas: Schemas, missing: Iterable[int]) -> list[int]:
        """Enter what is known here of some ids; returns the others, which have to be asked for."""
        left = []
        for schema_id in missing:
            if (texts := self._read(schema_id)) is not None:
                schemas.add(schema_id, texts)
            elif schema_id in self._asked:
                schemas.refuse(schema_id, not_known(self._url))
            elif len(self._asked) >= _UNKNOWN_MAX:
                self._put_it_off(schemas, schema_id)
            else:
                left.append(schema_id)
        return left

    def _put_it_off(self, schemas: Schemas, schema_id: int) -> None:
        schemas.refuse(schema_id, f"was not asked for: too many ids before it are unknown to {self._url}")
        self._put_off[schema_id] = None
        if len(self._put_off) > KEPT_MAX:  # what is older is forgotten there too
            del self._put_off[next(iter(self._put_off))]

    def enter(self, schemas: Schemas, schema_id: int, found: Found) -> None:
        """Enter an answer, and keep it.

        Raises:
            DriftflowError: it cannot be written down.
        """
        if not isinstance(found, str):
            self._write(schema_id, found)
            schemas.add(schema_id, found)
            return
        self._asked[schema_id] = self._now_s()
        self._write_unknown()
        schemas.refuse(schema_id, found)

    def _read(self, schema_id: int) -> list[str] | None:
        """A schema that is kept; None for one of another registry, or a damaged file: it is fetched anew."""
        found = _load(self._folder / f"{schema_id}.json", _Kept)
        return found.schemas if found is not None and found.registry == self._url else None

    def _write(self, schema_id: int, texts: tuple[str, ...]) -> None:
        self._make_folder()
        if sum(1 for _ in self._folder.iterdir()) < _FILES_MAX:
            write_durably(self._folder / f"{schema_id}.json", msgspec.json.encode(_Kept(self._url, list(texts))))

    def _make_folder(self) -> None:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def _write_unknown(self) -> None:
        self._make_folder()
        asked = {str(one): asked_s for one, asked_s in self._asked.items()}
        write_durably(self._folder / "unknown.json", msgspec.json.encode(_Unanswered(self._url, asked)))


def not_known(url: str) -> str:
    """What is said of an id that a registry does not know."""
    return f"is not known to {url}: a producer writes with another registry, or the schema was deleted"


def _load(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        log.warning("%s cannot be read (%s): it is fetched anew", path, error)
        return None
