"""``driftflow score``: which model scores, what is written where, and a first model trained from a file."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from flowlib import artifact
from flowlib.density import Density
from schemas.codecs import Envelope, encode_event
from schemas.records import RetrainRequest
from stream_app.config import Config, load
from stream_app.errors import Interrupted, ModelError
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.offline import replay
from stream_app.offline.first_model import _ends, _parts, _remedy
from stream_app.offline.score import ScoreOptions, run_score
from stream_app.offline.signals import Signals, signals_to
from stream_app.stages.decisions import Activated, encode
from stream_app.stages.outputs import Outgoing
from stream_app.stages.score.decoding import Decoder
from tests.stages.streams import bodies, config, event, raw


@pytest.fixture
def stream(tmp_path: Path, model: Density) -> tuple[Config, str]:
    """A stream with a model in service, and the model's id."""
    cfg = msgspec.structs.replace(config(), root=str(tmp_path))
    signed = artifact.pack(model, signing_key(cfg))
    registry = Registry(cfg)
    registry.save(signed)
    registry.change(Entry(signed.model_id, "r", 0))
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(bodies(5, 600, 30_000)) + b"\n")
    return cfg, signed.model_id


def score(cfg: Config, **options: Any) -> str:
    """Run the command on the stream's file, which has late events and copies; returns what it printed."""
    out = Console(width=300, record=True, file=io.StringIO())
    options = {"max_dropped": 1.0} | options
    run_score(cfg, cfg.path("events.jsonl"), ScoreOptions(**options), out, Console(quiet=True))
    return out.export_text()


