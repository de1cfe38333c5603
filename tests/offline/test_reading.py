"""What of a file was dropped, and why: the table, the status, and the sentence of a training with too few rows."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import re
import threading
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from flowlib import artifact
from flowlib.density import Density
from stream_app.cli import main
from stream_app.config import Config
from stream_app.errors import ModelError, TooManyDropped
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.offline.first_model import bootstrap
from stream_app.offline.score import ScoreOptions, run_score
from tests.damages import overwrite
from tests.stages.streams import bodies, config

YEAR_MS = 31_536_000_000


@pytest.fixture
def cfg(tmp_path: Path, model: Density) -> Config:
    """A stream with a model in service."""
    cfg = msgspec.structs.replace(config(), root=str(tmp_path))
    signed = artifact.pack(model, signing_key(cfg))
    registry = Registry(cfg)
    registry.save(signed)
    registry.change(Entry(signed.model_id, "r", 0))
    return cfg


def table(printed: str) -> dict[str, tuple[int, str, str]]:
    """Name of each reason to its rows, its share and its example, of what ``score`` printed."""
    _, _, below = printed.partition("dropped ")
    lines = itertools.takewhile(lambda line: not re.match(r"(No|\d+) incident", line), below.splitlines()[1:])
    rows = [re.split(r" {2,}", line.strip(), maxsplit=3) for line in lines if line.strip()]
    return {name: (int(n.replace(",", "")), share, example) for name, n, share, example in rows}


def test_score_says_what_was_dropped_why_and_where(cfg: Config) -> None:
    good = [json.loads(body) for body in bodies(5, 600, 30_000)]
    for event in good[300:330]:
        event["x"] = {"value": event["x"]}
    good.insert(450, good[440] | {"t": good[440]["t"] + YEAR_MS, "id": "ahead"})
    lines = [json.dumps(event) for event in good]
    lines.insert(200, "")
    lines.insert(100, "nonsense")
    cfg.path("events.jsonl").write_text("\n".join(lines) + "\n")
    out = Console(width=400, record=True, file=io.StringIO())
    with pytest.raises(TooManyDropped, match=r"\d+ of 602 rows of .*events\.jsonl were dropped, .* --max-dropped"):
        run_score(cfg, cfg.path("events.jsonl"), ScoreOptions(sort=False), out, Console(quiet=True))
    printed = out.export_text()
    received, windowed = re.findall(r"(\d+) (?:rows|scored)", printed.splitlines()[0])
    told = table(printed)
    assert told["wrong_type (x)"][:2] == (30, "4.98%")
    assert re.match(r"line 303: .*number.*, in \{", told["wrong_type (x)"][2])
    assert told["not_json"][0] == 1
    assert re.match(r"line 101: .*, in nonsense", told["not_json"][2])
    assert told["held"][0] == 1
    assert re.match(r"line 453: it was further ahead than windows.max_future", told["held"][2])
    for name in ("late", "duplicate"):
        assert told[name][0] > 0
        assert re.match(r"line \d+: .*, in \{", told[name][2])
    assert sum(n for n, _, _ in told.values()) == int(received) - int(windowed)


def invoke(folder: Path, *words: str, stdin: bytes = b"") -> Result:
    """A command on a folder's configuration, in this process."""
    runner = CliRunner(env={"COLUMNS": "2000"})
    return runner.invoke(main, [*words, "-c", str(folder / "driftflow.toml")], input=stdin)


def ragged(folder: Path, share: int) -> Path:
    """A copy of the events, every so manieth row with a cell more."""
    header, *rows = (folder / "events.csv").read_text().splitlines()
    rows = [row if i % share else f"{row},1" for i, row in enumerate(rows)]
    return overwrite(folder / "ragged.csv", "\n".join([header, *rows]).encode())


