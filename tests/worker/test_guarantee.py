"""The page about the guarantee says what the code does: its steps, its gaps, and the sentences that people see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.sinks.influx import _REMEDIES
from stream_app.worker.losses import RULE, SEVERITIES
from stream_app.worker.outbox import GAPS, Outbox

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "stream_app/worker/GUARANTEE.md").read_text()

FAILURES = (
    "`kill -9`",
    "SIGTERM",
    "broker away",
    "broker restarted",
    "sink down",
    "sink 401",
    "disk full",
    "two folders",
    "base or head",
    "another version",
    "topic deleted",
    "made again",
    "partitions added",
    "retention",
    "transaction left open",
    "poison message",
    "model missing",
    "clock",
    "registry away",
    "woken again",
)
"""What the table has to speak of."""


def steps(text: str) -> list[str]:
    """The items of a numbered list, in plain words."""
    items = re.findall(r"^ *\d\. (.*?)(?=^ *\d\. |\n\n)", text, re.DOTALL | re.MULTILINE)
    return [" ".join(re.sub(r":meth:|`", "", item).split()).rstrip(";.") for item in items]


def rows() -> list[list[str]]:
    """The cells of the table of failures."""
    lines = [line for line in PAGE[PAGE.index("| failure |") :].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def texts() -> Iterator[str]:
    """Every text in the code, placeholders left out."""
    for path in (ROOT / "stream_app").rglob("*.py"):
        tree = ast.parse(path.read_text())
        yield from (one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str))


def test_the_steps_are_those_of_a_checkpoint_and_each_gap_is_named_behind_its_step() -> None:
    on_page = re.findall(r"^(.*) \((.*)\)$", "\n".join(steps(PAGE)), re.MULTILINE)
    assert [step.rstrip(";.") for step, _ in on_page] == steps(Outbox.checkpoint.__doc__ or "")
    assert [gap for _, gap in on_page] == [*GAPS]


def test_what_is_left_behind_is_said_of_each_gap() -> None:
    table = PAGE[PAGE.index("| gap |") : PAGE.index("With `[state]")]
    assert re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE) == [*GAPS]


@pytest.mark.parametrize("failure", FAILURES)
def test_the_table_speaks_of_a_failure_with_what_to_do(failure: str) -> None:
    found = [row for row in rows() if failure in row[0]]
    assert found
    assert all(len(row) == 4 and all(row) for row in found)


def test_the_sentences_that_it_quotes_are_those_of_the_code() -> None:
    quoted = set(re.findall(r"“(.*?)”", PAGE)) - {"no space left on device"}
    known = [" ".join(text.split()) for text in texts()]
    assert len(quoted) > 25
    assert {quote for quote in quoted if not any(quote in text for text in known)} == set()


def test_incidents_about_logs_are_named_as_they_are() -> None:
    assert set(re.findall(rf"incident `{RULE}`, `(\w+)`", PAGE)) == set(SEVERITIES)
    assert {status for status in (401, 403, 404) if str(status) in PAGE} == set(_REMEDIES) - {429}


def test_it_is_found() -> None:
    for guide in ("README.md", "ARCHITECTURE.md"):
        assert "stream_app/worker/GUARANTEE.md" in (ROOT / guide).read_text()
