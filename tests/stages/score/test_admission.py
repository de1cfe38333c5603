"""Which slices have a place: known ones always, newcomers once they have lasted, whatever the batches."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.density import Density
from schemas.pane_layout import OTHER
from schemas.records import Strangers
from stream_app.stages.score import admission
from stream_app.stages.score.admission import FOLLOWED
from stream_app.stages.score.sketch import HASHES_MAX
from stream_app.stages.snapshot import pack
from tests.stages.score.admitting import PANE, WAITS, Admitted, Came, Models, admit, knowing, stream

FEW = ("a", "b", "c", "d", "e", "f", "g", "h")


@pytest.fixture(scope="module", autouse=True)
def few_followed() -> Iterator[None]:
    """So few that they give way to one another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "FOLLOWED_MIN", 0)
        yield


@pytest.fixture(scope="session")
def models(model: Density) -> Models:
    """Models by what they know."""
    known = {"m": ("a", "b"), "other": ("c", "d", "e"), "nothing": (), "many": FEW}
    return Models((name, knowing(model, *slices)) for name, slices in known.items())


def every_pane(first: int, last: int, *names: str) -> list[Came]:
    """Each name once in each of some panes."""
    return [Came(pane * PANE + i, (name,)) for pane in range(first, last) for i, name in enumerate(names)]


def merged(*parts: list[Came]) -> list[Came]:
    """In order of time."""
    return sorted(itertools.chain(*parts), key=lambda one: one.time_ms)


def flood(first: int, last: int, each: int = 20) -> list[Came]:
    """New names in some panes, each once."""
    numbers = itertools.count(first * each)
    return [Came(p * PANE + 10 + i, (f"attack {next(numbers)}",)) for p in range(first, last) for i in range(each)]


STEPS = st.tuples(st.integers(-1_500, 2_500), st.sampled_from([*FEW, "x1", "x2", "x3"]), st.integers(1, 3))


@st.composite
def streams(draw: st.DrawFn) -> list[Came]:
    """Names that come and go, a little out of order, some for long and with pauses."""
    events, now = list[Came](), 5_000
    for step, name, times in draw(st.lists(STEPS, max_size=60)):
        now = max(now + step, 0)
        events += [Came(now + 7 * i, (name,)) for i in range(times)]
    return events


def by_pane(pane_ms: int) -> str:
    """Another model from the twelfth pane on."""
    return "m" if pane_ms < 12 * PANE else "other"


CUTS = st.sets(st.integers(1, 150), max_size=8)


def same(one: Admitted, other: Admitted) -> bool:
    """Whether all that was said is the same, and all that will be."""
    said = [(a.names, a.gone, a.strangers, pack([a.state.to_state(), a.timing.to_state()])) for a in (one, other)]
    return said[0] == said[1]


@settings(max_examples=200, deadline=None)
@given(streams(), CUTS, CUTS, st.integers(1, 6), st.sampled_from([0, 1_500]))
def test_neither_batches_nor_snapshots_make_a_difference(
    models: Models, events: list[Came], cuts: set[int], restored: set[int], most: int, lateness: int
) -> None:
    run = functools.partial(admit, stream(most, lateness=lateness), events, models, by_pane)
    whole = run()
    assert same(run(cuts=cuts, restored=restored), whole)
    assert same(run(cuts=range(len(events))), whole)


@settings(max_examples=150, deadline=None)
@given(streams(), st.integers(1, 10), st.sampled_from(["m", "many", "nothing"]))
def test_places_are_bounded_and_known_slices_have_theirs_from_their_first_event_on(
    models: Models, events: list[Came], most: int, knows: str
) -> None:
    done = admit(stream(most), events, models, lambda _: knows, cuts=range(len(events)))
    known = set(models[knows].references[0].slices)
    assert done.most <= most
    assert len(done.state.tables[0].newcomers if events else ()) <= FOLLOWED * most
    if most >= len(known):
        assert all(counted == name for _, name, counted in done.names.values() if name in known)
        assert not known & {name for at, name in done.gone if not is_idle(done, at, name)}


def is_idle(done: Admitted, at: int, name: str) -> bool:
    """Whether a name has not come in the eight panes before an event."""
    before = [pane for offset, (pane, own, _) in done.names.items() if offset < at and own == name]
    return done.names[at][0] - max(before) > 8 * PANE


