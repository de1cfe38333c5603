"""Fixtures shared by all tests: brokers, topics and ports."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import sys
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from stream_app.config import Config
from stream_app.guard import Guard
from stream_app.kafka.embedded import BrokerError, EmbeddedBroker, free_port
from tests.brokers import ApacheKafka
from tests.certificates import write_certificates
from tests.damages import make_whole
from tests.seeds import is_fresh, seed_of

torch.set_num_threads(1)  # test processes share two cores with the brokers they start

# No example is too slow on a machine that is busy; and each is the same in every run, as seeds are (tests/seeds.py).
settings.register_profile(
    "driftflow",
    deadline=None,
    derandomize=not is_fresh(),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("driftflow")

if importlib.util.find_spec("absl") is not None:
    # dp_accounting logs by absl, whose handler closes the stream that it was made with where a command sets logging up
    # anew: that of pytest itself, and every test after it fails.
    importlib.import_module("absl.logging").get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def _guards_end_no_test_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard in this process would take pytest with it; ``tests/test_guard.py`` has processes for it to end."""
    monkeypatch.setattr(Guard, "exit", staticmethod(lambda status: None))


@pytest.fixture(scope="session", autouse=True)
def _same_folds() -> Iterator[None]:
    """Which days validate a training follows from the trainer's key, which is another one in every run, and so would
    what tests train be. Commands that run elsewhere have a ``trainer.folds_file``.
    """
    if is_fresh():
        yield
        return
    from stream_app.trainer import training

    drawn = training.fold_secret

    def same(config: Config, key: Any) -> bytes:
        return drawn(config, key) if config.trainer.folds_file else b"the same in every run of the tests"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "fold_secret", same)
        yield


def cannot_start(reason: str) -> None:
    """Skip on a desk, fail in CI: a check that silently does not run is worth nothing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need(module: str) -> Any:
    """A module that an extra or a compiler brings: imported, or :func:`cannot_start`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        cannot_start(f"{module} is not installed: {error}")


@pytest.fixture(scope="session")
def tansu() -> Iterator[str]:
    """Address of an embedded broker."""
    try:
        broker = EmbeddedBroker().start()
    except BrokerError as error:
        cannot_start(str(error))
        return
    yield broker.bootstrap
    broker.stop()


def kafka_home() -> Path:
    """The distribution to run, or a skip."""
    home = os.environ.get("KAFKA_HOME", "")
    if not (Path(home) / "bin" / "kafka-server-start.sh").is_file() or not home:
        cannot_start("KAFKA_HOME does not name an Apache Kafka distribution")
    return Path(home)


def _run_kafka(folder: Path, secure: bool = False) -> Iterator[ApacheKafka]:
    node = ApacheKafka(kafka_home(), folder, secure)
    try:
        node.start()
    except (OSError, RuntimeError) as error:
        cannot_start(f"Apache Kafka cannot start: {error}")
    yield node
    node.stop()


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka node in KRaft mode."""
    yield from _run_kafka(tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="session")
def kafka(kafka_node: ApacheKafka) -> str:
    """Address of that node."""
    return kafka_node.bootstrap


@pytest.fixture(params=["tansu", "kafka"])
def broker(request: pytest.FixtureRequest) -> tuple[str, str]:
    """``(name, bootstrap)``: the embedded broker, and Apache Kafka where there is one."""
    return request.param, request.getfixturevalue(request.param)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test; another one each time in what is too slow for each run, and with DRIFTFLOW_SEED=fresh."""
    return seed_of(request.node.nodeid, fresh=request.node.get_closest_marker("slow") is not None)


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Names that no other test uses, the same in every run: ``unique("events")``."""
    tail = uuid.uuid4().hex[:8] if is_fresh() else f"{zlib.crc32(request.node.nodeid.encode()):08x}"
    return lambda name: f"{name}-{tail}"


@pytest.fixture
def port() -> int:
    """A free TCP port."""
    return free_port()


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A node with TLS, SCRAM-SHA-512 and ACLs; users in ``tests.brokers.USERS``, ``ca.pem`` in its folder."""
    folder = tmp_path_factory.mktemp("secure-kafka")
    write_certificates(folder)
    yield from _run_kafka(folder, secure=True)


@pytest.fixture(scope="session")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small stream's folder: events, a model, keys, decisions, a store and a spool."""
    return make_whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole_folder: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(whole_folder, tmp_path / "copy"))
