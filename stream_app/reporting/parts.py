"""What a report is made of, whatever it is written as: parts with paragraphs, facts, tables, bars and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Text:
    """A paragraph; or a remark, which is smaller."""

    says: str
    is_remark: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of short texts."""

    items: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Links:
    """Parts of the same page that a cell names: id and words of each."""

    to: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of texts, or of :class:`Links`; where ``prose`` the last column is sentences; ``folded`` is the title
    of one that is shown on demand.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | Links]]
    prose: bool = False
    folded: str = ""


@dataclass(frozen=True)
class Bar:
    """A figure with its interval, on a scale from 0 on."""

    name: str
    value: float
    low: float
    high: float
    is_high: bool = False


@dataclass(frozen=True)
class Bars:
    """Figures side by side, with a mark at what is meant; values are shares."""

    bars: Sequence[Bar]
    meant: float


@dataclass(frozen=True)
class Picture:
    """A picture, and the same in words, for those who do not see it.

    Attributes:
        drawing: SVG as text, in the page's colours where these are ``var(--ink)`` and the like; or a PNG file. The text
            goes into the page as it is: whoever draws masks what others have written (``html.escape``).
        says: what there is to see. A drawing that has a label of its own needs none.
    """

    drawing: str | bytes
    says: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, as ``small`` or ``middle`` ones; or below each other, over half the page (``half``) or all
    of it (``wide``).
    """

    pictures: Sequence[Picture]
    size: str = "small"


@dataclass(frozen=True)
class Legend:
    """What the colours of the pictures mean, and words: ``data``, ``model``, ``critical``, ``warning``, ``quiet`` or
    ``band``.
    """

    colours: Sequence[tuple[str, str]]


Block: TypeAlias = Text | Bullets | Facts | Table | Bars | Pictures | Legend


@dataclass(frozen=True)
class Part:
    """What stands under one heading.

    Attributes:
        heading: its title.
        blocks: what it says, in order.
        id: by which others name it.
        is_empty: whether it only says that there is nothing to show.
    """

    heading: str
    blocks: Sequence[Block] = ()
    id: str = ""
    is_empty: bool = False


@dataclass(frozen=True)
class Opening:
    """What a page begins with, below its title.

    Attributes:
        said: first sentences, for those who read no more.
        about: what it is about, from when, from what.
        figures: value, name and remark of what matters most.
        has_contents: whether the parts are listed, each with a link to it.
    """

    said: Sequence[str] = ()
    about: str = ""
    figures: Sequence[tuple[str, str, str]] = ()
    has_contents: bool = False


BARE = Opening()
"""Of a page that begins with its first part."""
