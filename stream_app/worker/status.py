"""Live totals of the workers, in small files beside the snapshots: for people, probes and the demo's view."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from stream_app.config import Config
from stream_app.disk import remove_old
from stream_app.stages.score.state import COUNTERS

FRESH_S = 5.0
"""A worker that has written more recently counts as alive."""

_OLD_S = 86_400.0
"""Files of processes that ended before are removed."""

_SUMS = ("pending", "lag", "unwatched", "late_blocks", "closed_early", "sink_errors")
_LARGEST = ("set_aside", "spooled")


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker says of itself."""

    at: float = 0.0
    """When this was written, in seconds since the epoch."""
    source: str = ""
    """Which process it is, as its health messages say it."""
    counters: dict[int, dict[str, int]] = {}
    """Running totals of rows by source partition; of a partition that has left, as they were then."""
    first_score_at: float | None = None
    """When the first batch was scored, in seconds since the epoch."""
    service: str = ""
    """The model that new panes are scored with; empty as long as there is none."""
    pending: int = 0
    """Partitions with work that is not durable yet."""
    lag: int | None = None
    """Records of all its partitions that are not settled; None where not known."""
    unread: dict[int, int | None] = {}
    """The same for each of its source partitions."""
    unwatched: int = 0
    """Partials and evidence that it has sent and that its own partitions have not taken in."""
    late_blocks: int = 0
    """Blocks that came for a pane that was final or passed over."""
    closed_early: int = 0
    """Panes closed because too many were open."""
    failing: dict[str, str] = {}
    """Parts that cannot do their work now and try again, and the last error of each; empty when all is well."""
    taken: dict[str, int] = {}
    """Messages that were of use, by topic: ``partials``, ``evidence``, ``models``, ``actions``."""
    refused: dict[str, int] = {}
    """Those that were not: the dead letters have them."""
    judged_ms: int | None = None
    """Panes that end at or before it are judged, event time; None where JUDGE is not here."""
    state_written: dict[str, int] = {}
    """Bytes of state that this process has written, by stage."""
    state_per_event: float | None = None
    """Those of SCORE, by the events that it has taken in; None before the first."""
    set_aside: int = 0
    """Points that the sink will never take as they are, kept in the spool that the workers share."""
    spooled: int = 0
    """Points that wait in it for the sink."""
    sink_errors: int = 0
    """Tries of the sink, or of the spool, that failed and were made again."""
    monitor: str = ""
    """Where it answers probes and tells its metrics; empty where it does not."""
    lags: dict[str, int | None] = {}
    """``topic/partition`` to records that are not settled; None where not known."""
    event_time_ms: int | None = None
    """How far event time has come on its source partitions."""
    service_ms: int | None = None
    """The newest event that the model in service was trained on."""
    waits_for: list[str] = []
    """Models that its partitions need and that have not arrived here."""
    incidents: dict[str, int] = {}
    """Open incidents by ``severity kind``; empty where JUDGE is not here."""
    dead_letters: dict[str, int] = {}
    """Dead letters that it has sent, by reason."""


_DECODER = msgspec.json.Decoder(Status)


def folder_of(config: Config) -> Path:
    """Where the workers of a state folder write."""
    return config.path(config.state.dir) / "status"


class StatusFile:
    """One worker's file, with a random token in its name: two containers, both process 1, may have one host name."""

    def __init__(self, config: Config) -> None:
        folder = folder_of(config)
        folder.mkdir(parents=True, exist_ok=True)
        remove_old(folder, "*", time.time() - _OLD_S)
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}.json"

    def write(self, status: Status) -> None:
        """Replace the file; not forced to disk: after a crash nobody needs it, and it is written twice a second."""
        beside = self._path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(msgspec.structs.replace(status, at=time.time())))
        os.replace(beside, self._path)


def read_status(config: Config) -> dict[str, Any]:
    """All workers of a state folder together, by the names of :class:`Status`; empty when none has written yet.

    The counters of all partitions are summed, each under its name (:data:`COUNTERS`). ``received`` only grows, so a
    partition counts as the owner that came furthest counted it. What is in work is summed over the workers that are
    alive; they share a spool, so that its figures are the largest that one of them knows.
    """
    statuses = _read_all(config)
    if not statuses:
        return {}
    newest = statuses[-1]
    alive = [status for status in statuses if newest.at - status.at < FRESH_S]
    began = [status.first_score_at for status in statuses if status.first_score_at]
    merged = {
        **msgspec.structs.asdict(newest),
        **_totals(statuses),
        **{name: _sum([getattr(status, name) for status in alive]) for name in _SUMS},
        "first_score_at": min(began, default=None),
        **{name: max(getattr(status, name) for status in alive) for name in _LARGEST},
        "failing": {part: error for status in alive for part, error in status.failing.items()},
        "taken": _intake([status.taken for status in alive]),
        "refused": _intake([status.refused for status in alive]),
        **{name: _latest(alive, name) for name in ("judged_ms", "event_time_ms")},
        "incidents": next((status.incidents for status in alive if status.judged_ms is not None), {}),
        "dead_letters": dict(sum((Counter(status.dead_letters) for status in alive), Counter())),
        "lags": {place: lag for status in alive for place, lag in status.lags.items()},
        "waits_for": sorted({model_id for status in alive for model_id in status.waits_for}),
        "monitor": [status.monitor for status in alive if status.monitor],
    }
    del merged["counters"], merged["source"]
    return merged


def _latest(alive: list[Status], name: str) -> int | None:
    known = [getattr(status, name) for status in alive]
    return max((value for value in known if value is not None), default=None)


def _intake(counted: list[dict[str, int]]) -> dict[str, int]:
    """The workers share out the partials, and one has the evidence; each reads the whole models topic, and whoever has
    the evidence the actions.
    """
    return {
        **{topic: sum(counts.get(topic, 0) for counts in counted) for topic in ("partials", "evidence")},
        **{topic: max(counts.get(topic, 0) for counts in counted) for topic in ("models", "actions")},
    }


def unread(config: Config) -> dict[int, int | None]:
    """Records of each source partition that its owner has not settled; None where the owner does not know, no entry
    where nobody owns it.
    """
    alive = [status for status in _read_all(config) if time.time() - status.at < FRESH_S]
    return {partition: lag for status in alive for partition, lag in status.unread.items()}


def left_failing(config: Config) -> set[tuple[str, str, float]]:
    """Parts that failed in processes which are not alive any more, each with the process and when that was written."""
    dead = [status for status in _read_all(config) if time.time() - status.at >= FRESH_S]
    return {(part, status.source, status.at) for status in dead for part in status.failing}


def _read_all(config: Config) -> list[Status]:
    """What the workers have written, oldest first. A file that is damaged, cannot be read or is just being removed says
    nothing: its worker, where there is one, writes it again within the second.
    """
    statuses = []
    for path in folder_of(config).glob("*.json"):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError):
            statuses.append(_DECODER.decode(path.read_bytes()))
    whole = [status for status in statuses if all(set(COUNTERS) <= n.keys() for n in status.counters.values())]
    return sorted(whole, key=lambda status: status.at)


def _totals(statuses: list[Status]) -> dict[str, int]:
    furthest: dict[int, dict[str, int]] = {}
    for status in statuses:
        for partition, counted in status.counters.items():
            if counted["received"] >= furthest.get(partition, counted)["received"]:
                furthest[partition] = counted
    return {name: sum(counted[name] for counted in furthest.values()) for name in COUNTERS}


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