@settings(max_examples=150, deadline=None)
@given(streams(), st.sampled_from([0, 1_500]))
def test_a_pane_has_all_events_of_a_name_in_one_slice(models: Models, events: list[Came], lateness: int) -> None:
    """But for a name that gives way to a known one, and for late events, which go where there is an open pane."""
    done = admit(stream(10, lateness=lateness), events, models, by_pane)
    ways = dict[tuple[int, str], set[str]]()
    for offset, (pane, name, counted) in done.names.items():
        if pane == events[offset].time_ms // PANE * PANE:
            ways.setdefault((pane, name), set()).add(counted)
    gone = {name for _, name in done.gone}
    assert all(len(counted) == 1 for (_, name), counted in ways.items() if name not in gone)


# A flood of new names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "knows"), [(0, "many"), (15, "many"), (15, "nothing")])
def test_a_flood_takes_no_place_of_a_slice_that_has_one(models: Models, first: int, knows: str) -> None:
    honest = every_pane(0, 40, *FEW)
    events = merged(honest, flood(first, 40, each=100))
    done = admit(stream(16), events, models, lambda _: knows)
    lost = [offset for offset, (_, name, counted) in done.names.items() if name in FEW and counted != name]
    assert lost == []
    assert done.most <= 16


def test_a_newcomer_lasts_and_gets_a_place_in_the_midst_of_a_flood(models: Models) -> None:
    new = [Came(one.time_ms + 500 + i, one.values) for one in every_pane(15, 40, "new") for i in range(5)]
    events = merged(every_pane(0, 40, "a", "b"), flood(5, 40), new)
    done = admit(stream(10), events, models)
    assert done.panes("new") == list(range(15 + WAITS, 40)), "from the pane on that no event has reached"
    assert not [name for name in done.state.tables[0].places if name.startswith("attack 1")]


def test_those_with_most_events_come_first(models: Models) -> None:
    waiting = {"x": 1, "y": 3, "z": 2}
    several = [
        Came(one.time_ms + 10 * i, one.values)
        for one in every_pane(5, 12, *waiting)
        for i in range(waiting[one.values[0]])
    ]
    done = admit(stream(4), merged(every_pane(0, 12, "a", "b"), several), models)
    assert list(done.state.tables[0].places) == ["a", "b", "y", "z"]


def test_at_the_beginning_newcomers_take_half_of_the_places_at_once(models: Models) -> None:
    done = admit(stream(6), every_pane(0, 2, *FEW), models)
    first = {name for _, name, counted in done.names.values() if counted == name}
    assert first == {"a", "b", "c"}, "a and b are known; half of six are taken then"


def test_where_the_model_knows_no_slice_half_of_the_places_are_given_at_any_time(models: Models) -> None:
    events = [*every_pane(0, 10, "w"), *every_pane(10, 12, *FEW)]
    done = admit(stream(6), events, models, lambda _: "nothing")
    assert list(done.state.tables[0].places) == ["w", "a", "b"]


def test_the_newest_that_the_model_does_not_know_gives_way_to_one_that_it_knows(models: Models) -> None:
    events = [*every_pane(0, 12, "u", "v", "w", "x"), *every_pane(12, 14, "u", "a", "x")]
    before = admit(stream(4), events[:-6], models)
    assert list(before.state.tables[0].places) == ["u", "v", "w", "x"]
    done = admit(stream(4), events, models)
    assert list(done.state.tables[0].places) == ["u", "v", "w", "a"]
    assert done.gone == [(len(events) - 5, "x")]
    assert done.panes("a") == [12, 13]
    assert done.panes("x") == list(range(WAITS, 12)), "its events after that are counted with the others at once"


def test_a_place_that_becomes_free_in_a_pane_counts_from_the_next(models: Models) -> None:
    events = [Came(t, (name,)) for t, name in ((0, "w"), (10_400, "x"), (10_600, "x"), (10_700, "x"), (11_000, "x"))]
    done = admit(stream(2, lateness=1_500), events, models, lambda _: "nothing")
    assert done.gone == [(2, "w")], "idle for the longest span, while pane 10 is open"
    assert [counted for _, _, counted in done.names.values()] == ["w", OTHER, OTHER, OTHER, "x"]


def test_of_more_known_ones_than_there_are_places_the_first_keep_theirs(models: Models) -> None:
    done = admit(stream(3), every_pane(0, 9, *FEW), models, lambda _: "many")
    assert list(done.state.tables[0].places) == ["a", "b", "c"]
    assert done.gone == []


