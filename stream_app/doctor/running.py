"""How the workers of this state folder are, and why there is no alert: the first reason that holds, with figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from stream_app.config import Config
from stream_app.doctor.findings import Finding, fault, ok, warning
from stream_app.incident_lines import is_over
from stream_app.operators.reading import Told
from stream_app.setup.pacing import in_words
from stream_app.terminal import utc
from stream_app.worker.status import FRESH_S, folder_of, read_status

_MOST = 0.5


def look_at_workers(config: Config) -> Iterator[Finding]:
    """What the workers say of themselves."""
    status = read_status(config)
    if not status:
        yield warning("workers", f"none has written to {folder_of(config)}", "start `driftflow worker`")
        return
    if not _alive(status):
        last = utc(int(1000 * status["at"]))
        yield fault("workers", f"none is alive, the last one wrote at {last} UTC", "start `driftflow worker`")
    else:
        lag = "not known" if status["lag"] is None else f"{status['lag']:,}"
        yield ok("workers", f"alive; {status['received']:,} events received, lag {lag}")
    for part, says in sorted(status["failing"].items()):
        yield fault(f"workers, {part}", says)
    lost = status["rejected"] + status["late"]
    if status["received"] and lost > _MOST * status["received"]:
        reasons = ", ".join(
            f"{n:,} {reason}" for reason, n in sorted(status["dead_letters"].items(), key=lambda i: -i[1])
        )
        says = f"{status['rejected']:,} of {status['received']:,} events rejected, {status['late']:,} late"
        yield warning("workers, events", f"{says}{f' ({reasons})' if reasons else ''}", "`driftflow dead-letters list`")
    if status["set_aside"]:
        yield warning("workers, sink", f"{status['set_aside']:,} points are set aside", "`driftflow sink list`")


_PUBLISH = "`driftflow models publish` puts the one that is here on the topic"


def _alive(status: dict[str, Any]) -> bool:
    return time.time() - float(status["at"]) <= FRESH_S


def why_no_alert(config: Config, findings: list[Finding], heard: Told | None, silences: int) -> Finding:
    """Why there is no alert, or which there are.

    Args:
        config: the stream.
        findings: of everything else.
        heard: what the signals topic says; None where it could not be read.
        silences: how many are in force.
    """
    about, status = "alerts", read_status(config)
    still = [one for one in (heard.incidents.values() if heard else ()) if not is_over(one)]
    if still:
        says = (
            f"{len(still):,} incident{'s are' if len(still) > 1 else ' is'} open; the newest: {still[-1].summary[:200]}"
        )
        return ok(about, says)
    told = f"; {silences:,} silence{'s hold' if silences > 1 else ' holds'} some back" if silences else ""
    past = f"{len(heard.incidents):,} were told and are over" if heard and heard.incidents else "none was told so far"
    if not status:
        return warning(about, "there can be none: no worker has run here", "start `driftflow worker`")
    if not _alive(status):
        return fault(about, "there can be none: no worker is alive", "start `driftflow worker`")
    if any(one.about == "events" and one.state == "fault" for one in findings) or "events" in status["failing"]:
        return fault(about, "there can be none: what arrives is no event any more, see events")
    if not status["received"] and not status["lag"]:
        return warning(
            about, f"there can be none: no event has arrived on {config.topics.events}", "look at the producer"
        )
    if not status["service"]:
        if any(one.about == "model" and one.state == "ok" for one in findings):
            return warning(about, "there can be none of values: no worker has a model yet", _PUBLISH)
        remedy = "`driftflow trainer --bootstrap-until DATE` trains the first"
        return warning(about, "there can be none of values: no model is in service", remedy)
    if not status["judged_ms"]:
        return _warming(config, status)
    if (status["lag"] or 0) > 10_000:
        return warning(about, f"{status['lag']:,} events are still to be read; {past}{told}", "see lag")
    until = utc(status["judged_ms"])
    share = status["windowed"] / max(status["received"], 1)
    counts = f"judged up to {until} UTC, {share:.1%} of {status['received']:,} events count"
    promise = f"{config.alerts.false_incidents_per_month:g} false ones a month may come"
    return ok(about, f"nothing strange enough: {counts}, {past}; {promise}{told}")


def _warming(config: Config, status: dict[str, Any]) -> Finding:
    pane = in_words(config.windows.pane)
    stands = status["event_time_ms"]
    where = "not known yet" if stands is None else f"{utc(stands)} UTC"
    late = f" by {in_words(config.windows.lateness)}" if config.windows.lateness else ""
    says = (
        f"the first pane of {pane} is not judged yet: event time stands at {where}, and a pane closes once all source "
        f"partitions have passed its end{late}"
    )
    return warning("alerts", says, "wait; a partition without events is passed over after windows.idle_after")