def test_the_signals_are_written_and_told(stream: tuple[Config, str]) -> None:
    cfg, model_id = stream
    path = cfg.path("signals.jsonl")
    printed = score(cfg, signals=path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    activations = [line for line in lines if line["ce_type"] == "driftflow.activation.v1"]
    assert {line["data"]["model_id"] for line in activations} == {model_id}
    told = [line["data"] for line in lines if line["ce_type"] == "driftflow.incident.v1"]
    last = {message["id"]: message for message in told}
    assert last
    assert all(message["summary"] in printed for message in last.values())
    assert re.match(rf"600 rows of .*events.jsonl, 1970-01-01 .*: \d+ scored by model {model_id}, .* a second", printed)
    assert len(printed.splitlines()) < 16, "a dozen lines, whatever there was"
    assert printed.splitlines()[-1].startswith(f"Look next: {path}, every message")


def test_a_run_that_is_interrupted_leaves_whole_lines(
    stream: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, _ = stream
    path, whole = cfg.path("signals.jsonl"), cfg.path("whole.jsonl")
    monkeypatch.setattr(replay, "BATCH_ROWS", 100)
    score(cfg, signals=whole)
    fed, feed = 0, replay.LocalRun.feed

    def interrupted(run: replay.LocalRun, raw: Any) -> Any:
        nonlocal fed
        fed += len(raw)
        if fed > 500:
            raise KeyboardInterrupt
        return feed(run, raw)

    monkeypatch.setattr(replay.LocalRun, "feed", interrupted)
    with pytest.raises(Interrupted) as told:
        score(cfg, signals=path, report=cfg.path("page.html"))
    left = path.read_text()
    lines = len(left.splitlines())
    assert re.match(r"interrupted after 500 rows of .*events.jsonl \(\d+%\), judged up to 1970-", str(told.value))
    assert f"; {path} holds their signals, {lines} whole lines; " in str(told.value)
    assert f"{cfg.path('page.html')} is not written. To go on: the same command" in str(told.value)
    assert left
    assert left.endswith("\n")
    assert whole.read_text().startswith(left)


def test_batches_of_any_size_write_the_same_signals(
    stream: tuple[Config, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, _ = stream
    score(cfg, signals=cfg.path("whole.jsonl"))
    monkeypatch.setattr(replay, "BATCH_ROWS", 13)
    score(cfg, signals=cfg.path("cut.jsonl"))
    cut, whole = (cfg.path(name).read_text().splitlines() for name in ("cut.jsonl", "whole.jsonl"))
    for partition in range(4):
        of_partition = f'{{"partition": {partition}, '
        assert [one for one in cut if one.startswith(of_partition)] == [
            one for one in whole if one.startswith(of_partition)
        ]
    assert sorted(cut) == sorted(whole)


def test_the_store_holds_the_points_and_the_spool_is_empty(stream: tuple[Config, str]) -> None:
    cfg, _ = stream
    score(cfg, store=True)
    stored = sqlite3.connect(cfg.path("driftflow.sqlite"))
    kinds = {kind for (kind,) in stored.execute("SELECT DISTINCT measurement FROM points")}
    stored.close()
    assert {"windows", "incidents", "counters"} <= kinds
    spool = sqlite3.connect(cfg.path("spool.sqlite"))
    (waiting,) = spool.execute("SELECT count(*) FROM queue").fetchone()
    spool.close()
    assert waiting == 0


def test_the_models_that_decisions_name_score_whatever_is_in_service(stream: tuple[Config, str]) -> None:
    cfg, model_id = stream
    Registry(cfg).change(Entry("gone", "r2", 1))
    with pytest.raises(ModelError, match="no model gone"):
        score(cfg)
    assert score(cfg, model=model_id)
    path = cfg.path("decisions.jsonl")
    path.write_bytes(b"".join(encode(Activated(partition, 0, model_id)) for partition in range(2)))
    assert score(cfg, decisions=path)


def test_series_that_begin_late_are_waited_for_and_said() -> None:
    """Six series, one after the other and each as long: half of their rows are of what has begun after half."""
    cfg = config()

    def parts(station: Callable[[int], str]) -> list[tuple[float, str]]:
        made = [json.loads(event(i * 1_000, i)) | {"station": station(i)} for i in range(600)]
        events, rejects = Decoder(cfg).decode(raw(0, [json.dumps(one).encode() for one in made]))
        assert not rejects
        return [(share, told.partition(" (")[0]) for _, share, told in _parts(cfg, [events])]

    assert parts(lambda i: "abcdef"[i // 100]) == [
        (0.5, " of 3 of 6 values of station, which make 50% of all events"),
        (0.7, " of 5 of 6 values of station, which make 83% of all events"),
        (0.3, " of 2 of 6 values of station, which make 33% of all events"),
    ]
    assert parts(lambda i: "abc"[i % 3]) == [(0.3, ""), (0.5, ""), (0.7, "")]


def test_without_a_model_the_first_share_that_suffices_trains_one(folder: Path) -> None:
    """Nobody says up to when; what was trained is in the registry, and in the store for the console."""
    cfg = msgspec.structs.replace(load(folder / "driftflow.toml"), root=str(folder / "new"))
    shutil.copytree(folder / "keys", folder / "new" / "keys")
    out, err = (Console(width=300, record=True, file=io.StringIO()) for _ in range(2))
    run_score(cfg, folder / "events.csv", ScoreOptions(store=True), out, err)
    assert re.search(r"no model yet: the first \d+% of the time, until 2026-0\d-\d\d", err.export_text(clear=False))
    (model_id,) = [entry.model_id for entry in Registry(cfg).history()]
    assert f"scored by model {model_id}" in out.export_text()
    stored = sqlite3.connect(cfg.path("driftflow.sqlite"))
    found = stored.execute("SELECT tags FROM points WHERE measurement = 'models'").fetchall()
    stored.close()
    assert [json.loads(tags)["model_id"] for (tags,) in found] == [model_id]
    run_score(cfg, folder / "events.csv", ScoreOptions(), out, err)
    assert len(Registry(cfg).history()) == 1, "a model that is there scores"


def test_a_first_model_that_is_refused_says_why_each_time_and_what_helps(folder: Path) -> None:
    cfg = msgspec.structs.replace(load(folder / "driftflow.toml"), root=str(folder / "none"))
    cfg = msgspec.structs.replace(cfg, trainer=msgspec.structs.replace(cfg.trainer, min_rows=10**9))
    shutil.copytree(folder / "keys", folder / "none" / "keys")
    out, err = (Console(width=300, record=True, file=io.StringIO()) for _ in range(2))
    with pytest.raises(ModelError, match="no model: too few rows"):
        run_score(cfg, folder / "events.csv", ScoreOptions(), out, err)
    first, *later = [line for line in err.export_text().splitlines() if line.startswith("no model yet")]
    assert first.startswith("no model yet: the first 30%")
    assert [line.startswith("no model yet (too few ") for line in later] == [True, True]
    assert "trainer.max_alarm_ratio" in _remedy("calibration_high: 9 %")


def test_the_ends_are_those_of_a_topic_that_was_sent_no_more() -> None:
    cfg = config()
    decode = Decoder(cfg).decode
    batches = [decode(raw(0, [event(1_000, 1), event(9_000, 2), event(2_000, 3), event(9_500, 4)]))[0]]
    assert _ends(cfg, batches, 5_000) == {0: 3, 1: 0}
    assert _ends(cfg, [*batches, decode(raw(1, [event(4_999, 5)], first=7))[0]], 5_000) == {0: 3, 1: 8}
    assert _ends(cfg, [], 5_000) == {0: 0, 1: 0}


def test_signals_are_written_as_they_come(tmp_path: Path) -> None:
    def message(number: int, partition: int, role: Any = "signals") -> Outgoing:
        request = RetrainRequest(
            id=f"{number}",
            stream="s",
            reason="drift",
            slices=["é"],
            alerts=[],
            model_id="m",
            requested_pane_ms=0,
            train=[],
            calibrate_from_ms=0,
        )
        sent = encode_event(Envelope(request, f"{number}", "/x", 0, "s"))
        return Outgoing(role, partition, None, sent.value, tuple(sent.headers))

    path = tmp_path / "signals.jsonl"
    with signals_to(path) as signals:
        for sent in (message(3, 1), message(9, 0, "partials"), message(1, 0), message(2, 1)):
            signals.take(sent)
        assert path.read_text() == ""
        signals.flush()
        assert len(path.read_text().splitlines()) == 3
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["partition"], line["ce_id"]) for line in lines] == [(1, "3"), (0, "1"), (1, "2")]
    assert lines[0]["data"]["slices"] == ["é"]
    assert (signals.lines, [request.id for request in signals.requests]) == (3, ["3", "1", "2"])
    silent = Signals()
    silent.take(message(1, 0))
    silent.flush()
    assert silent.lines == 1
