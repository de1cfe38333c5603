"""Categories with more levels than are kept apart: what one value of the rest may cost, and what is drawn for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowlib.density import Density
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.fitting import LEVELS_MAX
from flowlib.encoder.spec import FeatureSpec
from flowlib.frames.estimator import FlowDensity
from flowlib.sampling import RARE
from flowlib.table import Table
from tests.flowlib.conftest import trained

N = 20_000
SPEC = FeatureSpec(("x", "y"), ("id", "kind"))


def ids(n: int, seed: int) -> Any:
    """Some eighteen thousand different ones in twenty thousand rows; hardly any comes three times."""
    return np.array([f"id{i}" for i in np.random.default_rng(seed).integers(0, 90_000, n)], dtype=object)


def table(n: int, seed: int) -> Table:
    """A third of the ids are one of two hundred, the others single events; a column of two kinds beside it."""
    g = np.random.default_rng(seed)
    often = np.array([f"often{i}" for i in g.integers(0, 200, n)], dtype=object)
    names = np.where(g.random(n) < 1 / 3, often, np.array([f"once{seed}-{i}" for i in range(n)], dtype=object))
    kinds = g.choice(np.array(["a", "b"], dtype=object), n)
    return Table.of(g.standard_normal((n, 2)), np.column_stack([names, kinds]))


def names(*given: str) -> Table:
    return Table.of(np.zeros((len(given), 2)), np.array([[name, "a"] for name in given], dtype=object))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.fit(SPEC, table(3_000, 1))


def test_no_rare_or_unseen_level_is_likelier_than_a_known_one(encoder: Encoder) -> None:
    known = encoder.levels[0]
    rare = next(name for name in table(3_000, 1).categories[:, 0] if name not in known)
    log_prob = encoder.encode(names("often0", known[-1], rare, "never")).category_log_prob[:, 0]
    assert log_prob[0] > log_prob[1] > log_prob[2] == log_prob[3]


def test_all_levels_and_one_unseen_share_what_there_is(encoder: Encoder) -> None:
    levels = len(set(table(3_000, 1).categories[:, 0]))
    assert encoder.rare_levels == (levels - LEVELS_MAX, 0)
    for rare, log_prob in zip(encoder.rare_levels, encoder.level_log_prob, strict=True):
        assert np.exp(log_prob[:-1]).sum() + (rare + 1) * np.exp(log_prob[-1]) == pytest.approx(1.0)


def test_it_is_told_how_many_there_are(encoder: Encoder) -> None:
    told = [finding for finding in encoder.findings if finding.kind == "many levels"]
    assert [finding.columns for finding in told] == [("id",)]
    assert told[0].says == (
        f"id has {encoder.rare_levels[0] + 256:,} levels; the 256 most frequent are kept apart, "
        "the others share what is left: leave the column out if it names single events"
    )


@pytest.mark.parametrize("rare", [[], [1], [1, -1], [1, 0.5], ["1", "0"]])
def test_counts_that_do_not_fit_are_refused(encoder: Encoder, rare: list[Any]) -> None:
    meta, arrays = encoder.to_state()
    assert Encoder.from_state(meta, arrays).rare_levels == encoder.rare_levels
    with pytest.raises(ValueError, match="rare_levels"):
        Encoder.from_state(meta | {"rare_levels": rare}, arrays)


def test_a_rare_level_is_drawn_as_often_as_there_were_any() -> None:
    rows = table(3_000, 1)
    density = Density.fit(SPEC, rows, table(300, 2), table(300, 3), 0, trained(max_steps=5))
    drawn = density.sample(4_000, 1).categories
    known = set(density.encoder.levels[0])
    assert set(drawn[:, 0]) <= known | {RARE}
    share = np.mean([name not in known for name in rows.categories[:, 0]])
    assert (drawn[:, 0] == RARE).mean() == pytest.approx(share, abs=0.06), "half a row more for each known one"
    assert set(drawn[:, 1]) == {"a", "b"}, "where all levels are known none but those is drawn"


def test_known_rare_and_unseen_ids_are_all_ordinary() -> None:
    """Known ones came more than once, and may be more ordinary than most."""

    def frame(n: int, seed: int, names: Any) -> Any:
        x, y = np.random.default_rng(seed).standard_normal((2, n))
        return pd.DataFrame({"x": x, "y": x + y, "id": names})

    given, n = ids(N, 1), 1_000
    made = FlowDensity(max_steps=50).fit(frame(N, 2, given))
    known = made.density_.encoder.levels[0]
    rare = [name for name in dict.fromkeys(given) if name not in known]
    for which in (["never seen"] * n, list(known[:250]) * 4, rare[:n]):
        p_values = made.p_values(frame(n, 3, which))
        assert np.median(p_values) > 0.3
        assert (p_values <= 0.01).mean() < 0.04
        assert which[0] in known or np.median(p_values) < 0.7
    drawn = made.sample(50, random_state=0)
    assert set(drawn["id"]) <= {*known, RARE}
    assert "id has" in made.findings_[-1]
