"""What became of each request is written down as it happens, and read again by the next process."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app import disk
from stream_app.errors import DriftflowError
from stream_app.trainer.requests.answers import Answers
from tests.trainer.asking import ask, asked, stream_in

DAY = 86_400_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path


def test_attempts_count_unless_they_are_released(folder: Path) -> None:
    config, one = stream_in(folder), asked(ask(1))
    answers = Answers(config)
    answers.begin(one)
    answers.release()
    answers.release()
    assert Answers(config).attempts("request-1") == 0
    answers.begin(one)
    assert Answers(config).attempts("request-1") == 1, "as a process sees it that comes after a kill"
    answers.over()
    answers.release()
    assert Answers(config).attempts("request-1") == 1, "what has failed by itself is not released by the end"
    assert Answers(config).attempts("request-2") == 0


def test_an_attempt_is_taken_back_on_a_full_disk_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = stream_in(folder)
    answers = Answers(config)
    answers.begin(asked(ask(1)))
    answers.over()
    before = answers.path.read_bytes()
    answers.begin(asked(ask(1)))
    monkeypatch.setattr(disk, "append_locked", lambda *_: pytest.fail("there is no room for another line"))
    answers.release()
    assert answers.path.read_bytes() == before
    assert Answers(config).attempts("request-1") == 1


def test_the_newest_pane_is_each_writers_own(folder: Path) -> None:
    config = stream_in(folder)
    answers = Answers(config)
    answers.begin(asked(ask(1, 5 * DAY)))
    answers.answer(asked(ask(2, 3 * DAY)), 1, dated=True)
    answers.answer(asked(ask(3, 9 * DAY)), 2, dated=False)
    answers.answer(asked(ask(4, 7 * DAY), "/driftflow/s/operator"), 3, dated=True)
    again = Answers(config)
    panes = [
        again.newest_pane_ms(asked(ask(9), f"/driftflow/s/{writer}"))
        for writer in ("judge", "operator", "operator/anna")
    ]
    assert panes == [5 * DAY, 7 * DAY, -1], "a date that cannot be right moves nothing"
    assert again.newest_pane_ms(asked(ask(1, 5 * DAY))) == 3 * DAY, "one that comes again is not behind itself"


def test_what_was_answered_and_not_sent_is_known(folder: Path) -> None:
    config = stream_in(folder)
    answers = Answers(config)
    first = answers.answer(asked(ask(1)), 1, dated=True)
    second = answers.answer(asked(ask(2)), 2, dated=True)
    answers.sent(first)
    again = Answers(config)
    assert again.unsent() == [second]
    assert [again.answered(f"request-{number}") is not None for number in (1, 2, 3)] == [True, True, False]


def test_a_damaged_file_is_a_sentence_and_half_a_line_is_none(folder: Path) -> None:
    config, path = stream_in(folder), folder / "models" / "s.answers.jsonl"
    Answers(config).begin(asked(ask(1)))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert Answers(config).attempts("request-1") == 1
    path.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(DriftflowError, match=r"s\.answers\.jsonl, line 1 is damaged .*restore the file"):
        Answers(config)
