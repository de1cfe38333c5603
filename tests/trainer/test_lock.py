"""One trainer a registry: a second one says who is first, and the lock goes with its holder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stream_app.errors import DriftflowError
from stream_app.trainer.lock import sole_trainer
from tests.trainer.asking import stream_in

_HOLD = """
import sys, time
from pathlib import Path
from stream_app.trainer.lock import sole_trainer
from tests.trainer.asking import stream_in
with sole_trainer(stream_in(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_trainer_names_the_first(tmp_path: Path) -> None:
    config = stream_in(tmp_path)
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    sentence = rf"models/s\.lock is held by another trainer \({holder}\): one"
    with sole_trainer(config), pytest.raises(DriftflowError, match=sentence), sole_trainer(config):
        pass
    with sole_trainer(config):
        pass


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DriftflowError, match=f"process {holder.pid} on "), sole_trainer(stream_in(tmp_path)):
            pass
        holder.kill()
    with sole_trainer(stream_in(tmp_path)):
        pass


def test_another_stream_has_a_lock_of_its_own(tmp_path: Path) -> None:
    config = stream_in(tmp_path)
    with sole_trainer(config), sole_trainer(msgspec.structs.replace(config, stream="t")):
        pass
