"""From a message to a :class:`Signal`: typed, verified, once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from schemas.incidents import Incident, SilencedIncident
from schemas.intake import RawHeaders, Refusal, header_map, take_in
from schemas.records import Record
from stream_app.config import Config
from stream_app.models.marks import Marks
from stream_app.terminal import Seldom

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

SEVERITIES = ("info", "warning", "critical")
_REMEMBERED = 100_000
"""Ids of events that are known: one that comes again is no news."""


@dataclass(frozen=True, slots=True)
class Signal(Generic[R]):
    """One message of a stream.

    Attributes:
        record: what it says; its class tells its kind (:mod:`schemas.incidents`, :mod:`schemas.records`).
        type: the CloudEvents type, such as ``driftflow.incident.v1``.
        id: of this event, the same in every replay; not of the incident that it belongs to.
        time: event time, UTC.
        source: who says so.
        is_trusted: whether a key that is trusted here has signed it; None where it need not be signed, or nothing is
            known here of keys.
        partition, offset: where it stands; -1 where it has no place.
    """

    record: R
    type: str
    id: str
    time: datetime
    source: str
    is_trusted: bool | None
    partition: int
    offset: int


@dataclass(frozen=True)
class Wanted:
    """Which signals somebody wants.

    Attributes:
        of: classes of records.
        severity: incidents less severe than this are left out; "" for none.
        open_only: of incidents only those that are going on, each with its last message; nothing else.
        untrusted: whether what has to be signed, and is not by a key trusted here, comes too.
    """

    of: tuple[type[Record], ...]
    severity: str
    open_only: bool
    untrusted: bool


class Taker(Generic[R]):
    """Takes messages in, in any order.

    Args:
        wanted: which of them.
        config: the stream; None where nothing is known of it but what messages say.
    """

    def __init__(self, wanted: Wanted, config: Config | None) -> None:
        self._wanted, self._config = wanted, config
        self._marks = Marks(config) if config is not None else None
        self._known: dict[str, None] = {}
        self._refused, self._unsigned = Seldom(log.warning), Seldom(log.warning)

    def take(
        self,
        stream: str,
        value: bytes | None,
        headers: RawHeaders,
        place: tuple[str, int, int],
        encoded: Callable[[Record], bytes] | None = None,
    ) -> Signal[R] | None:
        """The signal that a message holds; None where it is none that is wanted, or came before.

        Args:
            stream: of which it has to be.
            value, headers: of the message.
            place: topic or file, partition, offset or line.
            encoded: how the value was when it was signed, where it was written down in another way since.
        """
        record = take_in("signals", stream, value, headers)
        where = f"{place[0]}/{place[1]}@{place[2]}"
        if isinstance(record, Refusal):
            if record.reason != "not_ours":  # of a later version, say
                self._refused(f"{where} is no signal of ours: {record.detail}")
            return None
        if not self._is_wanted(record):
            return None
        told = {name: text.decode("utf-8", "replace") for name, text in header_map(headers).items()}
        event_id = told.get("ce_id", "")
        signed = value if encoded is None else encoded(record)
        trusted = self._is_trusted(record, signed or b"", headers)
        if trusted is False and not self._wanted.untrusted:
            self._unsigned(f"{where} ({told['ce_type']}) is not signed by a key trusted here, and is left out")
            return None
        if self._is_known(event_id):
            return None
        time, source = _time(told.get("ce_time", "")), told.get("ce_source", "")
        return Signal(record, told["ce_type"], event_id, time, source, trusted, *place[1:])  # type: ignore[arg-type]

    def _is_wanted(self, record: Record) -> bool:
        wanted = self._wanted
        if isinstance(record, SilencedIncident) and SilencedIncident not in wanted.of and Record not in wanted.of:
            return False  # it is an incident too, and not for people
        if not isinstance(record, wanted.of):
            return False
        if isinstance(record, Incident):
            return not wanted.severity or SEVERITIES.index(record.severity) >= SEVERITIES.index(wanted.severity)
        return not wanted.open_only

    def _is_trusted(self, record: Record, value: bytes, headers: RawHeaders) -> bool | None:
        if self._marks is None or not self._marks.can_tell(record):
            return None
        return self._marks.is_trusted(record, value, headers)

    def _is_known(self, event_id: str) -> bool:
        if not event_id:
            return False
        if event_id in self._known:
            return True
        self._known[event_id] = None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return False


def _time(text: str) -> datetime:
    """A time of CloudEvents; the epoch where it cannot be read."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def open_of(signals: list[Signal[R]]) -> list[Signal[R]]:
    """Of each incident its last message, where that leaves it open; the first one told comes first."""
    last: dict[str, Signal[R]] = {}
    for signal in signals:
        record = signal.record
        if isinstance(record, Incident) and (
            record.id not in last or record.number >= last[record.id].record.number  # type: ignore[attr-defined]
        ):
            last[record.id] = signal
    return [one for one in last.values() if one.record.state in ("open", "update")]  # type: ignore[attr-defined]
