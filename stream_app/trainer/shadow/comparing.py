"""Scores live events by the candidate and by the champion, and counts what comes of it; nothing follows from it
elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka.errors import KafkaError

from flowlib.density import Density
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.types import ClientSettings
from stream_app.models.registry import Registry
from stream_app.trainer.shadow.deciding import ShadowTest, Verdict
from stream_app.trainer.shadow.panes import OpenPanes
from stream_app.trainer.shadow.reading import ShadowReader, Step
from stream_app.trainer.shadow.state import Candidate, CandidateFile
from stream_app.trainer.stopping import Stopping

KEEP_S = 1.0
"""Offsets and statistics are kept this often; a trainer that is killed reads again what came since."""


class Comparing:
    """The shadow of one candidate after the other.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        registry: holds both models.
        file: where the candidate's state is kept.
        stopping: ends what is under way.
        say: takes a line for the person who watches.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        registry: Registry,
        file: CandidateFile,
        stopping: Stopping,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._client, self._registry, self._file = config, client, registry, file
        self._stopping, self._say = stopping, say
        self._reader: ShadowReader | None = None
        self._models: dict[str, Density] = {}
        self._kept_s = 0.0

    def step(self, candidate: Candidate, timeout_ms: int) -> Verdict:
        """Read what has come, and say what follows from all that has been seen; "" where nothing does yet.

        Where the model in service is another one by now, the test begins anew against that.

        Args:
            candidate: changed in place, and kept from time to time.
            timeout_ms: how long to wait for events.

        Raises:
            DriftflowError: a model cannot be used, or the disk needs mending.
            KafkaError: the broker refuses.
        """
        self._follow_service(candidate)
        try:
            self._reader = self._reader or self._open(candidate)
            for step in self._reader.poll(timeout_ms):
                self._stopping.check()
                self._take(candidate, step)
            behind = self._reader.is_behind()
        except (KafkaError, DriftflowError) as error:
            self.close()  # what was polled and not counted is read again
            if isinstance(error, KafkaError) and not error.retriable:
                raise
            if isinstance(error, DriftflowError):
                raise
            self._say(f"shadow: {' '.join(str(error).split()) or type(error).__name__}; it is read again")
            self._stopping.pause(timeout_ms / 1_000)
            return self._given_up(candidate)
        for pane in candidate.panes.take(behind):
            candidate.test.take(pane)
            if verdict := candidate.test.verdict or self._after_enough(candidate):
                candidate.until_ms = (pane.number + 1) * candidate.panes.pane_ms
                return verdict
        if time.monotonic() - self._kept_s >= KEEP_S:
            self._file.keep(candidate)
            self._kept_s = time.monotonic()
        return self._given_up(candidate)

    def close(self) -> None:
        """Let the connection go."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def model(self, model_id: str) -> Density:
        """A model of the registry; raises ModelError."""
        if model_id not in self._models:
            self._models[model_id] = self._registry.load(model_id)
        return self._models[model_id]

    def forget(self) -> None:
        """The candidate is decided: its models and its connection are not needed any more."""
        self.close()
        self._models.clear()

    def _open(self, candidate: Candidate) -> ShadowReader:
        self._say(
            f"model {candidate.model_id} is in the shadow of {candidate.champion}: both score what comes, and "
            f"{candidate.champion} stays in service"
        )
        return ShadowReader(self._config, self._client, candidate.offsets, candidate.panes.clocks, self._say)

    def _take(self, candidate: Candidate, step: Step) -> None:
        if step.events is not None and len(step.events):
            table = step.events.table()
            new = self.model(candidate.model_id).score(table)
            old = self.model(candidate.champion).score(table)
            candidate.panes.add(step.partition, step.events.event_time_ms, new, old)
        candidate.offsets[step.partition] = step.next

    def _follow_service(self, candidate: Candidate) -> None:
        champion = self._registry.in_service()
        if champion == candidate.champion:
            return
        self._say(f"model {champion} is in service in place of {candidate.champion}: the shadow begins anew")
        test = candidate.test
        candidate.champion = champion
        candidate.test = ShadowTest.of(test.kind, test.min_gain, self._config.trainer.max_alarm_ratio)
        candidate.panes = OpenPanes(candidate.panes.pane_ms, clocks=candidate.panes.clocks)
        self._file.keep(candidate)

    def _after_enough(self, candidate: Candidate) -> Verdict:
        """Asked after each pane: the events decide where it ends, and not how many come at a time."""
        return "give up" if candidate.test.total.events >= self._config.trainer.shadow_events else ""

    def _given_up(self, candidate: Candidate) -> Verdict:
        waited_s = time.time() - candidate.begun_s
        return "give up" if waited_s * 1_000 >= int(self._config.trainer.shadow_patience) else ""
