"""A pipe is kept while a command takes, says so where it is long, and does not fill the disk."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app import pipes
from stream_app.cli import main
from stream_app.errors import DriftflowError


class Endless(io.RawIOBase):
    """A producer that never stops."""

    def read(self, size: int = -1, /) -> bytes:
        """More of the same."""
        return b"a" * size


def test_a_pipe_without_end_ends_in_a_sentence_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = pipes.shutil.disk_usage(tmp_path)._replace(free=300 << 20, total=1_000 << 20)
    monkeypatch.setattr("stream_app.pipes.shutil.disk_usage", lambda _: usage)
    said: list[str] = []
    (folder := tmp_path / "own").mkdir()
    with pytest.raises(DriftflowError, match=r"^standard input has brought more than the 200 MiB .* or set TMPDIR"):
        pipes.keep(Endless(), folder / "kept", "standard input", said.append)
    assert (folder / "kept").stat().st_size <= 200 << 20
    assert [line.rpartition(": ")[2] for line in said] == ["64 MiB", "128 MiB"]


def test_a_command_takes_it_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"2026-01-{day:02}T{hour:02}:00,{day * hour % 7}\n" for day in range(1, 15) for hour in range(24))
    done = CliRunner().invoke(main, ["init", "--from-file", "-", "--yes"], input=f"at,x\n{rows}")
    assert done.exit_code == 0, done.output
    assert "driftflow score -" in done.output
