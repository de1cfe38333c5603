"""The demo's plot: broker, history, first model, live traffic, drift, a better model, calibration again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from stream_app.config import Config, load
from stream_app.demo.facts import Facts
from stream_app.demo.report import make_report
from stream_app.demo.view import render
from stream_app.disk import check_writable, writing
from stream_app.errors import DriftflowError

HISTORY_END = "2013-09-01"
"""The first model is trained on what comes before."""

DATA = "beijing_air_2013.csv.gz"
_SETTLE_S = 60.0
TRAINING_MS = 14 * 86_400_000
"""Event time that a training may cost. At the demo's speed it costs weeks where in life it costs seconds, so on a slow
machine the traffic waits for the trainer, or the season would be over before the better model is there.
"""
_TRAINING_S = 60.0
"""Longest wait for one request."""
_RESTARTS_MAX = 5


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No error: nothing that handles errors stops it on its way."""


def run_demo(options: dict[str, Any]) -> int:
    """Run the demo; returns the exit status. Nothing is left behind, unless asked for."""
    err = Console(stderr=True, highlight=False)
    began = time.time()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise_stopped)
    with ExitStack() as stack:
        try:
            story = Story(options, stack, began)
            story.tell()
            report = make_report(story)
            _hand_over(options, report, err)
            watched = sys.stdout.isatty() and not options["exit_when_done"]
            if options["keep"] or watched:
                err.print(f"Broker {story.bootstrap}, console {story.console_url}. Ctrl-C ends the demo.")
                threading.Event().wait()
            return 0
        except Stopped:
            err.print("Stopped; nothing is left behind.")
            return 130


