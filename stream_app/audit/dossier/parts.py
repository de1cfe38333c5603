"""What a dossier is made of, whatever it is written as: sections of paragraphs, facts, tables and bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Text:
    """A paragraph; or a remark, which is smaller."""

    says: str
    is_remark: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Links:
    """Sections that a cell names: id and words of each."""

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


Part: TypeAlias = Text | Facts | Table | Bars


@dataclass(frozen=True)
class Section:
    """A part of a dossier.

    Attributes:
        id: by which others name it.
        title: its heading.
        parts: what it says.
        is_evidence: whether it shows anything, or only says that there is nothing to show.
        brief: what it shows, in a few words, for those who name it.
    """

    id: str
    title: str
    parts: list[Part] = field(default_factory=list)
    is_evidence: bool = True
    brief: str = ""


@dataclass(frozen=True)
class Dossier:
    """All of it.

    Attributes:
        title: heading.
        said: first sentences, for those who read no more.
        about: which model, when, from what.
        figures: value, name and remark of what matters most.
        sections: in order.
    """

    title: str
    said: list[str]
    about: str
    figures: list[tuple[str, str, str]]
    sections: list[Section]


def nothing(section_id: str, title: str, why: str) -> Section:
    """A section that has nothing to show, and says why."""
    return Section(section_id, title, [Text(why)], is_evidence=False)
