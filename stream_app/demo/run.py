"""The demo's run: broker, history, first model, live traffic, drift, a better model, calibration again.

The traffic stands at *marks*, every ten days of event time, until all that it has brought about is done: every event
scored and stored, every retrain request answered, every promoted model in service. So every run says the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from flowlib.table import DAY_MS
from stream_app.config import Config, load
from stream_app.console.acting import Answer, Desk
from stream_app.console.answers import Store
from stream_app.console.server import start_in_thread
from stream_app.demo.children import Children, TrainerLine
from stream_app.demo.facts import Facts
from stream_app.demo.progress import Progress, Season
from stream_app.demo.report import make_report, played_ms
from stream_app.demo.view import render
from stream_app.demo.waiting import Waiting
from stream_app.disk import check_writable, writing
from stream_app.errors import DriftflowError
from stream_app.incident_causes import together
from stream_app.incident_lines import is_over, newest, reaching, show, story
from stream_app.kafka.actions import action_message, new_action, send_action
from stream_app.kafka.clients import client_settings
from stream_app.kafka.embedded import EmbeddedBroker
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.produce import produce_file
from stream_app.kafka.reading import log_ends
from stream_app.kafka.topics import prepare
from stream_app.models.keys import operator_key, signing_key
from stream_app.models.keys.commands import new_key
from stream_app.models.registry import Registry
from stream_app.models.signing import sign
from stream_app.trainer.shadow.state import CandidateFile

DATA = "beijing_air_2013.csv.gz"

_REFRESH_S = 0.3
_INCIDENTS_TOLD = 12
_LASTS_MS = 40 * DAY_MS
"""A drift that has been open for so long is called the new normal, as a person would who knows of the seasons."""
_FOLDS = "folds"
"""The demo's models do not depend on its keys, which are others in every run."""
_YOUNG_MS = 10 * DAY_MS
"""Others that have been open for so long are called so with it."""
_BY = "the demo"
_WHY = "it has lasted for weeks, and is the season"
_SETTINGS = (
    ("[windows]\n", '[windows]\nidle_after = "52w"\n'),  # nobody is idle because the traffic stands at a mark
    ("[model]\n", '[model]\nengine = "fused"\n'),  # "auto" measures which is faster: the answer may differ by run
)
"""What the demo adds to the example's configuration, so that nothing in it is decided by the clock."""


_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What ends the demo: a request, Ctrl-C, or a terminal that was closed."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM."""


def run_demo(options: dict[str, Any]) -> int:
    """Run the demo; returns the exit status. Nothing is left behind, unless asked for."""
    err = Console(stderr=True, highlight=False, emoji=False)
    for number in _STOPPING:
        signal.signal(number, _raise_stopped)
    with ExitStack() as stack:
        try:
            demo = Demo(options, stack)
            report = demo.run()
            _hand_over(options, report, err)
            demo.tell(err)
            watched = sys.stdout.isatty() and not options["exit_when_done"]
            if options["keep"] or watched:
                err.print(f"Broker {demo.bootstrap}, console {demo.console_url}. Ctrl-C ends the demo.")
                err.print(demo.way_in, soft_wrap=True)
                threading.Event().wait()
            return 0
        except Stopped:
            err.print("Stopped; nothing is left behind.")
            return 130


def _raise_stopped(*_: Any) -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)  # clean-up is under way: a second Ctrl-C must not cut it short
    raise Stopped


def _hand_over(options: dict[str, Any], report: dict[str, Any], err: Console) -> None:
    if options["report"]:
        with writing(Path(options["report"])):
            Path(options["report"]).write_text(json.dumps(report, indent=2) + "\n")
    err.print_json(json.dumps(report))


