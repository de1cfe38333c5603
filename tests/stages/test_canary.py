"""A new model on one of two source partitions: what it does there decides, and a replay repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from flowlib.density import Density
from flowlib.table import Table
from schemas.codecs import decode_event
from schemas.records import ServiceChange
from stream_app.config import Config
from stream_app.offline.replay import Downstream
from stream_app.stages.decisions import Activated, Decision, Service, encode
from stream_app.stages.outputs import Outgoing
from stream_app.stages.pipeline import Pipeline
from stream_app.worker.deciding import Decider
from tests.stages.streams import PANE, STATIONS, channels, config, decoded, event, raw, table

PANES, EVENTS, ROUND = 160, 25, 20
ARRIVES = 40
"""The new model comes after so many panes; each has so many events on each partition."""


class Written:
    """Where decisions are written down."""

    def __init__(self) -> None:
        self._made: list[Decision] = []

    def record(self, decision: Decision) -> None:
        self._made.append(decision)

    def decisions(self) -> list[Decision]:
        return decoded(b"".join(map(encode, self._made)))


def rounds() -> Iterator[tuple[int, int, list[bytes | None]]]:
    """Source partition, first offset and events, some panes at a time; each partition has slices of its own."""
    for first in range(0, PANES, ROUND):
        for partition in (0, 1):
            n, g = ROUND * EVENTS, np.random.default_rng([first, partition])
            numeric, categories, _ = table(g, n)
            stations = STATIONS[partition::2]
            bodies: list[bytes | None] = []
            for i, ((x, y, v), c) in enumerate(zip(numeric.tolist(), categories[:, 0].tolist(), strict=True)):
                known = {"x": x, "y": y, "v": v}
                known = {name: None if np.isnan(value) else value for name, value in known.items()}
                t = (first * EVENTS + i) * PANE // EVENTS
                bodies.append(event(t, first * EVENTS + i, **known, c=c, station=stations[i % len(stations)]))
            yield partition, first * EVENTS, bodies


class Run:
    """Both partitions through all stages, by the decisions of a worker or by those that are given."""

    def __init__(self, cfg: Config, models: list[Density], given: list[Decision] | None = None) -> None:
        self.pipeline = Pipeline(cfg, 2, given or [], make_decisions=given is None)
        self.sent: list[Outgoing] = []
        self.below = Downstream(self.pipeline, self._keep)
        self.changes: list[ServiceChange] = []
        self.store = Written()
        self.decider = Decider(cfg, self.store, self.pipeline)  # type: ignore[arg-type]
        for model in models:
            self.pipeline.models.add(model)
        for number in (0, 1):
            self.pipeline.open_score(number)
            self.pipeline.open_watch(number)
        self.pipeline.open_judge()

    def _keep(self, message: Outgoing) -> None:
        self.sent.append(message)
        kind = dict(message.headers).get("ce_type", b"")
        if b"service-change" in (kind if isinstance(kind, bytes) else str(kind).encode()):
            change = decode_event(message.value, message.headers)
            assert isinstance(change, ServiceChange)
            self.changes.append(change)

    def go(self, new: str = "") -> None:
        """All events; a new model arrives on the way, where one is named."""
        for partition, offset, bodies in rounds():
            if new and (partition, offset) == (0, ARRIVES * EVENTS):
                self.decider.promoted(new, 2, 0)
                self.decider.activate_all()
            out = self.pipeline.score(raw(partition, bodies, offset)).messages
            self.sent += out
            told = len(self.changes)
            self.below.take(out)
            if new and self.changes[told:]:
                self.decider.serve(self.changes[told:])

    def scored_by(self) -> dict[int, list[tuple[int, str]]]:
        """Of each source partition, from which pane on it has been scored by which model."""
        return {
            p: [(ms // PANE, model) for ms, model in of.activations] for p, of in self.pipeline.score_states.items()
        }


def called(density: Density, name: str, like: Density) -> Density:
    """A model under a name, for which the same is normal in panes."""
    return replace(replace(density, references=like.references, channels=like.channels), model_id=name)


@pytest.mark.parametrize("is_bad", [False, True])
def test_a_model_is_tried_on_one_partition_and_followed_or_taken_out(model: Density, is_bad: bool) -> None:
    wide = Table.of(*table(np.random.default_rng(9), 2_000))
    fair = Table.of(*table(np.random.default_rng(8), 4_000))
    good = called(model.recalibrated(fair, 1), "good", model)
    silent = model.recalibrated(wide.with_numeric(wide.numeric * 4.0), 1)
    new = called(silent if is_bad else model.recalibrated(fair, 2), "new", model)
    cfg = config()
    cfg = msgspec.structs.replace(cfg, trainer=msgspec.structs.replace(cfg.trainer, canary_share=0.5))
    live = Run(cfg, [good, new])
    live.decider.promoted("good", 1, 0)
    live.decider.activate_all()
    live.go("new")
    (change,) = live.changes
    assert (change.verb, change.model_id) == ("rollback" if is_bad else "extend", "new")
    (service,) = [of for of in live.store.decisions() if isinstance(of, Service)]
    assert service.id == change.id
    tried, waited = live.scored_by()[0], live.scored_by()[1]
    assert [of for _, of in tried] == ["good", "new", *(["good"] if is_bad else [])]
    assert [of for _, of in waited] == ["good", *([] if is_bad else ["new"])]
    assert change.pane_end_ms // PANE - tried[1][0] <= 90, "as many events as tell a silent model"
    assert (waited[-1][0] > change.pane_end_ms // PANE) != is_bad
    again = Run(cfg, [good, new], live.store.decisions())
    again.go()
    assert channels(again.sent) == channels(live.sent), "a replay of the decisions is the run"
    assert again.changes == live.changes
    assert len([of for of in again.pipeline.decisions if isinstance(of, Activated)]) == len(tried) + len(waited)
