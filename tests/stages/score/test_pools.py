"""What is known of texts by number is what dicts have, whatever came before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Coded, Ints
from stream_app.stages.score import texts
from stream_app.stages.score.adaptive import Levels
from stream_app.stages.score.panes import Pane
from stream_app.stages.score.places import NEVER, Table
from stream_app.stages.score.pools import Lookup, Pool, Pooled
from stream_app.stages.score.sketch import Newcomers
from stream_app.stages.score.texts import Texts
from tests.stages.score.plain import config

NAMES = st.sampled_from(["a", "b", " c", "n/a", "", "ä", "é", "e\u0301", None, *map(str, range(30))])
BATCHES = st.lists(st.lists(NAMES, min_size=1, max_size=12), min_size=1, max_size=8)


class _Sender:
    """Columns of texts with numbers, as a column reader has them."""

    def __init__(self) -> None:
        self._pool, self._numbers = Pool(), dict[str | None, int]()

    def column(self, batch: list[str | None]) -> Pooled:
        plain = Coded.of(batch)
        for text in plain.names:
            if text not in self._numbers:
                self._numbers[text] = self._pool.add(text)
        numbers = np.array([self._numbers[text] for text in plain.names], dtype=np.int64)
        return self._pool.column(plain.codes, numbers)


@settings(max_examples=80, deadline=None)
@given(BATCHES, st.sampled_from([2, 2**18]))
def test_names_of_slices_are_those_of_each_text_by_itself(batches: list[list[str | None]], most: int) -> None:
    """With numbers or without, also where the pool begins anew in between."""
    event = config(slicings=[["a"]], missing_values=["n/a"], unicode="NFC").event
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "POOL_MAX", most)
        numbered, plain, sender = Texts(event), Texts(event), _Sender()
        for batch in batches:
            expected = [Texts(event).name([text]) for text in batch]
            for made, column in ((numbered, sender.column(batch)), (plain, Coded.of(batch))):
                found = made.slices([column], len(batch))
                assert found.objects().tolist() == expected
                assert found.names == list(dict.fromkeys(expected))
            several = plain.slices([Coded.of(batch), Coded.of(batch[::-1])], len(batch))
            assert several.objects().tolist() == [
                Texts(event).name(pair) for pair in zip(batch, batch[::-1], strict=True)
            ]


@settings(max_examples=80, deadline=None)
@given(BATCHES, st.data())
def test_what_is_known_is_what_the_dict_has(batches: list[list[str | None]], data: st.DataObject) -> None:
    known, lookup, sender = dict[str | None, int](), Lookup(), _Sender()

    def look(names: list[str | None]) -> Ints:
        return np.array([known.get(name, -1) for name in names], dtype=np.int64)

    room = st.sampled_from([0, 20, 1_000])
    for k, batch in enumerate(batches):
        column = sender.column(batch) if data.draw(st.booleans()) else Coded.of(batch)
        found = lookup.of(column, look, data.draw(room))
        assert found.tolist() == look(column.names).tolist()
        for code in np.flatnonzero(found < 0).tolist():
            known[column.names[code]] = k
        moved = data.draw(st.lists(st.sampled_from(range(len(column.names))), unique=True))
        known.update((column.names[code], 100 + k) for code in moved)
        if data.draw(st.booleans()):
            lookup.forget()
        else:
            lookup.of(column, look, data.draw(room))
            lookup.put(column, np.array(moved, dtype=np.int64), np.full(len(moved), 100 + k))
        if data.draw(st.booleans()):
            sender = _Sender()  # numbers of another pool


def test_what_texts_without_numbers_bring_is_known_of_those_with_numbers() -> None:
    """A batch with events that were held has none."""
    sender, table = _Sender(), Table(Newcomers(100, 3), [])
    numbered, plain = sender.column(["a", "b"]), Coded.of(["a", "b"])
    table.take("a", 60_000)
    assert table.newest_of(numbered).tolist() == [60_000, NEVER]
    assert table.newest_of(plain).tolist() == [60_000, NEVER]
    table.places["a"] = 120_000
    table.found.put(plain, np.array([0]), np.array([120_000]))
    assert table.newest_of(numbered).tolist() == [120_000, NEVER]


def test_a_pool_that_has_become_too_large_is_no_end() -> None:
    sender, lookup, known = _Sender(), Lookup(), dict.fromkeys(map(str, range(40)), 0)

    def look(names: list[str]) -> Ints:
        return np.array([known[name] for name in names], dtype=np.int64)

    for batch in (range(10), range(30, 40), range(10)):
        column = sender.column([*map(str, batch)])
        assert lookup.of(column, look, 10).tolist() == look(column.names).tolist()
        lookup.put(column, np.array([9]), np.array([7]))
        known[column.names[9]] = 7


def test_what_never_changes_is_asked_for_once() -> None:
    column, known = _Sender().column(["a", "b", "a"]), {"b": 3}
    assert column.looked_up(known, 0).tolist() == [0, 3]
    assert column.looked_up({"a": 4}, 7).tolist() == [4, 7]
    known.clear()  # as none does: it is not looked at again
    assert column.take(np.array([1])).looked_up(known, 0).tolist() == [0, 3]
    for i in range(100):
        assert column.looked_up({"a": i}, 7).tolist() == [i, 7]


def test_who_loses_a_place_is_not_known_any_more() -> None:
    sender, table, levels = _Sender(), Table(Newcomers(100, 3), []), Levels()
    column = sender.column(["a", "b"])
    table.take("a", 60_000)
    assert table.newest_of(column).tolist() == [60_000, NEVER]
    table.move("a", 120_000)
    assert table.newest_of(column).tolist() == [120_000, NEVER]
    table.give_back("a")
    assert table.newest_of(column).tolist() == [NEVER, NEVER]
    assert levels.of(column).tolist() == [0, 1]
    levels.forget(["a"])
    assert levels.of(sender.column(["c", "a", "b"])).tolist()[2] == 1
    assert sorted(levels.places) == ["a", "b", "c"]
    assert sorted(levels.places.values()) == [0, 1, 2]


def test_a_pane_of_few_slices_remembers_no_large_pool() -> None:
    """Sixty-four may be open at a time."""
    pane, pool = Pane("m", np.zeros((0, 20), dtype=np.int64)), Pool()
    for i in range(100_000):
        pool.add(str(i))
    pane.slices["7"] = 0
    column = pool.column(np.array([0, 1]), np.array([7, 8]))
    assert pane.rows_of(column).tolist() == [0, -1]
    assert len(pane.found._known) == 0
