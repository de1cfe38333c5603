"""The stream of :mod:`tests.bench.loop.worlds` on Apache Kafka, day by day, with a real worker and a real trainer.

Before a day comes everything that the days before it have brought about is done: a training of a few seconds stands for
minutes of a stream whose days last as long as days do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowlib.density import Density
from flowlib.table import DAY_MS, Table
from schemas.incidents import Incident
from schemas.records import OffsetRange, RetrainRequest, record_id
from stream_app.incident_lines import is_over
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import log_ends
from stream_app.models.registry import FINAL, Registry
from stream_app.trainer.shadow.state import Candidate, CandidateFile
from tests.bench.loop import live
from tests.bench.loop.worlds import START_DAY, day_of
from tests.integration.stream import Stream

HOUR_MS = 3_600_000
TOML = """
stream = "air"
[topics]
events = "{name}.events"
partials = "{name}.partials"
evidence = "{name}.evidence"
signals = "{name}.signals"
actions = "{name}.actions"
models = "{name}.models"
dead_letters = "{name}.dead-letters"
[event]
time_field = "t"
time_format = "epoch_ms"
numeric = ["w", "x", "y", "z"]
slicings = [["place"]]
[kafka]
bootstrap = ["{bootstrap}"]
group = "{name}"
session_timeout = "6s"
[windows]
idle_after = "600s"
[event_rule]
publish = true
[retrain]
cooldown = "7d"
calibration = "14d"
"""
"""All else is as it is where nobody sets anything: the shadow, the gates, the promise. The name is that of those who
ask in the tests."""
PATIENCE_S = 300.0


@contextmanager
def first_model(folder: Path, bootstrap: str, table: Table, days: int) -> Iterator[Days]:
    """A stream whose first days are there, with a model of them, a worker and a trainer."""
    with ExitStack() as stack:
        stream = stack.enter_context(live.stream_on(folder, bootstrap, "", toml=TOML))
        stream.command("keys", "new", "operator")
        world = Days(stream, table)
        world.send(days)
        until = datetime.fromtimestamp((START_DAY + days) * DAY_MS / 1_000, UTC).date().isoformat()
        stack.enter_context(live.trainer_of(stream, "--bootstrap-until", until))
        live.wait(stream, lambda: "waiting for retrain requests" in live.log_of(stream), "the first model")
        stream.start_worker()
        world.settle()
        yield world
        world.settle()
        stream.stop()


class Days:
    """A stream to which days are sent.

    Attributes:
        stream: where it is.
        table: all its rows, in order of time.
        sent: how many of them are there.
    """

    def __init__(self, stream: Stream, table: Table) -> None:
        self.stream, self.table, self.sent = stream, table, 0

    def send(self, until_day: int) -> None:
        """Send the rows before a day, those that are not there yet."""
        end = int(np.searchsorted(day_of(self.table), until_day))
        rows = self.table.take(np.arange(self.sent, end))
        names = rows.slices.astype(str).tolist()
        of_rows = zip(rows.time_ms.tolist(), rows.numeric.tolist(), names, strict=True)
        values = [
            msgspec.json.encode({"t": t, **dict(zip("wxyz", numbers, strict=True)), "place": name})
            for t, numbers, name in of_rows
        ]
        self.stream.produce([(None, value) for value in values])
        self.sent = end

    def step(self, until_day: int) -> None:
        """Send, and wait until everything is done that follows."""
        self.send(until_day)
        self.settle()

    def settle(self) -> None:
        """Wait until worker and trainer have done all there is to do, and the worker has the model in service."""
        self.stream.wait_until_done()
        until = time.monotonic() + PATIENCE_S
        while not self._is_idle():
            if time.monotonic() > until:
                raise RuntimeError(f"the trainer has not come to rest:\n{live.log_of(self.stream)}")
            time.sleep(0.3)
        service = Registry(self.stream.config).in_service()
        self.stream.wait(lambda: self.stream.status().get("service") == service, f"model {service}")

    def _is_idle(self) -> bool:
        """Whether each request has its answer, or waits for the end of a shadow that has seen all that came."""
        answered, candidate = live.finals(self.stream), self.candidate()
        if candidate is not None and candidate.phase == "shadow":
            ends = log_ends(self.stream.config, client_settings(self.stream.config.kafka))
            return all(candidate.offsets.get(part, 0) >= end for part, end in ends.items())
        asked = {of.id for of in live.said(self.stream, RetrainRequest)}
        waits = set() if candidate is None else {candidate.request.id}
        return not asked - answered.keys() - waits and (candidate is None or candidate.phase == "waiting")

    def candidate(self) -> Candidate | None:
        """The model that is not decided, if there is one."""
        return CandidateFile(self.stream.config).load()

    # What there is --------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Time of the newest row that was sent."""
        return int(self.table.time_ms[self.sent - 1])

    def model(self) -> Density:
        """The model in service."""
        found = Registry(self.stream.config).current()
        assert found is not None
        return found

    def open(self) -> list[Incident]:
        """What people were told last of each incident that is open, oldest first."""
        last = [messages[-1] for messages in live.incidents(self.stream).values()]
        return sorted((of for of in last if not is_over(of)), key=lambda of: (of.opened_pane_ms, of.id))

    def request(self, days: int, *unjudged: Any) -> RetrainRequest:
        """What somebody asks for by hand: everything of the last days."""
        config, end_ms = self.stream.config, self.now_ms + 1
        start_ms = end_ms - days * DAY_MS
        ends = log_ends(config, client_settings(config.kafka))
        train = [
            OffsetRange(topic=config.topics.events, partition=p, start=0, end=end, start_ms=start_ms, end_ms=end_ms)
            for p, end in ends.items()
        ]
        service = Registry(config).in_service()
        return RetrainRequest(
            id=record_id("bench", end_ms, service),
            stream=config.stream,
            reason="drift",
            slices=["north"],
            alerts=[],
            model_id=service,
            requested_pane_ms=end_ms // HOUR_MS * HOUR_MS,
            train=train,
            calibrate_from_ms=end_ms - 14 * DAY_MS,
            unjudged=list(unjudged),
        )

    def requests(self) -> list[dict[str, Any]]:
        """Every request, with what came of it."""
        final = {of.request_id: of for of in live.notices(self.stream) if of.status in FINAL}
        asked = {of.id: of for of in live.said(self.stream, RetrainRequest)}
        return [
            {
                "day": of.requested_pane_ms / DAY_MS - START_DAY,
                "accepted": len(of.accepted),
                "unjudged": len(of.unjudged),
                "status": final[name].status if name in final else "open",
                "failed": live.failed_gates(final[name]) if name in final else [],
                "says": final[name].reason[:300] if name in final else "",
            }
            for name, of in asked.items()
        ]
