"""The consumers of the signals topic: the trainer, without a broker and with no rows to train on, and ``signals``."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from kafka import TopicPartition
from rich.console import Console

from schemas.intake import take_in
from schemas.records import DeadLetter, ModelNotice
from stream_app.config import Config
from stream_app.kafka import signals
from stream_app.models.keys import Trust
from stream_app.models.marks import Marks
from stream_app.stages.partitioning import judge_signals, trainer_signals
from stream_app.trainer.requests.believing import Asked, believed
from stream_app.trainer.requests.checking import Held, Seen
from stream_app.trainer.trainer import Trainer
from tests.hostile.cases import Case
from tests.hostile.checker import Ledger, letter_of
from tests.hostile.feed import record
from tests.hostile.world import EVENTS_END, World
from tests.trainer.fakes import FakeProducer

_LAST = 50_000
"""Number of the good request: its pane is after those of all cases that can be right."""


class Poll:
    """A consumer that brings all records with its first poll, and keeps what was committed."""

    def __init__(self, records: list[Any]) -> None:
        self._records = records
        self.committed = 0

    def poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        """Everything; then nothing."""
        records, self._records = self._records, []
        return {TopicPartition(records[0].topic, records[0].partition): records} if records else {}

    def commit(self, offsets: dict[Any, Any], timeout_ms: int) -> None:
        """Keep how far it is."""
        self.committed = max(place.offset for place in offsets.values())


class Requests:
    """Messages of the signals topic to the trainer: the cases, a request, and that one again."""

    first = 3

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.signals
        self._width = world.config.topics.partitions
        self.partition = judge_signals(self._width)
        self._behind = world.request(_LAST)
        self._sent_by_trainer = trainer_signals(self._width)

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`."""
        values = [*((case.value, case.headers) for case in cases), *2 * [(self._behind.value, self._behind.headers)]]
        records = [record(self.topic, n, *one, partition=self.partition) for n, one in enumerate(values, self.first)]
        with self._trainer() as (trainer, producer, config):
            poll = Poll(records)
            trainer._round(poll)
            assert poll.committed == self.first + len(records), f"committed up to {poll.committed}"
            letters = self._letters(producer)
            self._check_answers(config, records, producer)
        assert not {self.first + len(cases), self.first + len(cases) + 1} & letters.keys(), "a good request was refused"
        return {place: letters.get(self.first + place) for place in range(len(cases))}

    def _letters(self, producer: FakeProducer) -> dict[int, DeadLetter]:
        config = self._world.config
        sent = [one for one in producer.sent if one.topic == config.topics.dead_letters]
        letters = [letter_of(config, one.value, one.headers) for one in sent]
        assert len({letter.offset for letter in letters}) == len(letters), "two dead letters of one message"
        return {letter.offset: letter for letter in letters}

    def _check_answers(self, config: Config, records: list[Any], producer: FakeProducer) -> None:
        """Every request that is believed has one answer on the trainer's partition, however often it was sent."""
        trusted = Trust.of_requests(config).keys()
        taken = [believed(config, trusted, one) for one in records]
        asked = {one.request.id for one in taken if isinstance(one, Asked)}
        answers = Counter(
            notice.request_id for notice in self._notices(producer) if notice.status in ("refused", "covered")
        )
        assert set(answers) == asked, "not every request is answered, or something else is"
        assert set(answers.values()) == {1}, "a request is answered more than once"

    def _notices(self, producer: FakeProducer) -> Iterator[ModelNotice]:
        for one in producer.sent:
            if (one.topic, one.partition) == (self.topic, self._sent_by_trainer):
                notice = take_in("signals", self._world.config.stream, one.value, one.headers)
                assert isinstance(notice, ModelNotice), notice
                yield notice

    @contextmanager
    def _trainer(self) -> Iterator[tuple[Trainer, FakeProducer, Config]]:
        """A trainer with a folder of its own, whose topic holds events of which none can be read."""
        producer, held = FakeProducer(), {number: Held(0, EVENTS_END) for number in range(self._width)}
        seen = Seen(self._width, held, newest_ms=20_000 + 1_000 * _LAST)
        with tempfile.TemporaryDirectory() as folder, ExitStack() as patches:
            shutil.copytree(self._world.folder / "keys", Path(folder) / "keys")
            config = msgspec.structs.replace(self._world.config, root=folder)
            for name, value in {
                "delivery.make_producer": lambda _: producer,
                "delivery.Delivery._read": lambda *_: None,
                "answering.look": lambda *_: seen,
                "trying.read_ranges": lambda *_: iter(()),
                "requests.saying.Saying.poll": lambda _: [],
            }.items():
                patches.enter_context(mock.patch(f"stream_app.trainer.{name}", value))
            yield Trainer(config, {}, lambda _: None), producer, config


class Tail:
    """Messages of the signals topic to ``driftflow signals``, in each form: a line each."""

    partition, first = 1, 11

    def __init__(self, world: World) -> None:
        self._world = world
        self.topic = world.config.topics.signals
        self._behind = next(world.signals())

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`. What it refuses stands in a line, and in no dead letter."""
        values = [*((case.value, case.headers) for case in cases), (self._behind.value, self._behind.headers)]
        records = [record(self.topic, n, *one, partition=self.partition) for n, one in enumerate(values, self.first)]
        lines = [msgspec.json.decode(line) for line in self._said(records, "json").splitlines()]
        assert len(lines) == len(records)
        for form in ("table", "line"):
            assert len(self._said(records, form).splitlines()) == len(records), f"not one line for each: {form}"
        assert lines[-1].get("type") == "driftflow.incident.v1", lines[-1]
        return {place: self._letter(line, records[place]) for place, line in enumerate(lines[: len(cases)])}

    def _said(self, records: list[Any], form: Any) -> str:
        out = Console(file=io.StringIO(), width=120, color_system=None, force_terminal=False)
        with mock.patch.object(signals, "read_signals", return_value=iter(records)):
            signals.tail_signals(
                self._world.config, out, Marks(self._world.config).is_trusted, form=form, everything=True
            )
        said: str = out.file.getvalue()  # type: ignore[attr-defined]
        return said

    def _letter(self, line: dict[str, Any], one: Any) -> DeadLetter | None:
        if "refused" not in line:
            return None
        value = one.value or b""
        return DeadLetter(
            id="",
            stream="s",
            topic=line["topic"],
            partition=line["partition"],
            offset=line["offset"],
            reason=line["refused"],
            field="",
            detail=line["detail"],
            sha256=hashlib.sha256(value).hexdigest(),
            size=len(value),
            body=b"",
        )


def for_people(cases: Iterator[Case]) -> Iterator[Case]:
    """The same cases for who only reads: what is not signed, or by a stranger, is shown and marked."""
    about_signatures = ("sign", "header", "bit flipped")
    for case in cases:
        if any(word in case.kind for word in about_signatures):
            yield replace(case, usable=None)
        else:
            yield case
