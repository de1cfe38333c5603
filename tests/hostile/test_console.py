"""Whatever stands in the embedded store: the page answers, with everything that is not damaged."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.checker import check
from tests.hostile.page import Page

CASES, A_BATCH = 4_000, 200


def test_every_kind_of_row_leaves_an_answer(tmp_path: Path, seed: int) -> None:
    page = Page(tmp_path)
    assert check(page, page.cases(seed, CASES), A_BATCH).cases == CASES
