"""Times for people to read, and lines that do not fill the log."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app import command_line
from stream_app.cli import main
from stream_app.terminal import Seldom, _Lines, prepare_process, utc


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01 00:00"),
        (1_388_534_399_999, "2013-12-31 23:59"),
        (-1, "1969-12-31 23:59"),
        (10**17, "100000000000000000 ms"),
        (-(10**17), "-100000000000000000 ms"),
        (10**30, f"{10**30} ms"),
    ],
)
def test_a_time_is_text_in_utc_and_a_number_where_it_is_none(ms: int, text: str) -> None:
    assert utc(ms) == text


def test_the_pattern_is_that_of_strftime() -> None:
    assert utc(1_388_534_399_999, "%Y-%m") == "2013-12"


def test_what_happens_for_ever_does_not_fill_the_log() -> None:
    lines: list[str] = []
    seldom = Seldom(lines.append)
    for number in range(2_500):
        seldom(f"record {number} is none of ours")
    assert lines[:9] == [f"record {number} is none of ours" for number in range(9)]
    said = "is none of ours ({:,} so far; one in 1,000 is said)"
    assert lines[9:] == [f"record {number - 1} {said.format(number)}" for number in (10, 1_000, 2_000)]
    assert seldom.count == 2_500


def test_what_clients_say_of_themselves_is_left_out_and_errors_are_not() -> None:
    prepare_process()
    for name in ("kafka.net.selector", "kafka.coordinator.assignors.range", "mode.timers"):
        assert logging.getLogger(name).getEffectiveLevel() == logging.ERROR


def test_a_log_has_a_line_for_each_message(capsys: pytest.CaptureFixture[str]) -> None:
    """A client's traceback is its error in one line; a name with a line break in it begins none."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(levelname)s %(name)s: %(message)s"))
    for name in ("kafka.net.transport", "stream_app.x"):
        logger = logging.Logger(name)
        logger.addHandler(handler)
        try:
            raise ConnectionResetError("gone")
        except ConnectionResetError:
            logger.exception("Error receiving from %s", "a\nb")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "ERROR kafka.net.transport: Error receiving from a\\u000ab: ConnectionResetError('gone')"
    assert lines[1] == "ERROR stream_app.x: Error receiving from a\\u000ab"
    assert lines[2].startswith("Traceback")


def test_what_a_command_prints_is_never_wrapped_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read it a line at a time, and a pipe has no width."""
    said = "a sentence " * 40
    for name, stderr in (("stdout", False), ("stderr", True)):
        pipe = io.StringIO()
        monkeypatch.setattr("sys." + name, pipe)
        command_line._console(stderr).print(said)
        assert pipe.getvalue() == f"{said}\n"


def test_standard_input_is_called_what_was_given_and_the_next_command_can_be_copied(tmp_path: Path) -> None:
    piped = "".join(f'{{"at": {1_700_000_000 + 60 * i}, "x": {i * 7 % 11}.5}}\n' for i in range(50))
    run = CliRunner().invoke(main, ["init", "--from-file", "-", "--out", str(tmp_path / "own.toml")], input=piped)
    assert run.exit_code == 0, run.output
    assert "50 rows of - (JSON lines)" in run.output
    assert f"  driftflow score - -c {tmp_path / 'own.toml'}\n" in run.output
    assert "/standard-input" not in run.output + (tmp_path / "own.toml").read_text()
