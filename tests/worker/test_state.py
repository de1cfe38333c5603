"""What a worker keeps on disk is whole after a crash, and never taken for another stream's."""

from __future__ import annotations

import msgspec
import pytest

from stream_app.config import Config
from stream_app.errors import SnapshotError
from stream_app.stages.decisions import Activated
from stream_app.worker.state import StateStore

FIRST, SECOND, THIRD = (Activated(0, 1_000 * n, f"m{n}", "fused") for n in range(3))


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_decision_cut_short_by_a_crash_is_forgotten_and_does_no_harm(
    config: Config, store: StateStore, cut: int
) -> None:
    path = config.path(config.state.dir) / "decisions.jsonl"
    store.record(FIRST)
    whole = path.read_bytes()
    store.record(SECOND)
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert store.decisions() == [FIRST]
    store.record(THIRD)
    assert store.decisions() == [FIRST, THIRD]


def test_a_snapshot_is_replaced(store: StateStore) -> None:
    assert store.load("source-0") is None
    for blob in (b"old", b"new"):
        store.save("source-0", blob)
        assert store.load("source-0") == blob
    assert store.load("watch-0") is None


def test_the_state_of_another_configuration_is_refused(config: Config, store: StateStore) -> None:
    StateStore(config)
    other = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, numeric=["x"]))
    StateStore(other)  # there is no state yet
    StateStore(config).save("watch-0", b"")
    with pytest.raises(SnapshotError, match="holds the state of another configuration"):
        StateStore(other)


def test_a_run_can_be_started_with_the_decisions_of_another_and_started_again(store: StateStore) -> None:
    store.preset([FIRST, SECOND])
    assert store.decisions() == [FIRST, SECOND]
    store.preset([FIRST, SECOND])
    with pytest.raises(SnapshotError, match="holds other decisions: repeat a run"):
        store.preset([FIRST])
