"""WATCH of several partials partitions before JUDGE, on simulated panes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from flowlib.reference.reference import Reference
from schemas.codecs import decode_event, encode_partials
from schemas.incidents import Incident
from schemas.records import RetrainRequest
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.decisions import Acted
from stream_app.stages.detection.detectors.simulated import Change, World
from stream_app.stages.judge.stage import JudgeStage
from stream_app.stages.judge.state import JudgeState
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.partitioning import slice_partition
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import block, config_of, marker

Changes = dict[int, Change]


def spread(world: World, width: int, **alerts: float) -> Config:
    """The world's stream on so many partials partitions, with a promise that a test can wait for."""
    config = config_of(world)
    topics = msgspec.structs.replace(config.topics, partitions=width, evidence="s.evidence", signals="s.signals")
    settings = msgspec.structs.replace(config.alerts, **alerts)
    return msgspec.structs.replace(config, topics=topics, alerts=settings)


def evidence(
    world: World, config: Config, spans: Sequence[tuple[int, Changes]], seed: int, model: str = "m"
) -> list[list[Outgoing]]:
    """What WATCH of each partials partition sends of panes, some with changes.

    Args:
        world: its slices.
        config: the stream.
        spans: numbers of panes, one after the other, each with its changes.
        seed: of the events.
        model: what scored them.
    """
    width = config.topics.partitions
    home = {name: slice_partition("slice", name, width) for name in world.names}
    known = Known({model: [world.fitted[1]]})
    stages = [(WatchStage(config), WatchState.empty(config, 1), q) for q in range(width)]
    sent: list[list[Outgoing]] = [[] for _ in range(width)]
    offsets, first = [0] * width, 0
    for k, (count, changes) in enumerate(spans):
        for number, rows in enumerate(world.rows(world.events(count, seed + k, changes), count), first):
            whole = block(world, number, rows, model)
            for stage, state, q in stages:
                names = [name for name in whole.slices if home[name] == q]
                at = [whole.slices.index(name) for name in names]
                own_rows = world.layout.decode(whole.columns, len(whole.slices))[at]
                own = msgspec.structs.replace(whole, slices=names, columns=world.layout.encode(own_rows))
                messages = encode_partials([own, marker(number)] if names else [marker(number)])
                fetched = [PartialMessage(offsets[q] + i, m.value, m.headers) for i, m in enumerate(messages)]
                offsets[q] += len(fetched)
                out = stage.step(state, q, fetched, known)
                assert not out.refused
                sent[q] += [message for message in out.messages if message.role == "evidence"]
        first += count
    return sent


def interleaved(sent: Sequence[Sequence[Outgoing]], seed: int) -> list[Outgoing]:
    """The messages of all partitions in some order that keeps each partition's own, now and then one twice."""
    chance, at, out = random.Random(seed), [0] * len(sent), list[Outgoing]()
    while any(i < len(of) for i, of in zip(at, sent, strict=True)):
        q = chance.choice([q for q, of in enumerate(sent) if at[q] < len(of)])
        out.append(sent[q][at[q]])
        if chance.random() < 0.05:
            out.append(sent[q][at[q]])
        at[q] += 1
    return out


class Judging:
    """JUDGE, message by message."""

    def __init__(self, config: Config, references: dict[str, Reference]) -> None:
        self.stage, self.state = JudgeStage(config), JudgeState.empty(config)
        self.references = {name: [reference] for name, reference in references.items()}
        self.out, self._offset = Outputs(), 0

    def feed(self, messages: Iterable[Outgoing], size: int = 100, restart: int = 0) -> Judging:
        """Take messages in, ``size`` at a time; from its snapshot again after every ``restart`` of these steps."""
        every = list(messages)
        for step, at in enumerate(range(0, len(every), size), 1):
            part = every[at : at + size]
            fetched = [PartialMessage(self._offset + i, m.value, m.headers) for i, m in enumerate(part)]
            self._offset += len(part)
            self._add(self.stage.step(self.state, fetched, self.references))
            if restart and step % restart == 0:
                self.state = JudgeState.from_state(self.stage.config, unpack(pack(self.state.to_state())))
        return self

    def act(self, decision: Acted) -> Judging:
        """What a person says."""
        self._add(self.stage.act(self.state, decision, self.references))
        return self

    def _add(self, out: Outputs) -> None:
        self.out.messages += out.messages
        self.out.points += out.points
        self.out.refused += out.refused
        self.out.changes += out.changes

    @property
    def records(self) -> list[object]:
        """Everything said, decoded."""
        return [decode_event(message.value, message.headers) for message in self.out.messages]

    @property
    def incidents(self) -> list[Incident]:
        """Messages of incidents."""
        return [record for record in self.records if isinstance(record, Incident)]

    @property
    def requests(self) -> list[RetrainRequest]:
        """Models that were asked for."""
        return [record for record in self.records if isinstance(record, RetrainRequest)]
