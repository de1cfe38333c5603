"""``driftflow status`` says how the workers are, and whether there are any."""

from __future__ import annotations

import io
import json
import time

import msgspec
import pytest
from rich.console import Console

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.stages.score.state import COUNTERS
from stream_app.worker.showing import show_status
from stream_app.worker.status import Status, StatusFile, folder_of

FAILING = {"transaction e/0": "open for 70 s\x1b[2J"}


def shown(config: Config, as_json: bool = False) -> str:
    out = Console(file=io.StringIO(), width=200)
    show_status(config, out, as_json)
    return out.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def write(config: Config, **fields: object) -> None:
    """What a worker says of itself."""
    counted = dict.fromkeys(COUNTERS, 0) | {"received": 1_500, "windowed": 1_500}
    StatusFile(config).write(msgspec.convert({"counters": {0: counted}, "lag": 7, **fields}, Status))


def test_without_a_worker_it_says_where_it_has_looked(config: Config) -> None:
    with pytest.raises(DriftflowError, match=f"no worker has written to {folder_of(config)} yet"):
        shown(config)


def test_totals_lag_and_what_fails_are_told(config: Config) -> None:
    write(config, failing=FAILING, monitor="http://127.0.0.1:9464")
    text = shown(config)
    assert "probes and metrics: http://127.0.0.1:9464\n" in text
    assert text.startswith("workers are alive\n1,500 events received = 1,500 windowed + 0 late + ")
    assert "lag 7; points that wait 0, set aside 0" in text
    assert "judged by no worker that is alive; 0 actions of people taken, 0 refused\n" in text
    assert "in service: no model yet" in text
    assert "failing: transaction e/0: open for 70 s" in text
    assert "\x1b" not in text, "texts of others move no cursor"


def test_how_far_incidents_are_judged_is_told(config: Config) -> None:
    write(config, judged_ms=0)
    assert "judged nothing yet; " in shown(config)
    write(config, judged_ms=1_362_096_000_000, taken={"actions": 3}, refused={"actions": 1})
    assert "judged up to 2013-03-01 00:00 UTC; 3 actions of people taken, 1 refused\n" in shown(config)


def test_as_json_it_is_one_object(config: Config) -> None:
    write(config, failing=FAILING)
    told = json.loads(shown(config, as_json=True))
    assert (told["received"], told["lag"], told["failing"]) == (1_500, 7, FAILING)


def test_workers_that_have_ended_are_not_alive(config: Config) -> None:
    write(config)
    (path,) = folder_of(config).glob("*.json")
    old = msgspec.json.decode(path.read_bytes()) | {"at": time.time() - 3_600}
    path.write_bytes(msgspec.json.encode(old))
    assert shown(config).startswith("no worker is alive: the last one wrote at ")
