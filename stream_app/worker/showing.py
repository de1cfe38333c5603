"""``driftflow status``: what the workers of a state folder say of themselves, for people and probes."""

from __future__ import annotations

import time

import msgspec
from rich.console import Console

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.stages.score.state import COUNTERS
from stream_app.terminal import printable, utc
from stream_app.worker.status import FRESH_S, folder_of, read_status


def show_status(config: Config, out: Console, as_json: bool = False) -> None:
    """Print the totals, what is in work, and what fails.

    Args:
        config: the stream.
        out: where to print.
        as_json: one JSON object with the fields of :class:`~stream_app.worker.status.Status`, in place of text.

    Raises:
        DriftflowError: no worker has written there yet.
    """
    status = read_status(config)
    if not status:
        raise DriftflowError(f"no worker has written to {folder_of(config)} yet: start `driftflow worker`")
    if as_json:
        out.file.write(msgspec.json.encode(status).decode() + "\n")
        return
    age_s = time.time() - status["at"]
    when = f"no worker is alive: the last one wrote at {utc(int(1_000 * status['at']))} UTC"
    out.print(when if age_s > FRESH_S else "workers are alive", style="bold red" if age_s > FRESH_S else "green")
    counted = " + ".join(f"{status[name]:,} {name}" for name in COUNTERS if name != "received")
    lag = "not known" if status["lag"] is None else f"{status['lag']:,}"
    out.print(f"{status['received']:,} events received = {counted}", soft_wrap=True)
    out.print(f"lag {lag}; points that wait {status['spooled']:,}, set aside {status['set_aside']:,}", soft_wrap=True)
    judged, taken, refused = status["judged_ms"], status["taken"], status["refused"]
    until = "by no worker that is alive" if judged is None else f"up to {utc(judged)} UTC" if judged else "nothing yet"
    said = f"{taken['actions']:,} actions of people taken, {refused['actions']:,} refused"
    out.print(f"judged {until}; {said}", soft_wrap=True)
    out.print(f"in service: {status['service'] or 'no model yet'}", soft_wrap=True)
    if status["monitor"]:
        out.print(f"probes and metrics: {', '.join(status['monitor'])}", soft_wrap=True)
    for part, text in sorted(status["failing"].items()):
        out.print(f"failing: {printable(part)}: {printable(text)}", style="red", soft_wrap=True, markup=False)
