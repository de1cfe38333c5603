"""What messages may say of fields whose values are nobody's business (``event.sensitive``): all but the values.

It stands where words are made of values, so that whatever repeats these words has none: dead letters, incidents,
points, what commands print.
"""

from __future__ import annotations

from collections.abc import Collection

from stream_app.config import EventConfig
from stream_app.stages.score.rejects import Undecodable

_INSTEAD = "not as it should be, and what it is may not be told (event.sensitive)"


class Hiding:
    """Of the events of a stream."""

    def __init__(self, event: EventConfig) -> None:
        self.names: Collection[str] = frozenset(event.sensitive)

    def fault(self, error: Undecodable) -> Undecodable:
        """What is wrong with a body, without values that may not be told; one that is no object may be such a value."""
        if not self.names or (error.field and error.field not in self.names):
            return error
        if error.field or error.reason == "wrong_type":
            return Undecodable(error.reason, error.field, f"the {'value' if error.field else 'body'} is {_INSTEAD}")
        return error

    def words(self, name: str, words: str) -> str:
        """Words with a field's value, or "" where it may not be told."""
        return "" if name in self.names else words

    def detail(self, name: str, detail: str) -> str:
        """A sentence about a field, or one without its value."""
        return f"{name} is {_INSTEAD}" if name in self.names else detail
