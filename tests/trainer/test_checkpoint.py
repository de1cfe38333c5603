"""A training that was killed goes on where it stood and ends in the same weights."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flowlib.flows import FLOWS, Flow
from flowlib.training import TrainConfig, TrainingRows
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.errors import DriftflowError
from stream_app.models.keys import signing_key
from stream_app.trainer import checkpoint as resuming
from stream_app.trainer.checkpoint import CheckpointFile
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.training import answer
from tests.trainer.test_answering import config_in, request, rows

CONFIG = TrainConfig(max_steps=50, check_every=10, batch=64)


def checkpoint_in(folder: Path) -> CheckpointFile:
    return CheckpointFile(
        Config(
            stream="s",
            topics=TopicsConfig(events="e"),
            event=EventConfig(time_field="t", numeric=["x"]),
            root=str(folder),
        )
    )


def train(file: CheckpointFile | None) -> tuple[Flow, list[int]]:
    """The training under test; also run by the child that is killed."""
    generator, said = torch.Generator().manual_seed(0), list[int]()
    parts = [torch.randn(n, 2, generator=generator) for n in (300, 100)]
    batches = [TrainingRows(x, torch.zeros_like(x), torch.zeros_like(x, dtype=torch.bool)) for x in parts]
    flow = FLOWS["maf"](2, 2, torch.Generator().manual_seed(0), blocks=2, hidden=8)
    resuming.learner(CONFIG, lambda p: said.append(p.step), file)(flow, *batches, 0)
    return flow, said


class Killed(CheckpointFile):
    def keep(self, checkpoint: Any) -> None:
        super().keep(checkpoint)
        if checkpoint.step == 30:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-m", "tests.trainer.test_checkpoint", str(tmp_path)], timeout=150)
    assert child.returncode == -signal.SIGKILL
    file = checkpoint_in(tmp_path)
    resumed, said = train(file)
    assert said == [40, 50], "the first thirty steps were not taken again"
    whole, _ = train(None)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert file.load() is None, "removed once training is over"


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "torn": lambda blob: blob[:-1],
    "three bytes": lambda blob: blob[:3],
    "zeros": lambda blob: bytes(len(blob)),
    "a byte": lambda blob: blob[:100] + bytes([blob[100] ^ 1]) + blob[101:],
    "another version": lambda blob: b"DFC0" + blob[4:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_checkpoint_that_is_damaged_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    file, path, kept = checkpoint_in(tmp_path), tmp_path / "state" / "s.checkpoint", list[bytes]()
    keep = file.keep
    file.keep = lambda checkpoint: (keep(checkpoint), kept.append(path.read_bytes()))[0]  # type: ignore[method-assign]
    train(file)
    path.write_bytes(damage(kept[0]))
    assert train(file)[1] == [10, 20, 30, 40, 50]
    assert f"{path} is not used: these bytes are no checkpoint" in caplog.text
    assert not path.exists()


def test_a_folder_for_a_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "state" / "s.checkpoint"
    path.mkdir(parents=True)
    with pytest.raises(DriftflowError, match=f"{path} cannot be written, is a directory"):
        train(checkpoint_in(tmp_path))
    assert [other.name for other in path.parent.iterdir()] == ["s.checkpoint"]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, looks = tmp_path / "state" / "s.checkpoint", list[int]()

    def fsync(number: int, real: Callable[[int], None] = os.fsync) -> None:
        looks.append(number)
        if len(looks) > 4:  # two a checkpoint, file and folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(number)

    with monkeypatch.context() as patch:
        patch.setattr("stream_app.disk.os.fsync", fsync)
        with pytest.raises(DriftflowError, match=f"{path} cannot be written, no space left on device"):
            train(checkpoint_in(tmp_path))
    assert train(checkpoint_in(tmp_path))[1] == [30, 40, 50]


def test_an_answer_that_was_interrupted_gives_the_same_bytes(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    key, whole = signing_key(config), None
    whole = answer(config, request(), Rows.of(rows()), None, key)

    class Interrupted(CheckpointFile):
        def keep(self, checkpoint: Any) -> None:
            super().keep(checkpoint)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(config, request(), Rows.of(rows()), None, key, checkpoint=Interrupted(config))
    assert CheckpointFile(config).load() is not None
    said: list[int] = []
    again = answer(config, request(), Rows.of(rows()), None, key, lambda p: said.append(p.step), CheckpointFile(config))
    assert again == whole
    assert said == [150], "from the first look on"


if __name__ == "__main__":
    torch.set_num_threads(1)
    template = checkpoint_in(Path(sys.argv[1]))
    template.__class__ = Killed
    train(template)
