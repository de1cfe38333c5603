"""Fields under another name are found in a few bodies; keys that always were there are not."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import Config
from stream_app.stages.batches import RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.intake import Bad
from stream_app.stages.score.renames import FIRST_ROWS, KEYS_MAX, Looker, Renames
from stream_app.stages.snapshot import pack, unpack
from tests.stages.streams import config, cut

Body = dict[str, Any]


def body(i: int, **others: Any) -> Body:
    return {"t": i, "x": 1.0, "y": 2.0, "v": 3.0, "c": "a", "station": "north", "id": i, "note": "n"} | others


def renamed(i: int, old: str, new: str) -> Body:
    whole = body(i)
    return {new if key == old else key: value for key, value in whole.items()}


def looked(cfg: Config, bodies: list[Body], sizes: list[int]) -> tuple[list[tuple[int, str, str]], int, Any]:
    """Rows that tell of a rename with what they say, how many were looked at, and the state."""
    state, found, n = Renames(), list[tuple[int, str, str]](), 0
    looker, decoder = Looker(cfg), Decoder(cfg)
    values = [msgspec.json.encode(one) for one in bodies]
    for a, b in cut(len(values), sizes):
        state = Renames.from_state(unpack(pack(state.to_state())))
        raw = RawBatch("e", 0, np.arange(a, b), list(values[a:b]))
        bad: Bad = looker.look(state, raw, decoder.decode(raw)[0])
        samples = [bad.sample(i) for i in range(len(bad.rows))]
        found += [(a + int(row), one.field, one.detail) for row, one in zip(bad.rows, samples, strict=True)]
        n += len(bad.looked_at)
    return found, n, state.to_state()


@pytest.mark.parametrize(("old", "new"), [("x", "xx"), ("v", "speed"), ("c", "category"), ("station", "station_name")])
def test_a_field_under_another_name_is_found_at_once(old: str, new: str) -> None:
    bodies = [body(i) for i in range(FIRST_ROWS)] + [renamed(i, old, new) for i in range(FIRST_ROWS, FIRST_ROWS + 200)]
    found, _, _ = looked(config(), bodies, [400])
    assert found[0] == (FIRST_ROWS, old, f"it has no {old!r}, and {new!r} in its place")
    assert {name for _, name, _ in found} == {old}
    assert len(found) >= 20


def test_a_field_that_went_into_an_object_is_found_by_its_path() -> None:
    bodies = [body(i) for i in range(FIRST_ROWS)]
    for i in range(FIRST_ROWS, FIRST_ROWS + 50):
        inner = body(i)
        bodies.append({"data": {"x.1": inner.pop("x")}, **inner})
    found, _, _ = looked(config(), bodies, [400])
    assert found[0][2] == "it has no 'x', and 'data.x.1' in its place"


def test_values_that_are_missing_now_and_then_are_no_rename() -> None:
    rng = np.random.default_rng(5)
    bodies = []
    for i in range(6_000):
        one = body(i, **({"extra": 1} if rng.random() < 0.5 else {}))
        bodies.append({key: value for key, value in one.items() if key != "x" or rng.random() < 0.7})
    found, n, _ = looked(config(), bodies, [700])
    assert len(found) < 5
    assert n < 6_000 * 0.06


def test_two_kinds_of_events_from_the_first_rows_on_are_no_rename() -> None:
    bodies = [renamed(i, "x", "z") if i % 3 else body(i) for i in range(4_000)]
    assert looked(config(), bodies, [700])[0] == []


def test_keys_without_end_are_bounded() -> None:
    bodies = [body(i, **{f"key-{i}": 1}) for i in range(3_000)]
    _, _, state = looked(config(), bodies, [700])
    assert len(state["met"]) <= KEYS_MAX


def test_bodies_that_are_no_objects_are_not_looked_at() -> None:
    raw = RawBatch("e", 0, np.arange(3), [b"[1]", b"\xff", None])
    state = Renames()
    assert len(Looker(config()).look(state, raw, Decoder(config()).decode(raw)[0]).looked_at) == 0
    assert state.rows == 3


def test_what_a_body_has_instead_of_a_field_is_said() -> None:
    looker = Looker(config())
    assert looker.instead("timestamp", b'{"time_stamp": 1, "x": 2}') == "; did you mean 'time_stamp'?"
    assert looker.instead("timestamp", b'{"p": 1, "q": 2, "x": 2}') == "; it has 'p', 'q'"
    assert looker.instead("timestamp", b"{}") == ""
    assert looker.instead("timestamp", b"nope") == ""


def test_a_stream_may_have_more_fields_than_a_whole_number_of_a_snapshot_has_bits() -> None:
    names = [f"n{i}" for i in range(70)]
    cfg = config(event={"numeric": names})
    bodies = [body(i, **dict.fromkeys(names, 1.0)) for i in range(FIRST_ROWS + 50)]
    for one in bodies[FIRST_ROWS:]:
        one["other"] = one.pop("n69")
    found, _, _ = looked(cfg, bodies, [400])
    assert found[0] == (FIRST_ROWS, "n69", "it has no 'n69', and 'other' in its place")


def test_cuts_do_not_matter_where_a_body_that_lacks_nothing_tells_of_a_rename() -> None:
    cfg, bodies = config(event={"max_bytes": 20_000}), [body(i) for i in range(FIRST_ROWS)]
    for i in range(FIRST_ROWS, FIRST_ROWS + 600):
        one = body(i)
        if i % 256 != 60:
            one.pop("y")
        else:  # more leaves than are looked at stand before the fields
            one = {**{f"{j}": 1 for j in range(1_000)}, **one}
        bodies.append(one)
    whole = looked(cfg, bodies, [1_600])
    assert all(looked(cfg, bodies, [size]) == whole for size in (1, 9, 40, 300))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.integers(0, 5))
def test_cuts_into_batches_do_not_matter(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    bodies = []
    for i in range(1_600):
        whole = renamed(i, "y", "why") if i > 1_100 and rng.random() < 0.4 else body(i)
        bodies.append({key: value for key, value in whole.items() if key == "t" or rng.random() < 0.97})
    assert looked(config(), bodies, sizes) == looked(config(), bodies, [1_600])


def test_what_was_read_leniently_is_found_beside_a_missing_value_in_text() -> None:
    looker = Looker(config())
    assert looker.coerced(b'{"t":3000,"x":"","y":"0,2","v":1.0,"c":-Infinity}') == ("y", "y is the text '0,2'")
    assert looker.coerced(b'{"t":3000,"x":"NA","y":2,"v":1.0,"c":-Infinity}')[0] == "c"
