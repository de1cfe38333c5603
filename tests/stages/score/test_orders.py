"""No order of events within the lateness changes a closed pane, nor does the way they are spread over partitions."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowlib.density import Density
from flowlib.table import Ints
from schemas.codecs import decode_partial
from schemas.pane_layout import PaneLayout
from schemas.records import PaneBlock
from stream_app.stages.batches import RawBatch
from stream_app.stages.merging import merge_blocks
from stream_app.stages.score.decoding import Decoder
from tests.stages import streams
from tests.stages.score.bodies import slices_of
from tests.stages.streams import PANE, config, event, pipeline, score_all

CONFIG, LATENESS, END = config(), 500, 8_000
LAYOUT = PaneLayout(len(streams.NUMERIC), len(streams.CATEGORIES))
FOLLOWS_THE_ORDER = ("adaptive",)
"""A level of each slice that learns event by event on its source partition: it alone may see an order."""

Rows = dict[tuple[str, int, str], Ints]


def events(seed: int, n: int = 80) -> list[tuple[int, bytes]]:
    """Times and bodies, by time."""
    rng, (numeric, categories, stations) = np.random.default_rng(seed), streams.table(np.random.default_rng(seed), n)
    times = np.sort(rng.integers(0, END, n))
    made = []
    for i, t in enumerate(times.tolist()):
        x, y, v = (None if np.isnan(value) else float(value) for value in numeric[i])
        made.append((t, event(t, i, x=x, y=y, v=v, c=categories[i, 0], station=stations[i])))
    return made


def merged(model: Density, parts: list[list[bytes]], size: int = 1_000) -> Rows:
    """Rows of the closed panes by slicing, pane and slice: of each source partition through SCORE, then merged."""
    made, found = pipeline(CONFIG, [model], len(parts)), defaultdict(list)
    for p, part in enumerate(parts):
        closing = event(END + 60_000, 99_999)
        for message in score_all(made, p, [*part, closing], [size]).messages:
            if message.role == "partials":
                block = decode_partial(message.value, dict(message.headers))
                if isinstance(block, PaneBlock):
                    found[block.slicing, block.pane_start_ms].append(block)
    rows: Rows = {}
    for (slicing, start), blocks in found.items():
        names = {name for block in blocks for name in block.slices}
        pane = merge_blocks(LAYOUT, slicing, [(start, blocks)], names)
        rows |= {(slicing, start, name): row for name, row in zip(pane.names, pane.rows, strict=True)}
    return rows


def check_same(found: Rows, expected: Rows) -> None:
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for name in LAYOUT.shapes.keys() - FOLLOWS_THE_ORDER:
            assert LAYOUT.get(found[key], name).tolist() == LAYOUT.get(row, name).tolist(), (key, name)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.integers(0, 5), st.randoms(use_true_random=False), st.integers(1, 40))
def test_no_order_within_the_lateness_changes_a_closed_pane(
    model: Density, seed: int, chance: random.Random, size: int
) -> None:
    given_ = events(seed)
    expected = merged(model, [[body for _, body in given_]])
    shuffled = sorted(given_, key=lambda one: one[0] + chance.uniform(0, LATENESS - 1))
    check_same(merged(model, [[body for _, body in shuffled]], size), expected)
    assert sum(int(LAYOUT.get(row, "late")) for row in expected.values()) == 0


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.integers(0, 5), st.lists(st.integers(0, 3), min_size=80, max_size=80))
def test_no_split_over_partitions_changes_a_merged_pane(model: Density, seed: int, partitions: list[int]) -> None:
    given_ = events(seed)
    expected = merged(model, [[body for _, body in given_]])
    parts = [[body for (_, body), of in zip(given_, partitions, strict=True) if of == p] for p in range(4)]
    check_same(merged(model, parts), expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_pane_is_what_sorting_and_grouping_makes_of_its_events(model: Density, seed: int) -> None:
    """By hand: each event scored by itself, sums and extremes slice by slice."""
    given_ = events(seed)
    found = merged(model, [[body for _, body in given_]])
    raw = RawBatch("e", 0, np.arange(len(given_)), [body for _, body in given_])
    batch, _ = Decoder(CONFIG).decode(raw)
    scores, channels = model.score(batch.table()), model.channels
    assert channels is not None
    own = channels.of(scores)
    groups: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    names = slices_of(batch)
    for i, (t, _) in enumerate(given_):
        for slicing, name in zip(CONFIG.slicing_names, names[i], strict=True):
            groups[slicing, t // PANE * PANE, name].append(i)
    assert found.keys() == {key for key in groups if key[1] < END}
    for key, row in found.items():
        at = np.array(groups[key])
        assert LAYOUT.get(row, "seen") == LAYOUT.get(row, "scored") == len(at)
        assert LAYOUT.get(row, "base").tolist() == own.base[at].sum(axis=0).tolist()
        assert LAYOUT.get(row, "square").tolist() == (own.base[at] ** 2).sum(axis=0).tolist()
        assert LAYOUT.get(row, "product").tolist() == channels.products(own.base[at]).sum(axis=0).tolist()
        assert LAYOUT.get(row, "missing").tolist() == scores.missing[at].sum(axis=0).tolist()
        values = [batch.numeric[at, j][~scores.missing[at, j]] for j in range(LAYOUT.d)]
        for j, present in enumerate(values):
            if len(present):
                low, high = (LAYOUT.get(row, name)[j] for name in ("low", "high"))
                assert (low == high) == (present.min() == present.max())
