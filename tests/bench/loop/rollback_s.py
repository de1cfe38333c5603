"""A bad model in service: how soon the former is back, by itself and by one command.

Worker and trainer as processes of their own on Apache Kafka. The trainer makes a first and a second model; then its
gates are broken, and two models come under which nothing is strange: they never alarm. ``rollback_s`` is the longer of
both, each from when the worker has decided to score by the bad model to when it has decided, on every source partition,
to score by the second one again:

- ``by_itself_s``: events of a day after the other come as fast as the broker takes them (``events_s``); after
  ``events`` of them, ``panes`` panes, it was noticed. ``design``: how many alarms of this stream count as one.
- ``by_command_s``: a person says ``driftflow models rollback``; the start of the command is within.

``one_truth``: worker, registry and ``driftflow models list`` name the same model afterwards; and once the notice of the
first model was sent again, by hand and signed (``after_an_old_notice``).
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from dataclasses import replace
from typing import Any

import numpy as np

from flowlib.density import Density
from schemas.records import ServiceChange
from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import prepare
from stream_app.models.registry import Registry
from stream_app.trainer import training
from stream_app.trainer.publishing import make_producer, publish
from tests.bench.loop import live
from tests.integration.asking import Asking
from tests.integration.faulty_trainer import lenient
from tests.integration.stream import Stream

END, FIRST_UNTIL, SECOND_UNTIL = "2013-08-01", "2013-03-25", "2013-04-01"
BAD_UNTIL, LIVE = ("2013-04-12", "2013-04-13"), "2013-04-14"
A_DAY, LONGEST_S = 288, 120.0
MUST_S = 30.0
SETTINGS = """promotion = "auto"
anchor_budget = 0.99
anchor_nats = 100.0
min_gain_nats = -0.45"""


def never_alarms() -> None:
    """Broken gates, and models that are calibrated on rows of which nothing fits: all else is ordinary beside them."""
    lenient()
    fit = training._fit

    def deaf(retrain: Any, parts: Any, progress: Any, checkpoint: Any) -> Density:
        density, table = fit(retrain, parts, progress, checkpoint), parts.calibration
        numeric = table.numeric + 20.0 * np.nanstd(table.numeric, axis=0)
        return density.recalibrated(replace(table, numeric=numeric), 1)

    training._fit = deaf


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    with live.running(END, SETTINGS, live.NOBODY_ELSE_ASKS) as (stream, rows):
        stream.command("keys", "new", "operator")
        sent = live.rows_before(rows, LIVE)
        stream.produce(rows[:sent])
        asking, second = Asking(stream), _second(stream)
        stream.start_worker()
        live.wait(stream, lambda: live.scores_everywhere(stream, second), "the second model")
        stream.wait_until_done()
        with live.trainer_of(stream, before=never_alarms):
            alone = _by_itself(stream, asking, rows[sent:], second)
            spoken = _by_command(stream, asking, second)
            live.wait(stream, lambda: Registry(stream.config).in_service() == second, "the registry")
        asking.close()
        stream.wait_until_done()
        truth = _one_truth(stream, second)
        _send_again(stream)
        stream.produce(rows[sent + alone["fed"] :][:A_DAY])
        stream.wait_until_done()
        again = _one_truth(stream, second)
        stream.stop()
        changes = [{"by": of.by, "why": of.why} for of in live.said(stream, ServiceChange)]
        found = {**alone, **spoken, "one_truth": truth, "after_an_old_notice": again, "changes": changes}
        seconds = [value for value in (found["by_itself_s"], found["by_command_s"]) if value is not None]
        longest = max(seconds) if len(seconds) == 2 else None
        return {"rollback_s": longest, "rollback": found, "traces": {"rollback_s": live.traces(stream)}}


def _second(stream: Stream) -> str:
    """Two good models, one after the other; the id of the second."""
    with live.trainer_of(stream, "--bootstrap-until", FIRST_UNTIL):
        _promoted(stream, 1)
        asking = Asking(stream)
        asking.ask(live.asked_until(stream, SECOND_UNTIL), 1)
        asking.close()
        return _promoted(stream, 2)


def _promoted(stream: Stream, number: int) -> str:
    """The id of the promoted model of that number, once it is there."""

    def promotions() -> list[Any]:
        return Registry(stream.config).promotions() if live.notices(stream) else []

    live.wait(stream, lambda: len(promotions()) >= number, f"model {number}")
    return str(promotions()[number - 1].model_id)


def _enters(stream: Stream, asking: Asking, number: int) -> tuple[str, float]:
    """A bad model, and when the worker has decided to score by it, everywhere."""
    asking.ask(live.asked_until(stream, BAD_UNTIL[number]), 1)
    bad = _promoted(stream, 3 + number)
    stream.wait(lambda: any(of.model_id == bad for of in live.activated(stream)), "the bad model", every_s=0.02)
    began_s = time.monotonic()
    stream.wait(lambda: live.scores_everywhere(stream, bad), "the bad model everywhere", every_s=0.02)
    return bad, began_s


def _by_itself(stream: Stream, asking: Asking, rows: list[Any], second: str) -> dict[str, Any]:
    """Days come until the second is back."""
    bad, began_s = _enters(stream, asking, 0)
    fed = 0
    while not live.scores_everywhere(stream, second):
        if time.monotonic() - began_s > LONGEST_S or fed >= len(rows):
            return {"by_itself_s": None, "fed": fed}
        stream.produce(rows[fed : fed + A_DAY])
        fed += A_DAY
    took_s = time.monotonic() - began_s
    live.wait(stream, lambda: bool(live.said(stream, ServiceChange)), "the message")
    (change,) = [of for of in live.said(stream, ServiceChange) if of.model_id == bad]
    figures = change.figures
    panes = (change.pane_end_ms - figures["since_ms"]) // int(stream.config.windows.pane)
    told = {"found": figures["found"], "events": figures["events"], "design": round(figures["design"], 2)}
    return {"by_itself_s": round(took_s, 2), **told, "panes": panes, "fed": fed, "events_s": round(fed / took_s)}


def _by_command(stream: Stream, asking: Asking, second: str) -> dict[str, Any]:
    """The command, said as soon as the bad model scores."""
    stream.wait_until_done()
    _, began_s = _enters(stream, asking, 1)
    said_s = time.monotonic()
    stream.command("models", "rollback", "--by", "ann", "--why", "it never alarms")
    stream.wait(lambda: live.scores_everywhere(stream, second), "the second model", every_s=0.02)
    ended_s = time.monotonic()
    return {"by_command_s": round(ended_s - began_s, 2), "command_to_service_s": round(ended_s - said_s, 2)}


def _send_again(stream: Stream) -> None:
    """The notice of the first model, whole, and until the worker has taken it in."""

    def seen() -> int:
        status = stream.status()
        return int(status["taken"].get("models", 0) + status["refused"].get("models", 0))

    before, registry = seen(), Registry(stream.config)
    first = next(of for of in registry.notices() if of.status == "promoted")
    producer = make_producer(client_settings(stream.config.kafka))
    publish(producer, prepare(stream.config), registry.whole(first))
    producer.close()
    live.wait(stream, lambda: seen() > before, "the worker to take the old notice in")


def _one_truth(stream: Stream, second: str) -> bool:
    listed = json.loads(stream.command("models", "list", "--json"))
    names = {of["model_id"] for of in listed if "in service" in of["status"]}
    return names == {second} == {str(stream.status().get("service")), Registry(stream.config).in_service()}


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    rows = [(name, value, "") for name, value in found["rollback"].items() if name != "changes"]
    return [("what", "is", "must be"), ("rollback_s", found["rollback_s"], f"≤ {MUST_S:g}"), *rows]