class Demo:
    """One run. Everything it starts is registered with ``stack`` and ends with it.

    Args:
        options: of the command line, by name.
        stack: whose closing ends the run.
        season: the part of the year that is played.
    """

    def __init__(self, options: dict[str, Any], stack: ExitStack, season: Season | None = None) -> None:
        self._options, self._stack, self._season = options, stack, season or Season()
        self._began = time.time()
        self._phase, self._produced = "starting", 0
        self._failure: BaseException | None = None
        self._folder = self._make_folder()
        if options["report"]:
            check_writable(Path(options["report"]))
        self.bootstrap = self._start_broker()
        self.config = self._prepare_broker(self._configure())
        self.console_url = self.way_in = ""
        self._facts = Facts(self.config)
        self._approved: set[str] = set()
        self._children = Children(self._folder, stack)
        self._waiting = Waiting(lambda: self._facts.moving, self._children.logs)

    # Set-up --------------------------------------------------------------------------------------------------------

    def _make_folder(self) -> Path:
        if not self._options["folder"]:
            folder = Path(tempfile.mkdtemp(prefix="driftflow-demo-"))
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
        folder = Path(self._options["folder"]).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "state").exists():
            raise DriftflowError(f"{folder} holds an earlier run of the demo: remove it, or name another with --dir")
        return folder

    def _start_broker(self) -> str:
        if self._options["bootstrap"]:
            return str(self._options["bootstrap"])
        return self._stack.enter_context(EmbeddedBroker(self._options["port"])).bootstrap

    def _configure(self) -> Config:
        stream = self._options["stream"]
        text = resources.files("stream_app.demo.example").joinpath("driftflow.toml").read_text()
        names = (
            ('stream = "beijing-air"', f'stream = "{stream}"'),
            ('events = "beijing.air"', f'events = "{stream}.events"'),
        )
        for old, new in (*names, *_SETTINGS):
            assert text.count(old) == 1, f"the example's configuration has no line {old!r}"
            text = text.replace(old, new)
        text += f'\n[kafka]\nbootstrap = ["{self.bootstrap}"]\ngroup = "{stream}"\nsession_timeout = "6s"\n'
        text += f'\n[trainer]\nfolds_file = "{_FOLDS}"\n'
        (self._folder / _FOLDS).write_bytes(hashlib.sha256(b"the demo's, known to everybody").digest())
        path = self._folder / "driftflow.toml"
        path.write_text(text)
        return load(path)

    def _prepare_broker(self, config: Config) -> Config:
        require(preflight(config, "produce"))
        config = prepare(config)
        client = client_settings(config.kafka, config.root)
        if self._options["bootstrap"] and any(log_ends(config, client).values()):
            raise DriftflowError(
                f"topic {config.topics.events} on {self.bootstrap} holds events already: "
                "name another with --stream, or delete the topic"
            )
        return config

    def _start_console(self) -> None:
        new_key(self.config, "operator")  # the page takes answers then, as a person's own console does
        self._desk = Desk(self.config)
        handle = start_in_thread(Store.of(self.config), port=self._options["console_port"], desk=self._desk)
        self._stack.callback(handle.stop)
        self.console_url, self.way_in = handle.url, self._desk.way_in(handle.url)

    # The run -------------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """From an empty broker to the end of the data; returns the report.

        Raises:
            DriftflowError: a part of it failed, or does not go on.
        """
        self._start_console()
        with Live(console=Console(stderr=True), auto_refresh=False, transient=False) as live:
            thread = threading.Thread(target=self._run_steps, daemon=True)
            thread.start()
            while thread.is_alive():
                self._children.check()
                self._show(live)
                thread.join(_REFRESH_S)
            self._show(live)
        self._children.check()
        if self._failure is not None:
            raise self._failure
        return make_report(self._facts, self._progress)

    def tell(self, err: Console) -> None:
        """Say what a person wants to know in the end: what is open, what is over, how often people heard of it."""
        facts = self._facts
        for part in story(together(newest(facts.messages).values()), facts.strange, _INCIDENTS_TOLD):
            show(err, part)
        show(err, reaching(facts.messages, facts.strange, played_ms(facts, self._progress)))

    def _show(self, live: Live) -> None:
        self._facts.refresh()
        live.update(render(self._facts, self._progress), refresh=True)

    @property
    def _progress(self) -> Progress:
        return Progress(
            season=self._season,
            began=self._began,
            phase=self._phase,
            waits_for=self._waiting.what,
            produced=self._produced,
            restarts=self._children.restarts,
            console_url=self.console_url,
        )

    def _run_steps(self) -> None:
        try:
            self._steps()
        except BaseException as error:
            self._failure = error

    def _steps(self) -> None:
        self._phase = "sending spring and summer 2013"
        self._produce(self._season.start_ms, self._season.live_ms, None)
        self._phase = "training the first model on spring and summer"
        signing_key(self.config)  # the worker wants to know from the start whose models to trust
        trainer = self._children.start_trainer(self._season.live_ms)
        self._children.start_worker()
        self._waiting.wait("the first model", trainer.replied)
        self._phase = "scoring spring and summer"
        self._stand(trainer)
        self._phase = "live: autumn and winter 2013/14"
        self._produce(self._season.live_ms, self._season.end_ms, trainer)
        self._phase = "finishing"
        self._stand(trainer)
        self._phase = "done"

    def _produce(self, start_ms: int, end_ms: int, trainer: TrainerLine | None) -> None:
        """Send the events of a span; with a trainer at the speed that was asked for, and standing at the marks."""
        mark_ms = self._season.next_mark(start_ms)

        def hold(event_ms: int) -> None:
            nonlocal mark_ms
            if trainer is not None and event_ms >= mark_ms:
                self._stand(trainer)
                mark_ms = self._season.next_mark(event_ms)
            self._produced += 1

        speedup = (end_ms - start_ms) / 1000 / max(self._options["seconds"], 1e-3) if trainer is not None else None
        with resources.as_file(resources.files("stream_app.demo.example").joinpath(DATA)) as path:
            produce_file(self.config, path, speedup=speedup, start_ms=start_ms, end_ms=end_ms, hold=hold)

    def _stand(self, trainer: TrainerLine) -> None:
        """Wait until everything that the events sent so far have brought about is done."""
        facts = self._facts
        self._waiting.wait("the worker to take in every event", lambda: (facts.settled or 0) >= self._produced)
        trainer.ask()
        self._waiting.wait("the trainer to compare and to answer", trainer.replied)
        self._waiting.wait("the newest model to be in service", self._newest_model_is_in_service)
        self._accept()
        self._approve(trainer)

    def _accept(self) -> None:
        """Say of drifts, as a person would once one has lasted, that they are the new normal."""
        lasting = self._facts.lasting(_LASTS_MS)
        for incident in self._facts.lasting(_YOUNG_MS) if lasting else ():
            self._desk.send(Answer("accept", incident.id, by=_BY, why=_WHY))
            self._waiting.wait("the worker to take in that a drift is accepted", partial(self._is_over, incident.id))

    def _approve(self, trainer: TrainerLine) -> None:
        """Say yes to a model that waits for a person; the traffic stands until the trainer has heard of it."""
        for model_id in sorted(self._facts.waiting() - self._approved):
            self._approved.add(model_id)
            at_ms = self._facts.event_time_ms  # it stands in the model, whose id does not depend on the clock
            action = new_action(self.config.stream, "approve", _BY, at_ms, model=model_id, why=_WHY)
            send_action(self.config, sign(action_message(action), operator_key(self.config)))
            while self._waits(model_id):
                trainer.ask()
                self._waiting.wait("the trainer to take in that a model is approved", trainer.replied)

    def _waits(self, model_id: str) -> bool:
        candidate = CandidateFile(self.config).load()
        return candidate is not None and candidate.phase == "waiting" and candidate.model_id == model_id

    def _is_over(self, incident_id: str) -> bool:
        return is_over(newest(self._facts.messages)[incident_id])

    def _newest_model_is_in_service(self) -> bool:
        """On every source partition; and the store shows what has become of it and of every other."""
        registry = Registry(self.config)
        said = {notice.model_id: notice.status for notice in registry.notices() if notice.status != "covered"}
        shown = {model["model_id"]: model["status"] for model in self._facts.models}
        return said.items() <= shown.items() and not self._facts.out_of_service(registry.in_service())