def test_more_dropped_rows_than_may_be_end_with_status_3(folder: Path) -> None:
    path = ragged(folder, 50)
    for words in (["score", str(path)], ["evaluate", str(path), "--out", str(folder / "report.html")]):
        run = invoke(folder, *words)
        assert run.exit_code == 3, run.output
        assert "29 of 1,440 rows" in run.output
        assert "were dropped, 2.01%, and --max-dropped is 1.00%: 29 unreadable" in run.output
        assert "line 2: 4 cells, the header has 3" in run.output
        assert invoke(folder, *words, "--max-dropped", "0.03").exit_code == 0
    assert (folder / "report.html").exists()
    assert invoke(folder, "score", str(ragged(folder, 200))).exit_code == 0


def scored(result: Result) -> str:
    """How many rows there were, and how many were scored."""
    assert result.exit_code == 0, result.output
    (found,) = re.findall(r"^([\d,]+) rows of .*: ([\d,]+) scored", result.output, re.MULTILINE)
    return " ".join(found)


def test_rows_that_the_last_sentence_quotes_do_not_move_the_cursor(folder: Path) -> None:
    path = folder / "events.jsonl"
    good = json.dumps({"at": "2026-01-01T00:00:00Z", "x": 2.0, "y": 1.0})
    path.write_text("\n".join([good, "\x1b[2Jnonsense"] * 50))
    run = CliRunner().invoke(main, ["score", str(path), "-c", str(folder / "driftflow.toml")])
    assert run.exit_code == 3, run.output
    assert "nonsense" in run.stderr
    assert "\x1b[2J" not in run.output


def test_standard_input_a_pipe_and_a_file_give_the_same(folder: Path) -> None:
    path = folder / "events.csv"
    told = scored(invoke(folder, "score", str(path)))
    assert told.startswith("1,440 ")
    assert scored(invoke(folder, "score", "-", stdin=path.read_bytes())) == told
    assert scored(invoke(folder, "score", "-", stdin=gzip.compress(path.read_bytes()))) == told
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=lambda: (folder / "pipe").write_bytes(path.read_bytes()))
    writer.start()
    assert scored(invoke(folder, "score", str(folder / "pipe"))) == told
    writer.join()


def test_a_cut_file_is_scored_as_far_as_it_goes_and_ends_with_a_sentence(folder: Path) -> None:
    path = overwrite(folder / "cut.csv.gz", gzip.compress((folder / "events.csv").read_bytes())[:-9_000])
    run = invoke(folder, "score", str(path))
    (n,) = re.findall(r"^([\d,]+) rows of", run.output, re.MULTILINE)
    assert 0 < int(n.replace(",", "")) < 1_440
    assert (
        f"cut.csv.gz ends early (Compressed file ended before the end-of-stream marker was reached): the {n} rows"
        in (run.output)
    )
    assert run.exit_code == 1


def test_a_file_that_ends_before_there_is_a_clock_says_so(folder: Path) -> None:
    rows = (folder / "events.csv").read_text().splitlines()
    path = overwrite(folder / "short.csv", "\n".join(rows[:11]).encode())
    run = invoke(folder, "score", str(path))
    assert run.exit_code == 3, run.output
    assert "the file ended before its partition had a clock (windows.clock)" in run.output


def test_too_few_rows_name_the_reason_of_those_that_went(cfg: Config) -> None:
    events = [json.loads(body) for body in bodies(5, 600, 30_000)]
    for i, event in enumerate(events):
        event["y"] = event["y"] if i % 3 else [event["y"]]
        event |= dict.fromkeys("xyv") if i % 30 == 0 else {}
    cfg.path("events.jsonl").write_text("\n".join(map(json.dumps, events)))
    with pytest.raises(ModelError) as refused:
        bootstrap(cfg, cfg.path("events.jsonl"), "1970-01-01T00:00:20", Console(quiet=True))
    said = str(refused.value)
    assert re.search(r"too few blocks: .*; not among them: 180 wrong_type in field 'y' \(line 4: ", said)
    assert re.search(r"[\d,]+ not before --bootstrap-until \(1970-01-01T00:00:20\)", said)
    assert re.search(r"\d+ unscorable \(every numeric field is missing, or one is infinite\)", said)
