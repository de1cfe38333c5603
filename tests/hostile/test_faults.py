"""Whatever fails in a process: it goes on, or it ends in time with a sentence, as the tables in ARCHITECTURE.md say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.faulting import folder_for
from tests.hostile.faults import FAULTS, Fault
from tests.hostile.roles import ROLES
from tests.integration.stream import Stream

_GUIDE = Path(__file__).parents[2] / "ARCHITECTURE.md"
_GOES_ON = re.compile(r"tried (again|twice)|sent again|goes on|asks again|set aside")
_ENDS = re.compile(r"\bends\b|the checkpoint fails")
_NOT_PUT = {
    *("any other thread", "first events", "schemas", "ledger", "trainer: a message that is no request"),
    *("notify: a delivery", "notify: reading the topic", "schemas of signals"),
}
"""Rows without a fault here: tests/test_guard.py, tests/worker/test_first_events.py (they are looked at before a fault
could be put in), tests/worker/test_schemas.py, tests/kafka/test_signal_schemas.py, tests/trainer/test_ledger.py, the
hostile messages and tests/notify/ have them.
"""

Cells = dict[str, tuple[str, str]]


def told() -> Cells:
    """Part or storage to what the guide says of an error and of silence (of storage: of writing and of reading)."""
    section = _GUIDE.read_text().partition("\n## When something fails\n")[2].partition("\n## ")[0]
    cells: Cells = {}
    for line in section.splitlines():
        parts = [part.strip() for part in line.strip("|").split("|")] if line.startswith("|") else []
        if len(parts) == 3 and not parts[0].startswith(("part of", "storage", "---")):
            for name in re.sub(r"\(.*?\)|`", "", parts[0]).split(","):
                cells.setdefault(name.strip(), (parts[1], parts[2]))
    return cells


def test_the_guide_has_a_row_for_every_fault_and_says_the_same() -> None:
    cells = told()
    for fault in FAULTS:
        assert fault.part in cells, f"{fault.name}: no row {fault.part!r} among {sorted(cells)}"
        said = cells[fault.part][fault.how == "hang"]
        wanted = _ENDS if fault.then == "ends" else _GOES_ON
        assert wanted.search(said), f"{fault.name} {fault.then}, and the guide says of {fault.part}: {said}"


def test_every_row_of_the_guide_has_a_fault() -> None:
    assert told().keys() - {fault.part for fault in FAULTS} - {"notices"} == _NOT_PUT


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.in_ci], ids=lambda fault: fault.name)
def test_what_fails_ends_or_goes_on(
    fault: Fault, tmp_path: Path, tansu: str, unique: Callable[[str], str], models: Path, example: Path
) -> None:
    stream = Stream(folder_for(fault, tmp_path), tansu, unique("faulty"))
    stream.adopt(models)
    verdict = ROLES[fault.role](stream, stream.rows(example)).run(fault)
    assert not verdict.faults, "\n".join(verdict.faults)