# They come and go --------------------------------------------------------------------------------------------------


def test_the_idle_leave_after_the_longest_span_and_begin_anew(models: Models) -> None:
    events = merged(every_pane(0, 40, "a"), every_pane(0, 5, "b", "x"), every_pane(20, 40, "b", "x"))
    done = admit(stream(6), events, models, cuts=range(0, 200, 3))
    left = {name: done.names[at][0] // PANE for at, name in done.gone}
    assert left == {"b": 13, "x": 13}, "pane 4 was their last, and panes 5 to 12 are a longest span"
    assert done.panes("b") == [*range(5), *range(20, 40)]
    assert done.panes("x") == [*range(5), *range(20 + WAITS, 40)]


def test_newcomers_that_do_not_come_again_are_forgotten(models: Models) -> None:
    done = admit(stream(4), merged(every_pane(0, 40, "a"), flood(5, 8, each=2)), models)
    assert len(done.state.tables[0].newcomers) == 0


def test_a_lower_bound_after_a_restart_is_kept_to_when_a_known_slice_comes(models: Models) -> None:
    before = admit(stream(8), every_pane(0, 9, "s", "t", "u", "v"), models)
    assert len(before.state.tables[0].places) == 4
    after = admit(stream(2), [Came(9_000, ("a",))], models, begun=before)
    assert list(after.state.tables[0].places) == ["s", "a"]


# Who had no place ---------------------------------------------------------------------------------------------------


def said(done: Admitted) -> Iterator[tuple[int, Strangers]]:
    for pane, records in done.strangers.items():
        assert len(records) == 1
        yield pane // PANE, records[0]


def test_the_marker_of_a_pane_says_who_had_no_place_in_it(models: Models) -> None:
    events = merged(every_pane(0, 8, "a"), flood(5, 6, each=7), [Came(5_900, ("attack 35",))])
    done = admit(stream(4), events, models, cuts=[9, 12])
    examples = [f"attack {n}" for n in range(35, 40)]
    assert dict(said(done)) == {
        5: Strangers(slicing="station", names=7, events=8, field="station", values=7, examples=examples)
    }


def test_events_of_strangers_are_those_counted_as_others(models: Models) -> None:
    events = merged(every_pane(0, 20, "a", "b"), flood(4, 20, each=3))
    done = admit(stream(4), events, models)
    for pane, record in said(done):
        assert record.events == sum(counted == OTHER for at, _, counted in done.names.values() if at == pane * PANE)


def test_the_field_that_explodes_is_named(models: Models) -> None:
    countries, model = ("DE", "FR", "IT"), {"m": knowing(models["m"], *(f"{c}|web" for c in ("DE", "FR", "IT")))}
    honest = [Came(p * PANE + i, (c, "web")) for p in range(9) for i, c in enumerate(countries)]
    attack = [Came(6 * PANE + 10 + i, (countries[i % 3], f"dev|ice {i}")) for i in range(900)]
    done = admit(stream(50, fields=("country", "device")), merged(honest, attack), model)
    ((pane, record),) = said(done)
    assert (pane, record.slicing, record.field, record.events) == (6, "country+device", "device", 900)
    assert record.names > HASHES_MAX
    assert record.values == pytest.approx(900, rel=0.2)
    assert record.examples[0] == "DE|dev%7Cice 0"


def test_a_value_that_some_slice_with_a_place_has_is_not_new(models: Models) -> None:
    known = [(c, d) for c in "ABC" for d in "xyz" if (c, d) != ("C", "z")]
    honest = [Came(p * PANE + i, pair) for p in range(9) for i, pair in enumerate(known)]
    events = merged(honest, [Came(6_500, ("C", "z")), Came(6_501, ("D", "z"))])
    model = {"m": knowing(models["m"], *("|".join(pair) for pair in known))}
    ((_, record),) = said(admit(stream(50, fields=("country", "device")), events, model))
    assert (record.names, record.field, record.values) == (2, "country", 1)


def test_the_name_of_the_others_is_nobodys(models: Models) -> None:
    """An event that says ``__other__`` has a slice of its own, with a name of its own."""
    events = merged(every_pane(0, 9, "a", OTHER), flood(4, 9, each=3))
    assert Came(0, (OTHER,)).name == "%5F_other__"
    done = admit(stream(6), events, models)
    assert OTHER not in done.state.tables[0].places
    assert done.panes("%5F_other__") == list(range(9))
