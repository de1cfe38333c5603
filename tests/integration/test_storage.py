"""A worker whose state is damaged ends with a sentence, and goes on where it stood once the file is restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stream_app.stages.score.state import COUNTERS
from tests.integration.conftest import MakeStream

Harm = Callable[[Path], object]


@pytest.mark.parametrize("broker", ["tansu"], indirect=True)  # what is tried here is not the broker's
@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("source-1", lambda path: path.write_bytes(b"")),
        pytest.param("watch-2", lambda path: path.write_bytes(path.read_bytes()[:-1]), marks=pytest.mark.slow),
        pytest.param("judge-0", lambda path: path.write_bytes(path.read_bytes()[:-1]), marks=pytest.mark.slow),
    ],
    ids=["empty", "cut short", "of JUDGE"],
)
def test_a_damaged_head_ends_the_worker_and_a_restored_one_is_gone_on_from(
    make_stream: MakeStream, example: Path, name: str, harm: Harm
) -> None:
    stream = make_stream()
    stream.publish()
    rows = stream.rows(example)
    stream.produce(rows[:3_000])
    stream.start_worker()
    stream.wait_until_done()
    stream.stop()
    path = stream.folder / "state" / f"{name}.head"
    whole = path.read_bytes()
    harm(path)
    damaged = path.read_bytes()
    worker = stream.start_worker()
    assert worker.wait(60) == 1
    stream.workers.clear()
    said = stream.log()
    assert f"{path} cannot be used: " in said
    assert "Traceback" not in said
    assert path.read_bytes() == damaged, "left as it is"
    path.write_bytes(whole)
    stream.produce(rows[3_000:4_000])
    stream.start_worker()
    stream.wait_until_done()
    stream.stop()
    status = stream.status()
    assert status["received"] == 4_000 == sum(status[name] for name in COUNTERS if name != "received")
