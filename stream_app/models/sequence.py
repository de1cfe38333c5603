"""Which notices of the models topic count: those that a trusted key has signed, in the order of their numbers.

The trainer numbers its notices. The order in which they come, and how often, decides nothing: the model in service is
that of the promoted notice with the highest number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from flowlib.artifact import Ed25519PublicKey
from schemas.intake import RawHeaders, Refusal, take_in
from schemas.records import ModelNotice
from stream_app.models.signing import signature_fault


class Notices:
    """The notices of a stream that have been entered so far.

    Attributes:
        model_id: of the promoted one with the highest number; "" before the first.
        sequence: its number.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._contents: dict[int, bytes] = {}
        self.model_id, self.sequence = "", 0

    def take(
        self, value: bytes | None, headers: RawHeaders | None, trusted: Mapping[str, Ed25519PublicKey]
    ) -> ModelNotice | Refusal:
        """A message of the models topic as a genuine notice, or why it is none; nothing is entered.

        Args:
            value, headers: of the message.
            trusted: public keys by their id.
        """
        notice = take_in("models", self._stream, value, headers)
        if isinstance(notice, Refusal):
            return notice
        assert isinstance(notice, ModelNotice)
        assert value is not None
        return signature_fault(value, headers or (), trusted) or self._stale(notice) or notice

    def _stale(self, notice: ModelNotice) -> Refusal | None:
        number = notice.sequence
        if not number:
            detail = "it has no number, so an earlier build has made it: train a model anew (--bootstrap-until DATE)"
            return Refusal("stale", "sequence", detail)
        if self._contents.get(number, _content(notice)) == _content(notice):
            return None
        detail = (
            f"another notice has its number, {number}, and the first one counts: the trainer's registry was lost, or "
            "there are two of them; go on with the one whose models are in service"
        )
        return Refusal("stale", "sequence", detail)

    def knows(self, notice: ModelNotice) -> bool:
        """Whether a genuine notice has been entered before: it is no news."""
        return notice.sequence in self._contents

    def is_newest(self, notice: ModelNotice) -> bool:
        """Whether a genuine notice's model is to be in service, by all that have been entered."""
        return notice.status == "promoted" and notice.sequence > self.sequence

    def enter(self, notice: ModelNotice) -> None:
        """A genuine notice has been acted on."""
        if self.is_newest(notice):
            self.model_id, self.sequence = notice.model_id, notice.sequence
        self._contents[notice.sequence] = _content(notice)


def _content(notice: ModelNotice) -> bytes:
    """Hash of what a notice says. The model's bytes are left out: its id is a hash of them, and who has signed them may
    change.
    """
    said = msgspec.structs.replace(notice, manifest=b"", tensors=b"", signature=b"", key_id="")
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).digest()
