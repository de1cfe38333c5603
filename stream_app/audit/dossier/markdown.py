"""A dossier as Markdown, for version control and for whoever greps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stream_app.audit.dossier.parts import Bars, Dossier, Facts, Links, Part, Section, Table, Text

_MEANS = re.compile(r"([\\`*_{}\[\]<>|#])")


def text(dossier: Dossier) -> str:
    """The whole document."""
    lines = [f"# {plain(dossier.title)}", "", *(plain(sentence) for sentence in dossier.said), ""]
    lines += [plain(dossier.about), ""]
    lines += _table(("", "", ""), [(name, value, remark) for value, name, remark in dossier.figures])
    for section in dossier.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip() + "\n"


def plain(words: str) -> str:
    """A text of others: nothing in it is markup, nor begins a line."""
    return _MEANS.sub(r"\\\1", " ".join(words.split()))


def _cell(cell: str | Links) -> str:
    if isinstance(cell, str):
        return plain(cell)
    return "; ".join(f"[{plain(words)}](#{name})" for name, words in cell.to)


def _section(section: Section) -> Iterator[str]:
    yield f'<a id="{section.id}"></a>'
    yield ""
    yield f"## {plain(section.title)}"
    yield ""
    for part in section.parts:
        yield from _part(part)
        yield ""


def _part(part: Part) -> Iterator[str]:
    match part:
        case Text():
            yield f"*{plain(part.says)}*" if part.is_remark else plain(part.says)
        case Facts():
            yield from (f"- {plain(name)}: {plain(value)}" for name, value in part.pairs)
        case Table():
            yield from _table(part.head, part.rows)
        case Bars():
            rows = [(bar.name, f"{bar.value:.2%}", f"{bar.low:.2%} to {bar.high:.2%}") for bar in part.bars]
            yield from _table(("", f"share ({part.meant:.2%} is meant)", "95 %"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str | Links]]) -> Iterator[str]:
    yield f"| {' | '.join(map(plain, head))} |"
    yield f"|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    yield ""
