"""How long a process takes from SIGTERM to its end, in states in which ending is not easy."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stream_app.kafka.embedded import EmbeddedBroker, free_port
from tests.hostile.processes import Process, Processes, traceback_in
from tests.integration.stream import Stream

Rows = list[tuple[bytes | None, bytes | None]]
MakeStream = Callable[..., Stream]

_READY_S = 60.0


class Stops:
    """Stops processes in awkward states.

    Args:
        make: makes a stream with keys and two models: ``make(bootstrap, extra)``.
        rows: some thousand events.

    Attributes:
        took_s: state to the seconds from SIGTERM to the end.
        hung: states in which it did not end.
        faults: what was wrong, in words.
    """

    def __init__(self, make: MakeStream, rows: Rows) -> None:
        self._make, self._rows = make, rows
        self.took_s: dict[str, float] = {}
        self.hung: list[str] = []
        self.faults: list[str] = []

    def run(self, tell: Callable[[str], None]) -> None:
        """All of them, each on a broker of its own."""
        for state in (
            self.sink_silent,
            self.sink_dripping,
            self.broker_killed,
            self.broker_paused,
            self.mid_training,
            self.without_a_model,
            self.console_in_use,
        ):
            state()
            tell(f"stopped: {state.__name__.replace('_', ' ')}")

    def sink_silent(self) -> None:
        """InfluxDB takes the connection and says nothing."""
        with _listening(lambda link: time.sleep(600)) as port, EmbeddedBroker() as broker:
            self._with_sink("sink silent", broker.bootstrap, port)

    def sink_dripping(self) -> None:
        """InfluxDB says one byte of a header a second."""
        with _listening(_drip) as port, EmbeddedBroker() as broker:
            self._with_sink("sink dripping", broker.bootstrap, port)

    def _with_sink(self, state: str, bootstrap: str, port: int) -> None:
        stream = self._make(bootstrap, f'[sink]\nkind = "influx"\nurl = "http://127.0.0.1:{port}"\n')
        with Processes(stream.folder) as processes:
            worker = self._working(stream, processes)
            time.sleep(1.0)  # into the write that hangs
            self._stop(state, worker)

    def broker_killed(self) -> None:
        """No broker any more: worker and trainer try to reach it."""
        with EmbeddedBroker() as broker:
            stream = self._make(broker.bootstrap, "")
            with Processes(stream.folder) as processes:
                worker, trainer = self._working(stream, processes), self._training(processes)
                broker.stop()
                time.sleep(3.0)
                self._stop("broker killed, worker", worker, (0, 1))
                self._stop("broker killed, trainer", trainer, (0, 1))

    def broker_paused(self) -> None:
        """The broker holds its connections and says nothing."""
        with EmbeddedBroker() as broker:
            stream = self._make(broker.bootstrap, "")
            with Processes(stream.folder) as processes:
                worker, trainer = self._working(stream, processes), self._training(processes)
                assert broker.pid is not None
                os.kill(broker.pid, signal.SIGSTOP)
                try:
                    time.sleep(3.0)
                    self._stop("broker paused, worker", worker, (0, 1))
                    self._stop("broker paused, trainer", trainer, (0, 1))
                finally:
                    os.kill(broker.pid, signal.SIGCONT)

    def mid_training(self) -> None:
        """A training that takes minutes."""
        with EmbeddedBroker() as broker:
            stream = self._make(broker.bootstrap, "")
            shutil.rmtree(stream.folder / "models")  # none of which may cover the request
            toml = stream.toml.read_text().replace("max_steps = 200", "max_steps = 1000000")
            stream.toml.write_text(toml)
            stream.produce(self._rows)
            with Processes(stream.folder) as processes:
                trainer = processes.start("trainer", "trainer", "--bootstrap-until", "2013-03-20")
                _wait(lambda: "training on" in trainer.log, trainer, "the training")
                time.sleep(2.0)
                self._stop("mid-training", trainer)

    def without_a_model(self) -> None:
        """A worker that waits for its first model, with events to score."""
        with EmbeddedBroker() as broker:
            stream = self._make(broker.bootstrap, "")
            stream.produce(self._rows[:500])
            with Processes(stream.folder) as processes:
                worker = processes.start("worker", "worker")
                _wait(lambda: bool(stream.status()), worker, "its status")
                time.sleep(1.0)
                self._stop("without a model", worker)

    def console_in_use(self) -> None:
        """A console with a client that holds its connection and has sent half a request."""
        stream, port = self._make("127.0.0.1:1", ""), free_port()
        with Processes(stream.folder) as processes:
            console = processes.start("console", "console", "--port", str(port))
            _wait(lambda: _accepts(port), console, "the page")
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(b"GET /api/overview HTTP/1.1\r\nHost: localhost\r\n")
                time.sleep(0.5)
                self._stop("console in use", console, (0, -signal.SIGTERM))

    # Parts ---------------------------------------------------------------------------------------------------------

    def _working(self, stream: Stream, processes: Processes) -> Process:
        """A worker in the midst of it: some events are done, and more come."""
        stream.publish()
        worker = processes.start("worker", "worker")
        stream.produce(self._rows[:1_000])
        _wait(lambda: stream.received() >= 1_000, worker, "the first events")
        stream.produce(self._rows[1_000:])
        return worker

    def _training(self, processes: Processes) -> Process:
        trainer = processes.start("trainer", "trainer")
        _wait(lambda: "waiting for retrain requests" in trainer.log, trainer, "the trainer")
        return trainer

    def _stop(self, state: str, process: Process, statuses: tuple[int, ...] = (0,)) -> None:
        if not process.is_alive():
            status = process.child.returncode
            self.faults.append(f"{state}: it had ended by itself with {status}: {process.log[-1_500:]}")
            return
        took_s = process.stop()
        if took_s is None:
            self.hung.append(state)
            self.faults.append(f"{state}: not ended after a minute: {process.log[-1_500:]}")
            return
        self.took_s[state] = took_s
        if process.child.returncode not in statuses:
            self.faults.append(f"{state}: ended with {process.child.returncode}: {process.log[-1_500:]}")
        if found := traceback_in(process.log):
            self.faults.append(f"{state}: a traceback: {found}")


@contextmanager
def _listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server; each connection has a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_quietly, args=(answer, link), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def _quietly(answer: Callable[[socket.socket], None], link: socket.socket) -> None:
    with link:
        try:
            answer(link)
        except OSError:
            return


def _drip(link: socket.socket) -> None:
    for byte in b"HTTP/1.1 204 No Content\r\nX-Slow: " + b"x" * 600:
        link.sendall(bytes([byte]))
        time.sleep(1.0)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait(done: Callable[[], bool], process: Process, what: str) -> None:
    until_s = time.monotonic() + _READY_S
    while not done():
        assert process.is_alive(), f"{process.name} ended while waiting for {what}:\n{process.log[-3_000:]}"
        assert time.monotonic() < until_s, f"waited {_READY_S:.0f} s for {what}:\n{process.log[-3_000:]}"
        time.sleep(0.1)
