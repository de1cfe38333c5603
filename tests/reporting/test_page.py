"""The page that all reports share: it stands alone, masks what others have written, and says the same as Markdown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from stream_app.reporting.page import Opening, Part, markdown, page
from stream_app.reporting.parts import Bar, Bars, Block, Bullets, Facts, Legend, Links, Picture, Pictures, Table, Text

HOSTILE = "<script>alert(1)</script> \" onload='x' | [a](b)\n# b"
PNG = b"\x89PNG\r\n"
BLOCKS: list[Block] = [
    Text(HOSTILE),
    Text(HOSTILE, is_remark=True),
    Bullets([HOSTILE]),
    Bullets([]),
    Facts([(HOSTILE, HOSTILE)]),
    Table((HOSTILE, "b"), [(HOSTILE, Links([("here", HOSTILE)]))]),
    Table(("a",), [(HOSTILE,)], prose=True, folded=HOSTILE),
    Bars([Bar(HOSTILE, 0.01, 0.005, 0.02), Bar("high", 0.3, 0.2, 0.4, is_high=True)], 0.01),
    Pictures([Picture("<svg><text>drawn</text></svg>", HOSTILE), Picture(PNG, HOSTILE)], "wide"),
    Legend([("data", HOSTILE)]),
]
OPENING = Opening([HOSTILE], HOSTILE, [(HOSTILE, HOSTILE, HOSTILE)], has_contents=True)


class Tags(HTMLParser):
    """Tags that a page opens, and whether each is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole() -> str:
    return page(HOSTILE, [Part(HOSTILE, BLOCKS, "here"), Part("Nothing", [Text("–")], is_empty=True)], OPENING)


def test_what_others_have_written_is_text() -> None:
    text = whole()
    tags = Tags(text)
    assert tags.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.seen}
    assert not any(name.startswith("on") for _, attrs in tags.seen for name in attrs)
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 12


def test_commands_look_like_commands() -> None:
    """In sentences, lists and tables; what stands between the backticks is text too."""
    says = "Ask `driftflow <b>` or nobody; 5 o`clock"
    text = page("x", [Part("y", [Text(says), Bullets([says]), Table(["z"], [[says]])])])
    assert text.count("Ask <code>driftflow &lt;b&gt;</code> or nobody; 5 o`clock") == 3


def test_nothing_is_fetched() -> None:
    for _, attrs in Tags(whole()).seen:
        for name in ("src", "href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert "url(" not in whole()
    assert "@import" not in whole()


def test_it_is_read_by_phones_in_both_schemes_and_by_those_who_do_not_see() -> None:
    text = whole()
    assert "width=device-width" in text
    assert "prefers-color-scheme: dark" in text
    tags = Tags(text).seen
    assert all("alt" in attrs for tag, attrs in tags if tag == "img")
    assert sum(attrs.get("role") == "img" for tag, attrs in tags if tag == "figure") == 1
    assert [tag for tag, _ in tags if tag in ("h1", "h2")] == ["h1", "h2", "h2"]


def contrast(one: str, other: str) -> float:
    """As WCAG 2 counts it."""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * sign for sign in colour)
        shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return sum(weight * s for weight, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_are_told_from_their_ground(scheme: int) -> None:
    found = re.findall(r":root \{([^}]*)\}", whole())[scheme]
    colours = dict(re.findall(r"--(\w+): #(\w+)", found))
    for ground in ("page", "card"):
        for ink in ("ink", "quiet", "model", "critical", "warning"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_the_same_is_said_as_markdown() -> None:
    text = markdown(HOSTILE, [Part(HOSTILE, BLOCKS, "here")], OPENING)
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("#")] == [lines[0], next(x for x in lines if x.startswith("##"))]
    assert not re.search(r"(?<!\\)<script", text)
    assert r"\<script\>alert(1)\</script\>" in text
    assert r"\| \[a\](b) \# b" in text
    assert "[" + r"\<script" in text, "a link to a part"
    assert re.search(r"\| high \| 30.00% \| 20.00% to 40.00% \|", text)
    assert "\n\n\n" not in text
