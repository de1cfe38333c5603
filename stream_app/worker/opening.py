"""Where the state of a group is kept is found before anything of it is touched: a group has one such place.

Two workers with folders of their own would each follow their own decisions, and windows would be wrong without a word.
So the first worker of a group writes down on the decisions topic where it keeps its state, and the others compare.
"""

from __future__ import annotations

import socket
import uuid
from contextlib import ExitStack

import msgspec

from stream_app.config import Config
from stream_app.disk import create_durably, read_lines, writing
from stream_app.errors import SnapshotError
from stream_app.kafka.shape import adopt_shape, in_recorded_order, shape_of
from stream_app.kafka.topics import ensure_decisions, prepare
from stream_app.stages.decisions import DECODER, REMEDY, encode
from stream_app.worker.bridge import Bridge
from stream_app.worker.files import FileStore
from stream_app.worker.journal import Housed, Journal, Shaped
from stream_app.worker.kafka_state import KafkaStore
from stream_app.worker.state import StateStore

PATIENCE_S = 110.0
"""How long the broker may take for a step: less than it takes a checkpoint to count as hung."""


def open_state(config: Config) -> tuple[Config, StateStore]:
    """Make sure of the topics, and open the state; with the configuration as the stream began with it.

    Raises:
        SnapshotError: the state of the group is kept elsewhere, or is of another configuration.
        DriftflowError: the broker does not answer, or a topic cannot be made.
    """
    with ExitStack() as stack:
        bridge, journal = _journal(config, stack)
        if config.state.store == "kafka" and journal.shape is not None:
            adopt_shape(config, journal.shape)
        config = in_recorded_order(prepare(config))
        _check_home(config, bridge, journal)
        if config.state.store == "files":
            return config, FileStore(config)
        _check_shape(config, bridge, journal)
        store = KafkaStore(config, bridge, journal)
        stack.pop_all()  # it has them now
        return config, store


def claim_state(config: Config) -> tuple[str, str]:
    """Let the state that this configuration names be that of the group from now on; what was so before, and what is.

    Raises:
        DriftflowError: the broker does not answer, or the folder cannot be written.
    """
    with ExitStack() as stack:
        bridge, journal = _journal(config, stack)
        before, mine = journal.homes.get(config.kafka.group), _home(config, moved=True)
        bridge.run(journal.append(mine))
        return before.where if before else "", mine.where


def decisions_of(config: Config) -> list[str]:
    """The decisions of the run in service, each as a line of their file.

    Raises:
        DriftflowError: the broker does not answer, or the file is damaged.
    """
    if config.state.store == "files":
        made = read_lines(config.path(config.state.dir) / "decisions.jsonl", DECODER, REMEDY)
    else:
        with ExitStack() as stack:
            made = _journal(config, stack)[1].decisions
    return [encode(decision).decode().rstrip() for decision in made]


def _journal(config: Config, stack: ExitStack) -> tuple[Bridge, Journal]:
    """The decisions topic, read to its end; both end with the stack."""
    ensure_decisions(config)
    bridge, journal = Bridge(f"the state of stream {config.stream}", PATIENCE_S), Journal(config)
    stack.callback(bridge.close)
    stack.callback(lambda: bridge.run(journal.stop()))
    bridge.run(journal.start())
    return bridge, journal


def _home(config: Config, moved: bool = False) -> Housed:
    if config.state.store == "kafka":
        return Housed(config.kafka.group, "kafka", f"{config.topics.state} on the broker", moved)
    folder = config.path(config.state.dir)
    path = folder / "folder.id"
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        create_durably(path, uuid.uuid4().hex.encode())
        name = path.read_bytes()
    try:
        known = uuid.UUID(name.decode()).hex
    except ValueError:
        raise SnapshotError(
            f"{path} holds no id: restore it from a backup, or remove it and run `driftflow state claim`"
        ) from None
    return Housed(config.kafka.group, known, f"{folder.resolve()} on {socket.gethostname()}", moved)


def _check_home(config: Config, bridge: Bridge, journal: Journal) -> None:
    """Refuse a second place; say which both are."""
    group, mine = config.kafka.group, _home(config)
    if group not in journal.homes:
        bridge.run(journal.append(mine))
    known = journal.homes[group]
    if known.id != mine.id:
        raise SnapshotError(
            f"the state of group {group} is kept in {known.where}, and this worker would keep it in {mine.where}: give "
            'all workers of a group one folder, or [state] store = "kafka", which needs none; where the former place '
            "is given up for good, stop all workers and run `driftflow state claim` here"
        )


def _check_shape(config: Config, bridge: Bridge, journal: Journal) -> None:
    shape = shape_of(config)
    if journal.shape is None:
        bridge.run(journal.append(Shaped(msgspec.Raw(shape))))
    if journal.shape != shape:
        raise SnapshotError(
            f"{config.topics.decisions} and {config.topics.state} hold the state of another configuration: give this "
            "one other topics.decisions and topics.state and a kafka.group of its own, or delete them to start over"
        )
