"""The trainer: consumes retrain requests from the signals topic and answers each once: trained, covered by an earlier
model, or refused.

Offsets are committed after the answer is on its topics. A request that is read again after a crash goes on from what
was written down of it: a training resumes and gives the same model, byte for byte; what was decided is sent as it is.
A private training is not repeatable: it starts over, and costs its epsilon again.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka.errors import KafkaError

from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.guard import Guard, described
from stream_app.kafka.clients import client_settings
from stream_app.kafka.first_events import look_at_first
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.reading import log_ends
from stream_app.kafka.shape import in_recorded_order, record_shape
from stream_app.kafka.topics import prepare
from stream_app.models.keys.checks import require_keys
from stream_app.models.registry import Registry, ordered
from stream_app.monitor.tracing import traced
from stream_app.terminal import prepare_process
from stream_app.trainer.bootstrap import bootstrap_request, bootstrap_until_ms
from stream_app.trainer.lock import sole_trainer
from stream_app.trainer.monitoring import Monitoring
from stream_app.trainer.stopping import Stopped
from stream_app.trainer.trainer import Trainer

STOP_WITHIN_S = 8.0
"""From the signal to stop on, the process ends within this time: orchestrators kill after ten seconds."""

Tell = Callable[[str], None]


def run_trainer(config: Config, bootstrap_until: str | None, tell: Tell) -> None:
    """Answer requests until SIGTERM or Ctrl-C.

    Args:
        config: the stream.
        bootstrap_until: first train a model on the topic's events before this time.
        tell: takes a line for the person who watches.

    Raises:
        ModelError: a key or the model in service is missing or damaged.
        PreflightError: the broker cannot be used as configured.
        DriftflowError: another trainer runs; the registry is damaged; or the broker refuses.
    """
    prepare_process()
    with Guard(STOP_WITHIN_S) as guard, sole_trainer(config):
        require_keys(config, "trainer")
        config = ordered(in_recorded_order(config))
        if not bootstrap_until:
            Registry(config).current()  # what is wrong on this machine is said at once, and not at the first request
        require(preflight(config, "trainer"))
        try:
            _run(config, bootstrap_until, tell, guard)
        except KafkaError as error:
            where = ", ".join(config.kafka.bootstrap)
            raise DriftflowError(
                f"the broker at {where} refuses or does not answer: {error}; look at its log, then start the trainer "
                "again"
            ) from error
        except DriftflowError:
            raise
        except Exception as error:
            raise DriftflowError(
                f"an error that nobody foresaw ended the trainer: {described(error)}; report it, then start it again"
            ) from error


def _has_model(config: Config) -> bool:
    try:
        return Registry(config).current() is not None
    except ModelError:  # the way out where the model in service cannot be used any more
        return False


def _run(config: Config, bootstrap_until: str | None, tell: Tell, guard: Guard) -> None:
    config = prepare(config)
    record_shape(config)
    trainer = Trainer(config, client_settings(config.kafka, config.root), tell)
    guard.on_end(trainer.stop)
    guard.step("the request in hand")
    monitoring = Monitoring(config, guard, trainer)
    try:
        with traced(config, trainer.meter, "trainer"), monitoring.serving() as url:
            if url:
                tell(f"probes and metrics at {url}")
            _answer(config, bootstrap_until, tell, trainer)
    except Stopped:
        pass  # in the midst of the first model: the next start goes on from its checkpoint
    finally:
        guard.step("Kafka's client")
        trainer.close()


def _answer(config: Config, bootstrap_until: str | None, tell: Tell, trainer: Trainer) -> None:
    if bootstrap_until:
        until_ms = bootstrap_until_ms(config, bootstrap_until)
        if not _has_model(config):
            look_at_first(config).check()
        ends = log_ends(config, client_settings(config.kafka, config.root))
        trainer.bootstrap(bootstrap_request(config, ends, 0, until_ms))
        Registry(config).current()
    tell("waiting for retrain requests")
    trainer.run()
