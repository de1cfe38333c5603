"""A stricter promise from verdicts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.incidents import Incident
from stream_app.config import with_rules
from stream_app.offline.proposals import JUDGED_MIN, propose
from tests.stages.judge.making import Run, candidate, config

CONFIG = config(alerts={"false_incidents_per_month": 2.0})
(OPENED,) = Run(CONFIG).pane(candidate("Dongsi"))


def opened(over: float) -> Incident:
    """An incident that opened with so many times what it takes."""
    return msgspec.structs.replace(OPENED, statistic=over * OPENED.threshold)


def proposed(noise: list[float], real: list[float]) -> object:
    every = {f"n{i}": opened(over) for i, over in enumerate(noise)} | {f"r{i}": opened(o) for i, o in enumerate(real)}
    return propose(CONFIG, every, {name: "noise" if name[0] == "n" else "useful" for name in every})


def test_noise_that_is_weaker_than_all_that_was_real_would_be_spared() -> None:
    found = propose(
        CONFIG,
        {name: opened(over) for name, over in (("a", 1.5), ("b", 3.0), ("c", 40.0), ("d", 100.0), ("e", 900.0))},
        {"a": "noise", "b": "noise", "c": "noise", "d": "wrong-owner", "e": "useful"},
    )
    assert found is not None
    assert (found.noise, found.noise_left, found.real) == (3, 0, 2)
    assert found.promise == pytest.approx(2.0 / 90.0)


def test_nothing_is_proposed_from_few_verdicts_or_where_noise_is_as_strong() -> None:
    assert proposed([1.5] * (JUDGED_MIN - 2), [50.0]) is None
    assert proposed([100.0] * 5, [2.0] * 5) is None


@given(st.lists(st.floats(0.01, 1e6), max_size=9), st.lists(st.floats(0.01, 1e6), max_size=9))
def test_a_proposal_is_never_laxer_and_spares_noise_and_nothing_that_was_real(
    noise: list[float], real: list[float]
) -> None:
    found = proposed(noise, real)
    if found is not None:
        factor = 2.0 / found.promise  # type: ignore[attr-defined]
        assert factor >= 1.0
        assert found.noise_left < len(noise)  # type: ignore[attr-defined]
        assert all(over >= factor or over < 1.0 for over in real), "each would open, or came in with others"


def test_its_file_is_one_of_rules(tmp_path: Path) -> None:
    found = proposed([1.5] * 5, [50.0])
    path = tmp_path / "rules.toml"
    path.write_text(found.toml(CONFIG))  # type: ignore[attr-defined]
    changed = with_rules(CONFIG, path)
    assert changed.alerts.false_incidents_per_month == pytest.approx(2.0 / 45.0, rel=1e-2)
    assert changed.rules == CONFIG.rules
