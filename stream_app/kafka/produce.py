"""``driftflow produce``: a file onto the events topic, at full speed or paced by event time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kafka import KafkaProducer
from kafka.errors import KafkaError
from rich.console import Console

from stream_app.config import Config
from stream_app.errors import DriftflowError, Interrupted
from stream_app.event_files import Report, read_rows, read_timed_rows
from stream_app.kafka.clients import client_settings
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.partitioning import partition_for
from stream_app.stages.score.formats.encoding import Encode, encoder_of
from stream_app.stages.score.rejects import Undecodable
from stream_app.terminal import progress_bar

_PROGRESS_S = 0.25
_FLUSH_S = 60.0

Hold = Callable[[int], None]
"""Called with the time (ms) of each event before it is sent; the event waits until it returns."""

Progress = Callable[[int], None]
"""Takes the number of events sent so far."""


@dataclass(frozen=True, slots=True)
class _Row:
    """An event of the file, and its place there."""

    number: int
    key: bytes | None
    value: bytes
    event_ms: int | None


class _Pace:
    """Sleeps so that event time runs ``speedup`` times as fast as the clock. Time lost in a hold is made up for."""

    def __init__(self, speedup: float | None, hold: Hold | None) -> None:
        assert speedup is None or speedup > 0
        self._speedup, self._hold = speedup, hold
        self._first: tuple[int, float] | None = None

    def wait(self, event_ms: int | None) -> None:
        if event_ms is None:
            return
        if self._hold is not None:
            self._hold(event_ms)
        if self._speedup is None:
            return
        if self._first is None:
            self._first = event_ms, time.monotonic()
        first_ms, first_s = self._first
        ahead_s = (event_ms - first_ms) / 1000 / self._speedup - (time.monotonic() - first_s)
        if ahead_s > 0.002:
            time.sleep(ahead_s)


class _Sender:
    """Sends in order and keeps the first error: none is swallowed, and nothing is sent after it."""

    def __init__(self, config: Config, partitions: int) -> None:
        # Idempotent by default where the broker can, which keeps order with several requests in flight.
        self._producer = KafkaProducer(
            **client_settings(config.kafka, config.root), acks="all", linger_ms=20, batch_size=256 * 1024
        )
        self._topic, self._partitions = config.topics.events, partitions
        self._error: BaseException | None = None
        self.counts: dict[int, int] = {}

    def send(self, row: _Row) -> None:
        self.check()
        partition = partition_for(row.key, self._partitions, row.number)
        pending = self._producer.send(self._topic, key=row.key, value=row.value, partition=partition)
        pending.add_errback(self._failed)
        self.counts[partition] = self.counts.get(partition, 0) + 1

    def _failed(self, error: BaseException) -> None:
        self._error = self._error or error

    def check(self) -> None:
        if self._error is not None:
            raise DriftflowError(f"the broker refused an event on {self._topic}: {self._error}")

    def finish(self) -> None:
        self._producer.flush(timeout=_FLUSH_S)
        self.check()

    def close(self) -> None:
        self._producer.close(timeout=5)


def run_produce(config: Config, file: Path, speedup: float | None, err: Console, max_dropped: float = 0.01) -> None:
    """Send a file, with a progress bar; tell which rows cannot be read.

    Raises:
        TooManyDropped: of the file's rows, a larger share than ``max_dropped``; the others are sent.
        DriftflowError: the file cannot be read, or ends early, or the broker did not take an event.
    """
    require(preflight(config, "produce"))
    total, report, sent = sum(1 for _ in read_rows(file, config, Report())), Report(), 0
    with progress_bar(err) as bar:
        task = bar.add_task("sending", total=total)

        def progress(n: int) -> None:
            nonlocal sent
            sent = n
            bar.update(task, completed=n)

        try:
            counts = produce_file(config, file, speedup=speedup, progress=progress, report=report)
        except KeyboardInterrupt:
            raise Interrupted(_how_far(config, sent, total)) from None
    err.print(
        f"{sum(counts.values()):,} events on {config.topics.events}: "
        + ", ".join(f"partition {p}: {n:,}" for p, n in sorted(counts.items()))
    )
    report.tell(err)
    report.check(file, max_dropped)


def _how_far(config: Config, sent: int, total: int) -> str:
    """What is on the topic after Ctrl-C."""
    once = (
        f"the same command sends them again, as duplicates (event.id_field = {config.event.id_field})"
        if config.event.id_field
        else "sent again they count twice, since no event.id_field tells events apart: send the rest of the file"
    )
    return f"interrupted: {sent:,} of {total:,} rows are on {config.topics.events}; {once}"


def produce_file(
    config: Config,
    path: str | Path,
    speedup: float | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    progress: Progress | None = None,
    hold: Hold | None = None,
    report: Report | None = None,
) -> dict[int, int]:
    """Send the events of a file to the events topic, in file order; return how many went to each partition.

    Args:
        config: the configuration; the topics are created where they are missing.
        path: CSV, JSON lines or Parquet, gzipped or not.
        speedup: event time runs this many times as fast as the clock; None is as fast as the broker takes it.
        start_ms: event time from which rows are sent. Rows whose time cannot be read are sent whatever the range.
        end_ms: event time before which rows are sent.
        progress: called now and then, and at the end, with the number of events sent.
        hold: called before each event that has a time, with that time; the event waits until it returns.
        report: takes note of rows that cannot be read; without one the first of them is an error.

    Raises:
        DriftflowError: the file cannot be read, its rows have no form in ``event.format``, or the broker did not take
            an event.
    """
    encode, partitions = encoder_of(config.event), ensure_topics(config)[config.topics.events]
    try:
        sender = _Sender(config, partitions)
    except KafkaError as error:
        raise DriftflowError(f"cannot connect to {', '.join(config.kafka.bootstrap)}: {error}") from error
    try:
        _send_all(
            sender,
            _encoded(_rows(path, config, start_ms, end_ms, report), encode, path, report),
            _Pace(speedup, hold),
            progress or (lambda _: None),
        )
        sender.finish()
    except KafkaError as error:
        raise DriftflowError(f"cannot send to {config.topics.events}: {error}") from error
    finally:
        sender.close()
    return dict(sorted(sender.counts.items()))


def _rows(
    path: str | Path, config: Config, start_ms: int | None, end_ms: int | None, report: Report | None
) -> Iterator[_Row]:
    """Rows of a file whose event time lies in ``[start_ms, end_ms)``, and those whose time cannot be read."""
    for number, (key, value, event_ms) in enumerate(read_timed_rows(path, config, report)):
        early = event_ms is not None and start_ms is not None and event_ms < start_ms
        late = event_ms is not None and end_ms is not None and event_ms >= end_ms
        if not early and not late:
            yield _Row(number, key, value, event_ms)


def _encoded(rows: Iterable[_Row], encode: Encode, path: str | Path, report: Report | None) -> Iterator[_Row]:
    """Rows as the bodies of ``event.format``; those that have none are told as rows that cannot be read are."""
    for row in rows:
        try:
            yield replace(row, value=encode(row.value))
        except Undecodable as error:
            if report is None:
                raise DriftflowError(f"{path}, row {row.number + 1:,} cannot be sent: {error.detail}") from error
            report.unreadable(report.number, error.reason, error.detail)


def _send_all(sender: _Sender, rows: Iterable[_Row], pace: _Pace, progress: Progress) -> None:
    sent, reported_s = 0, time.monotonic()
    try:
        for row in rows:
            pace.wait(row.event_ms)
            sender.send(row)
            sent += 1
            if sent % 256 == 0 and time.monotonic() - reported_s > _PROGRESS_S:
                reported_s = time.monotonic()
                progress(sent)
    finally:
        progress(sent)
