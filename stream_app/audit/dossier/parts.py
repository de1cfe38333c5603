"""What a dossier is made of: sections, of the blocks that every report has (``reporting/parts.py``)."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_app.reporting.parts import Block, Opening, Part, Text


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
    parts: list[Block] = field(default_factory=list)
    is_evidence: bool = True
    brief: str = ""

    def as_part(self) -> Part:
        """The same on a page."""
        return Part(self.title, self.parts, self.id, not self.is_evidence)


@dataclass(frozen=True)
class Dossier:
    """All of it.

    Attributes:
        title: heading.
        opening: first sentences; which model, when, from what; the figures that matter most.
        sections: in order.
    """

    title: str
    opening: Opening
    sections: list[Section]


def nothing(section_id: str, title: str, why: str) -> Section:
    """A section that has nothing to show, and says why."""
    return Section(section_id, title, [Text(why)], is_evidence=False)
