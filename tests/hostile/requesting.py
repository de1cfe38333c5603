"""Retrain requests of every kind to a trainer as a process, each many times: each is answered exactly once."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kafka import KafkaProducer

from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.intake import take_in
from schemas.records import ModelNotice, OffsetRange, RetrainRequest, record_id
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import log_ends
from stream_app.kafka.signals import read_signals
from stream_app.kafka.topics import prepare
from stream_app.models.keys import request_key
from stream_app.models.registry import Registry
from stream_app.models.signing import sign
from stream_app.stages.partitioning import judge_signals, trainer_signals
from stream_app.stages.score.event_time import time_parser
from tests.hostile.processes import Processes, traceback_in
from tests.integration.stream import Stream

_DAY_MS = 86_400_000
_ANSWERED_S = 240.0
_FAR = 2**40

Change = Callable[[RetrainRequest], dict[str, Any]]


def _ranges(change: dict[str, Any]) -> Change:
    return lambda request: {"train": [msgspec.structs.replace(request.train[0], **change), *request.train[1:]]}


def _every(request: RetrainRequest, change: Callable[[OffsetRange], dict[str, Any]]) -> dict[str, Any]:
    return {"train": [msgspec.structs.replace(part, **change(part)) for part in request.train]}


BAD: dict[str, Change] = {
    "ends past the log": _ranges({"end": 10**9}),
    "ends past every log": _ranges({"end": 2**63 - 1}),
    "starts after its end": _ranges({"start": 50, "end": 10}),
    "starts past the log": _ranges({"start": 10**12, "end": 10**12 + 5}),
    "unknown partition": _ranges({"partition": 4_711}),
    "largest partition": _ranges({"partition": 2**31 - 1}),
    "unknown topic": _ranges({"topic": "nobody.has.this"}),
    "no topic": _ranges({"topic": ""}),
    "another topic": lambda request: _every(request, lambda part: {"topic": part.topic.replace(".events", ".signals")}),
    "no ranges": lambda _: {"train": []},
    "empty ranges": lambda request: _every(request, lambda part: {"end": part.start}),
    "a partition twice": lambda request: {"train": [request.train[0], request.train[0]]},
    "times that end before they start": _ranges({"start_ms": 2 * _FAR, "end_ms": _FAR}),
    "calibrated from the year 3000": lambda _: {"calibrate_from_ms": 32_503_680_000_000},
    "dated in the year 9999": lambda _: {"requested_pane_ms": 253_402_300_799_999},
    "dated a year ahead": lambda request: {"requested_pane_ms": request.requested_pane_ms + 366 * _DAY_MS},
    "dated 1970": lambda _: {"requested_pane_ms": 0},
    "a model that was never there": lambda _: {"model_id": "0" * 16},
    "a long list of slices": lambda _: {"slices": [f"slice {i}" for i in range(50_000)]},
    "of too few rows": lambda request: {"train": [msgspec.structs.replace(request.train[0], end=10)]},
}
"""What is wrong with a request to what it has instead."""


@dataclass(slots=True)
class Answers:
    """What became of the requests.

    Attributes:
        sent: different requests that were genuine.
        answered_once: of them, those with one answer exactly.
        longest_s: how long the slowest refusal took, when nothing else was to be done.
        faults: what was wrong, in words.
    """

    sent: int = 0
    answered_once: int = 0
    longest_s: float = 0.0
    faults: list[str] = field(default_factory=list)


class Requesting:
    """Sends requests to one trainer.

    Args:
        stream: with keys, models and events on its topic.
        seed: of the order.
    """

    def __init__(self, stream: Stream, seed: int) -> None:
        stream.config = prepare(stream.config)
        self._stream, self._chance = stream, random.Random(seed)
        self._key = request_key(stream.config)
        self._client = client_settings(stream.config.kafka)
        self._ends = log_ends(stream.config, self._client)
        self._producer = KafkaProducer(**self._client)
        self._kinds: dict[str, str] = {}
        self._until_ms = time_parser(stream.config.event)("2013-04-08")
        self.answers = Answers()

    def run(self, rounds: int, copies: int) -> Answers:
        """Every kind ``rounds`` times, each request sent ``copies`` times, shuffled; the trainer is killed half-way."""
        with Processes(self._stream.folder) as processes:
            trainer = processes.start("trainer", "trainer")
            self._time_refusals()
            for number in range(rounds):
                self._send_round(number, copies)
                if number == rounds // 2:
                    trainer.kill()
                    processes.all.remove(trainer)
                    trainer = processes.start("trainer", "trainer")
            self._await()
            if trainer.is_alive():
                trainer.stop()
            if found := traceback_in(trainer.log):
                self.answers.faults.append(f"the trainer has said a traceback: {found}")
            self._count(trainer.log)
        self._producer.close()
        return self.answers

    def _time_refusals(self) -> None:
        """A refusal comes within about a second; the first one waits until the trainer is there."""
        for name in ("unknown partition", "unknown partition", "ends past the log", "unknown topic"):
            request = self.request(name, BAD[name])
            began_s = time.monotonic()
            self.send(request, writer=0)
            while request.id not in self.answered() and time.monotonic() - began_s < 60:
                time.sleep(0.05)
            if len(self._kinds) > 1:
                self.answers.longest_s = max(self.answers.longest_s, time.monotonic() - began_s)

    def _send_round(self, number: int, copies: int) -> None:
        writers = self._stream.config.topics.partitions
        kinds: dict[str, Change] = {"genuine": lambda _: {}, **BAD}
        for name in self._chance.sample(sorted(kinds), len(kinds)):
            request = self.request(name, kinds[name])
            self.send(request, self._chance.randrange(writers), copies)
        self.send_forged(self.request("forged"))

    def request(self, name: str, change: Change = lambda _: {}) -> RetrainRequest:
        """A request with a pane later than the ones before."""
        number, topic = len(self._kinds), self._stream.config.topics.events
        pane_ms = self._until_ms + number
        train = [
            OffsetRange(topic=topic, partition=p, start=0, end=end, start_ms=0, end_ms=pane_ms)
            for p, end in self._ends.items()
        ]
        request = RetrainRequest(
            id=record_id("requesting", number, self._stream.name),
            stream=self._stream.config.stream,
            reason="drift",
            slices=["Dongsi"],
            alerts=[],
            model_id=Registry(self._stream.config).history()[-1].model_id,
            requested_pane_ms=pane_ms,
            train=train,
            calibrate_from_ms=pane_ms - 14 * _DAY_MS,
        )
        request = msgspec.structs.replace(request, **change(request))
        self._kinds[request.id] = name
        return request

    def _message(self, request: RetrainRequest, writer: int) -> WireMessage:
        source = f"/driftflow/{request.stream}/{f'operator/{writer}' if writer else 'judge'}"
        return encode_event(Envelope(request, request.id, source, request.requested_pane_ms))

    def send(self, request: RetrainRequest, writer: int, copies: int = 1) -> None:
        """As JUDGE, or as an operator of that number; signed."""
        message = sign(self._message(request, writer), self._key)
        for _ in range(copies):
            self._put(message)

    def send_forged(self, request: RetrainRequest) -> None:
        """Not signed, and signed for another request: never answered."""
        plain = self._message(request, 0)
        other = sign(self._message(self.request("forged"), 0), self._key)
        stolen = tuple(header for header in other.headers if header[0].startswith("df-"))
        for headers in (plain.headers, (*plain.headers, *stolen)):
            self._put(WireMessage(plain.value, headers))

    def _put(self, message: WireMessage) -> None:
        topics = self._stream.config.topics
        self._producer.send(
            topics.signals,
            value=message.value,
            headers=list(message.headers),
            partition=judge_signals(topics.partitions),
        ).get(20)

    def answered(self) -> Counter[str]:
        """How often each request is answered on the trainer's partition."""
        config, answers = self._stream.config, Counter[str]()
        for message in read_signals(config):
            if message.partition == trainer_signals(config.topics.partitions):
                notice = take_in("signals", config.stream, message.value, message.headers)
                if isinstance(notice, ModelNotice):
                    answers[notice.request_id] += 1
        return answers

    def _await(self) -> None:
        genuine = {request_id for request_id, kind in self._kinds.items() if kind != "forged"}
        until_s = time.monotonic() + _ANSWERED_S
        while not genuine <= self.answered().keys() and time.monotonic() < until_s:
            time.sleep(0.5)
        time.sleep(1.0)  # for a second answer to come, if one comes

    def _count(self, log: str) -> None:
        answered = self.answered()
        for request_id, kind in self._kinds.items():
            expected = 0 if kind == "forged" else 1
            self.answers.sent += expected
            self.answers.answered_once += expected and answered[request_id] == 1
            if answered[request_id] != expected:
                said = [line for line in log.splitlines() if request_id[:8] in line][-3:]
                self.answers.faults.append(f"{kind} ({request_id}): answered {answered[request_id]} times; {said}")
