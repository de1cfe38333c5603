"""The demo's trainer: that of the product, but it goes on when it is told to.

``driftflow trainer`` answers requests as it polls them, compares a candidate on live events as they come, and a model
is in service as soon as it is there: which request comes first, and how far the traffic has come, then depends on the
machine. Here the traffic stands meanwhile. For each line on standard input the candidate is compared on all events that
are there, then every request that has been made until then is answered, in order of event time, unless a candidate is
compared still; and a line on standard output says so. It ends where standard input does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from schemas.records import ServiceChange
from stream_app.config import Config, load
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.reading import log_ends
from stream_app.kafka.signals import read_signals
from stream_app.kafka.topics import prepare
from stream_app.models.keys import Trust
from stream_app.terminal import prepare_process
from stream_app.trainer.bootstrap import bootstrap_request
from stream_app.trainer.lock import sole_trainer
from stream_app.trainer.requests.believing import Asked, believed
from stream_app.trainer.trainer import Trainer


def main(config_path: str, until_ms: int) -> None:
    """Train the first model, then answer whenever told to."""
    prepare_process()
    config = load(config_path)
    require(preflight(config, "trainer"))
    with sole_trainer(config):
        _answer(prepare(config), until_ms)


def _answer(config: Config, until_ms: int) -> None:
    client = client_settings(config.kafka, config.root)
    trainer = Trainer(config, client, _say)
    first = trainer.bootstrap(bootstrap_request(config, log_ends(config, client), 0, until_ms))
    if first is None or first.status != "promoted":
        raise DriftflowError(f"there is no first model: {first.reason if first else 'an earlier run has made it'}")
    _reply()
    answered: set[str] = set()
    for _ in sys.stdin:
        ends, taken = log_ends(config, client), list(_taken(config))
        for change in taken:
            if isinstance(change, ServiceChange):
                trainer.change(change)
        compared, requests = _compare(trainer, ends), [asked for asked in taken if isinstance(asked, Asked)]
        for asked in sorted(requests, key=lambda asked: (asked.request.requested_pane_ms, asked.request.id)):
            if compared and asked.request.id not in answered:
                trainer.handle(asked)
                answered.add(asked.request.id)
                compared = _compare(trainer, ends)
        _reply()
    trainer.close()


def _compare(trainer: Trainer, ends: dict[int, int]) -> bool:
    """Compare the candidate, where there is one, on the events up to these offsets; whether none is left to compare."""
    while trainer.go_on():
        if trainer.has_compared(ends):
            return False
    return True


def _taken(config: Config) -> Iterator[Asked | ServiceChange]:
    trusted = Trust.of_requests(config).keys()
    for message in read_signals(config):
        taken = believed(config, trusted, message)
        if isinstance(taken, Asked | ServiceChange):  # the rest is not of this run: a broker may hold it from before
            yield taken


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - into the log


def _reply() -> None:
    print("answered", flush=True)  # noqa: T201 - to the demo


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except DriftflowError as error:
        sys.exit(str(error))
