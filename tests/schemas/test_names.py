"""Names are one to one: of whatever texts, of missing values, in slicings of any number of fields."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.names import NAME_MAX, slice_name, slicing_name, text_name
from schemas.pane_layout import OTHER

STRANGE = ("a", "|", "%", "%7C", "%0A", "0A", "\\", "\n", "\0", "\x1b", "_", "__", "(none)", "(empty)", "(", "", "é")
PIECES = st.sampled_from(
    [*STRANGE, "e\u0301", "…", "\u202e", "\u2028", "\u200b", "x" * 199, "0123456789abcdef", "+", "all"]
)
TEXTS = st.lists(PIECES, max_size=4).map("".join) | st.text(max_size=8) | st.text(st.characters(), max_size=3)
VALUES = st.none() | TEXTS
PARTS = st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.lists(VALUES, min_size=n, max_size=n)] * 2))


def same(value: str | None) -> str | None:
    """What is one value: texts in their composed form."""
    return value if value is None else unicodedata.normalize("NFC", value)


def values_of(name: str, fields: int) -> list[str | None]:
    """The values that a name which was not cut is of."""

    def text(part: str) -> str | None:
        if part in ("(none)", "(empty)"):
            return None if part == "(none)" else ""
        return re.sub(
            "(?:%[0-9A-F]{2})+", lambda found: unquote_to_bytes(found[0]).decode("utf-8", "surrogatepass"), part
        )

    parts = name.split("|") if fields > 1 else [name]
    return [text(part) for part in parts]


@given(PARTS)
@example((["a|b", "c"], ["a", "b|c"]))
@example(([None], ["(none)"]))
@example(([""], ["(empty)"]))
@example((["a" * 200 + "b"], ["a" * 200 + "c"]))
def test_two_slices_have_one_name_only_where_their_values_are_the_same(pair: tuple[list[str | None], ...]) -> None:
    one, other = pair
    equal = list(map(same, one)) == list(map(same, other))
    assert (slice_name(one) == slice_name(other)) == equal


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_name_says_whole_what_it_is_of(values: list[str | None]) -> None:
    name = slice_name(values)
    if "…" not in name:
        assert values_of(name, len(values)) == list(map(same, values))


@given(st.lists(VALUES, max_size=3))
def test_no_name_moves_a_cursor_begins_a_line_or_is_one_of_ours(values: list[str | None]) -> None:
    for name in [slice_name(values), *(text_name(value) for value in values if value is not None)]:
        assert len(name) <= NAME_MAX
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\\\u2028-\u202e\u2066-\u2069]", name)
        name.encode()
    assert not re.fullmatch("__.*__", slice_name(values))


@given(TEXTS, TEXTS)
def test_two_texts_have_one_name_only_where_they_are_the_same(one: str, other: str) -> None:
    assert (text_name(one) == text_name(other)) == (same(one) == same(other))


@given(st.lists(TEXTS.filter(bool), max_size=3), st.lists(TEXTS.filter(bool), max_size=3))
@example(["a+b", "c"], ["a", "b+c"])
@example(["all"], [])
def test_two_slicings_have_one_name_only_where_their_fields_are_the_same(one: list[str], other: list[str]) -> None:
    assert (slicing_name(one) == slicing_name(other)) == (one == other)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([], "all"),
        (["Dongsi"], "Dongsi"),
        (["Zürich"], "Zürich"),
        ([None], "(none)"),
        ([""], "(empty)"),
        (["(none)"], "%28none)"),
        (["(empty)"], "%28empty)"),
        ([OTHER], "%5F_other__"),
        (["__all__"], "%5F_all__"),
        (["__", "__"], "%5F_|__"),
        (["a|b", "c"], "a%7Cb|c"),
        (["a", "b|c"], "a|b%7Cc"),
        (["a|b"], "a|b"),
        ([None, "(none)"], "(none)|%28none)"),
        (["NUL \0, ESC \x1b, newline \n"], "NUL %00, ESC %1B, newline %0A"),
        (["C:\\new"], "C:%5Cnew"),
        (["50 %", "%2f"], "50 %|%252f"),
        (["\u202eabc"], "%E2%80%AEabc"),
        (["\ud800"], "%ED%A0%80"),
    ],
)
def test_what_names_look_like(values: list[str | None], name: str) -> None:
    assert slice_name(values) == name


def test_two_names_that_differ_after_200_characters() -> None:
    one, other = slice_name(["x" * 200 + "1"]), slice_name(["x" * 200 + "2"])
    assert one != other
    assert (len(one), one[:183], one[183]) == (200, "x" * 183, "…")
    assert slice_name(["x" * 200]) == "x" * 200


def test_nobody_can_take_the_name_that_a_longer_text_was_cut_to() -> None:
    cut = slice_name(["x" * 300])
    assert slice_name([cut]) != cut
    assert text_name(cut) != cut


def test_one_word_in_two_normal_forms() -> None:
    composed, decomposed = "Zürich", "Zu\u0308rich"
    assert composed != decomposed
    assert slice_name([composed]) == slice_name([decomposed]) == composed
    assert text_name(decomposed) == composed
    assert slice_name([decomposed], "") == decomposed
    assert slice_name(["Ｄｏｎｇｓｉ"], "NFKC") == "Dongsi"
    assert slice_name(["Ｄｏｎｇｓｉ"]) == "Ｄｏｎｇｓｉ"
