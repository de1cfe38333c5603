"""Trains for a request, and again where that fails: written down before each attempt, so that one that kills the
process counts too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
from kafka.errors import KafkaError

from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.errors import FlowlibError
from flowlib.table import Table
from schemas.records import RetrainRequest
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.guard import described
from stream_app.kafka.types import ClientSettings
from stream_app.models.registry import Registry
from stream_app.monitor.meter import Meter
from stream_app.stages.dropped import Dropped
from stream_app.trainer.canaries.file import CanaryFile
from stream_app.trainer.canaries.overruling import overruled
from stream_app.trainer.checkpoint import CheckpointFile
from stream_app.trainer.data.rows import RecordKeys, Rows, gather
from stream_app.trainer.outcome import Outcome, Retrain
from stream_app.trainer.ranges import RangesGone, read_ranges
from stream_app.trainer.requests import checking
from stream_app.trainer.requests.answers import Answers
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.requests.checking import Seen
from stream_app.trainer.stopping import Stopping, persistently
from stream_app.trainer.training import Known, answer

TRIES = 2
"""So often a training may fail, or end the process, before its request is refused."""


class Trying:
    """Trains for the requests of one stream.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        key: signs models.
        registry: holds the model in service.
        answers: where attempts are written down.
        stopping: ends what is under way.
        say: takes a line for the person who watches.
        meter: measures trainings.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        key: Ed25519PrivateKey,
        registry: Registry,
        answers: Answers,
        stopping: Stopping,
        say: Callable[[str], None],
        meter: Meter,
    ) -> None:
        self._meter = meter
        self._config, self._client, self._key = config, client, key
        self._registry, self._answers = registry, answers
        self._stopping, self._say = stopping, say

    def train(self, asked: Asked, seen: Seen, retrain: Retrain) -> Outcome:
        """Train for a request, twice at most.

        Args:
            asked: the request.
            seen: what was found at the ends of its ranges.
            retrain: the request, for a refusal.

        Raises:
            DriftflowError: the registry, a key or the disk needs mending: the attempt does not count.
            KafkaError: the broker refuses: it does not count either.
            Stopped: told to: nor does it then.
        """
        request = asked.request
        why = "the process ended before its end each time (for want of memory, say)"
        while self._answers.attempts(request.id) < TRIES:
            self._answers.begin(asked)
            try:
                with self._meter.step("training", request=request.id, reason=request.reason):
                    outcome = self._train(request, seen)
                return _less(outcome, checking.shortfall(request, seen))
            except (RangesGone, FlowlibError) as error:
                self._answers.over()
                return retrain.refused(0, str(error))
            except OSError as error:
                self._answers.release()
                raise DriftflowError(f"training cannot go on: {error}; look at the disk, then start again") from error
            except (DriftflowError, KafkaError):
                self._answers.release()
                raise
            except Exception as error:
                self._answers.over()
                why = described(error)
                self._say(f"request {request.id[:8]}: training ended in an error: {why}")
        return retrain.refused(0, f"training was tried {TRIES} times: {why}")

    def _train(self, request: RetrainRequest, seen: Seen) -> Outcome:
        asked_for = f"{request.reason}, {', '.join(request.slices)[:200] or 'all'}"
        self._say(f"request {request.id[:8]} ({asked_for}): reading the rows")
        rows = persistently(lambda: self._read(request), "reading the rows", self._stopping, self._say)
        self._stopping.check()
        self._say(f"training on {len(rows):,} rows")
        newest_ms = seen.newest_ms if seen.newest_ms is not None or not len(rows) else int(rows.table.time_ms[-1])
        outcome = answer(
            self._config,
            request,
            rows,
            self._or_none(request, self._registry.in_service()),
            self._key,
            self._stopping.check,
            CheckpointFile(self._config),
            newest_ms,
            Known(self._or_none(request, self._registry.anchor()), canaries=self._canaries()),
        )
        for finding in outcome.findings:
            self._say(f"found: {finding}")
        return outcome

    def _canaries(self) -> dict[str, Table]:
        """Events of the incidents that people have confirmed, and not overruled since."""
        return CanaryFile(self._config).load().tables(overruled(self._registry.notices()))

    def _read(self, request: RetrainRequest) -> Rows:
        """What the request names, with its record keys, and what of it cannot be used."""
        dropped, keys, ranges = Dropped(), RecordKeys(), request.train
        start_ms, end_ms = min(part.start_ms for part in ranges), max(part.end_ms for part in ranges)
        batches = read_ranges(self._config, ranges, self._client, self._stopping, dropped, keys)
        return gather(batches, start_ms, end_ms, keys, dropped, sum(part.end - part.start for part in ranges))

    def _or_none(self, request: RetrainRequest, model_id: str) -> Density | None:
        """A model that a candidate is compared with, None before the first. A bootstrap is the way out where it cannot
        be used any more, because the features have changed, say; any other request ends in the ModelError that says so.
        """
        try:
            return self._registry.load(model_id) if model_id else None
        except ModelError as error:
            if request.reason != "bootstrap":
                raise
            self._say(f"model {model_id} is not compared with: {error}")
            return None


def _less(outcome: Outcome, shortfall: str) -> Outcome:
    """An outcome that says how many rows were missing."""
    if not shortfall:
        return outcome
    return replace(
        outcome, notice=msgspec.structs.replace(outcome.notice, reason=f"{outcome.notice.reason}; {shortfall}")
    )
