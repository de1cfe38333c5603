"""Whether a signal that people look at is signed by a key that is trusted here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from schemas.incidents import Action
from schemas.intake import RawHeaders
from schemas.records import ModelNotice, Record, RetrainRequest, ServiceChange
from stream_app.config import Config
from stream_app.errors import ModelError

log = logging.getLogger(__name__)

_SIGNED = (ModelNotice, RetrainRequest, ServiceChange, Action)


class Marks:
    """Says of notices, requests, changes of the model in service and actions whether they are signed by a key trusted
    here; of other records, that they need not be.

    Args:
        config: the stream, with where the keys lie.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._trusted: dict[type[Record], dict[str, Any]] = {}

    def can_tell(self, record: Record) -> bool:
        """Whether such a record has to be signed, and a key is known here that may have signed it."""
        return isinstance(record, _SIGNED) and bool(self._keys(type(record)))

    def is_trusted(self, record: Record, value: bytes, headers: RawHeaders) -> bool:
        """Whether a message, which holds this record, may be believed."""
        if not isinstance(record, _SIGNED):
            return True
        # Loads torch, which takes seconds: incidents alone have no use for it.
        from stream_app.models.signing import signature_fault

        return signature_fault(value, headers, self._keys(type(record))) is None

    def _keys(self, kind: type[Record]) -> dict[str, Any]:
        from stream_app.models.keys import Trust  # as above

        if kind not in self._trusted:
            of: dict[type[Record], Callable[[Config], Trust]] = {
                ModelNotice: Trust.of_models,
                RetrainRequest: Trust.of_requests,
                ServiceChange: Trust.of_requests,
                Action: Trust.of_actions,
            }
            try:
                self._trusted[kind] = of[kind](self._config).keys()
            except ModelError as error:
                log.warning("%s. No key is trusted meanwhile.", error)
                self._trusted[kind] = {}
        return self._trusted[kind]
