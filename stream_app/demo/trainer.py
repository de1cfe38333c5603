"""The demo's trainer: that of the product, but it answers when it is told to.

``driftflow trainer`` answers requests as it polls them, and a model is in service as soon as it is there: which request
comes first, and how far the traffic has come, then depends on the machine. Here the traffic stands meanwhile. For each
line on standard input every request that has been made until then is answered, in order of event time, and a line on
standard output says so. It ends where standard input does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

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
        for asked in sorted(_requests(config), key=lambda asked: (asked.request.requested_pane_ms, asked.request.id)):
            if asked.request.id not in answered:
                trainer.handle(asked)
                answered.add(asked.request.id)
        _reply()
    trainer.close()


def _requests(config: Config) -> Iterator[Asked]:
    trusted = Trust.of_requests(config).keys()
    for message in read_signals(config):
        asked = believed(config, trusted, message)
        if isinstance(asked, Asked):  # anything else is not of this run: a broker that was there before may hold it
            yield asked


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - into the log


def _reply() -> None:
    print("answered", flush=True)  # noqa: T201 - to the demo


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except DriftflowError as error:
        sys.exit(str(error))