def _raise_stopped(*_: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # clean-up is under way: a second Ctrl-C must not cut it short
    raise Stopped


def _hand_over(options: dict[str, Any], report: dict[str, Any], err: Console) -> None:
    if options["report"]:
        with writing(Path(options["report"])):
            Path(options["report"]).write_text(json.dumps(report, indent=2) + "\n")
    err.print_json(json.dumps(report))


class Story:
    """One telling. Everything it starts is registered with ``stack`` and ends with it."""

    def __init__(self, options: dict[str, Any], stack: ExitStack, began: float) -> None:
        self.options, self.stack, self.began = options, stack, began
        self.phase = "starting"
        self.produced = 0
        self.trainer_says: list[str] = []
        self.folder = self._make_folder()
        if options["report"]:
            check_writable(Path(options["report"]))
        self.bootstrap = self._start_broker()
        self.config = self._configure()
        self.facts = Facts(self.config)
        self.console_url = ""
        self.restarts = 0
        self.waits = False
        self._late: tuple[int | None, float] = (None, 0.0)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    # Set-up --------------------------------------------------------------------------------------------------------

    def _make_folder(self) -> Path:
        if self.options["folder"]:
            folder = Path(self.options["folder"]).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        folder = Path(tempfile.mkdtemp(prefix="driftflow-demo-"))
        self.stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _start_broker(self) -> str:
        if self.options["bootstrap"]:
            return str(self.options["bootstrap"])
        from stream_app.kafka.embedded import EmbeddedBroker

        return self.stack.enter_context(EmbeddedBroker(self.options["port"])).bootstrap

    def _configure(self) -> Config:
        stream = self.options["stream"]
        text = resources.files("stream_app.demo.example").joinpath("driftflow.toml").read_text()
        text = text.replace('stream = "beijing-air"', f'stream = "{stream}"')
        text = text.replace('events = "beijing.air"', f'events = "{stream}.events"')
        text += f'\n[kafka]\nbootstrap = ["{self.bootstrap}"]\ngroup = "{stream}"\nsession_timeout = "6s"\n'
        path = self.folder / "driftflow.toml"
        path.write_text(text)
        return load(path)

    def _prepare_broker(self) -> None:
        from stream_app.kafka.clients import client_settings
        from stream_app.kafka.preflight import preflight, require
        from stream_app.kafka.topics import ensure_topics

        require(preflight(self.config, "produce"))
        ensure_topics(self.config)
        if self.options["bootstrap"]:
            from stream_app.kafka.reading import log_ends

            if any(log_ends(self.config, client_settings(self.config.kafka, self.config.root)).values()):
                raise DriftflowError(
                    f"topic {self.config.topics.events} on {self.bootstrap} holds events already: "
                    "name another with --stream, or delete the topic"
                )

    def spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a ``driftflow`` command as a child that ends with the demo; its output goes to a log in the folder."""
        log = self.stack.enter_context((self.folder / f"{name}.log").open("ab"))
        command = [sys.executable, "-m", "stream_app.cli", name, "-c", str(self.folder / "driftflow.toml"), *arguments]
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        self.stack.callback(_end, child)
        self._children[name] = child
        return child

    def _start_console(self) -> None:
        from stream_app.console.answers import Store
        from stream_app.console.server import start_in_thread

        handle = start_in_thread(Store.of(self.config), port=self.options["console_port"])
        self.stack.callback(handle.stop)
        self.console_url = handle.url

    # The story -----------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """From an empty broker to the end of the data."""
        screen = Console(stderr=True)
        self._prepare_broker()
        self._start_console()
        with Live(console=screen, auto_refresh=False, transient=False) as live:
            teller = threading.Thread(target=self._act, daemon=True)
            teller.start()
            while teller.is_alive():
                self._check_children()
                self.facts.refresh()
                live.update(render(self), refresh=True)
                teller.join(0.5)
            self.facts.refresh()
            live.update(render(self), refresh=True)
        if self._error is not None:
            raise self._error
        self._check_children()

    _error: BaseException | None = None

    def _act(self) -> None:
        try:
            self._acts()
        except BaseException as error:
            self._error = error

    def _acts(self) -> None:
        from stream_app.models.keys import signing_key
        from stream_app.trainer.bootstrap import bootstrap_until_ms

        history_end = bootstrap_until_ms(self.config, HISTORY_END)
        self.phase = "sending spring and summer 2013"
        self._produce(end_ms=history_end)
        self.phase = "training the first model on spring and summer"
        signing_key(self.config)  # the worker wants to know from the start whose models to trust
        self.spawn("trainer", "--bootstrap-until", HISTORY_END)
        self.spawn("worker")
        self._wait_for(lambda: self.facts.received >= self.produced, 180.0, "the worker to score the history")
        self.phase = "live: autumn and winter 2013/14"
        self._produce(start_ms=history_end, seconds=float(self.options["seconds"]), hold=self._trainer_is_late)
        self.phase = "finishing"
        self._wait_for(lambda: self.facts.received >= self.produced, 60.0, "the worker to catch up")
        self._wait_for(self.facts.settled, _SETTLE_S, "the store to catch up")
        self.phase = "done"

    def _trainer_is_late(self, event_ms: int) -> bool:
        asked_ms = self.facts.awaited_ms
        late = asked_ms is not None and event_ms - asked_ms > TRAINING_MS
        now = time.monotonic()
        if not late or asked_ms != self._late[0]:
            self._late = (asked_ms, now)
        self.waits = late and now - self._late[1] < _TRAINING_S
        return self.waits

    def _produce(
        self, start_ms: int | None = None, end_ms: int | None = None, seconds: float = 0.0, hold: Any = None
    ) -> None:
        from stream_app.kafka.produce import produce_file

        with resources.as_file(resources.files("stream_app.demo.example").joinpath(DATA)) as path:
            base = self.produced

            def progress(n: int) -> None:
                self.produced = base + n

            speedup = None if not seconds else self.facts.live_ms / 1000 / seconds
            counts = produce_file(
                self.config, path, speedup=speedup, start_ms=start_ms, end_ms=end_ms, progress=progress, hold=hold
            )
            self.produced = base + sum(counts.values())

    def _wait_for(self, done: Any, seconds: float, what: str) -> None:
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                raise DriftflowError(f"waited {seconds:.0f} s for {what}:\n{self._logs()}")
            time.sleep(0.2)

    def _check_children(self) -> None:
        """Like a supervisor: a worker that died is started again and goes on from its snapshots."""
        for name, child in list(self._children.items()):
            if child.poll() is None:
                continue
            if name != "worker" or self.restarts >= _RESTARTS_MAX:
                raise DriftflowError(f"the {name} ended with status {child.returncode}:\n{self._logs()}")
            self.restarts += 1
            self.spawn(name)

    def _logs(self) -> str:
        tails = []
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").strip().splitlines()[-8:]
            tails.append(f"--- {path.name}\n" + "\n".join(lines))
        return "\n".join(tails)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
