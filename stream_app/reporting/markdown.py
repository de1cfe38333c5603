"""A report as Markdown, for version control, for mail, and for whoever greps; pictures are told in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stream_app.reporting.parts import (
    BARE,
    Bars,
    Block,
    Bullets,
    Facts,
    Legend,
    Links,
    Opening,
    Part,
    Pictures,
    Table,
    Text,
)

_MEANS = re.compile(r"([\\`*_{}\[\]<>|#])")


def markdown(title: str, parts: Sequence[Part], opening: Opening = BARE) -> str:
    """The whole document."""
    lines = [f"# {plain(title)}", ""]
    if opening.said:
        lines += [*map(plain, opening.said), ""]
    if opening.about:
        lines += [plain(opening.about), ""]
    if opening.figures:
        lines += [*_table(("", "", ""), [(name, value, remark) for value, name, remark in opening.figures]), ""]
    for part in parts:
        lines += _part(part)
    return "\n".join(lines).rstrip() + "\n"


def plain(words: str) -> str:
    """A text of others: nothing in it is markup, nor begins a line."""
    return _MEANS.sub(r"\\\1", " ".join(words.split()))


def _part(part: Part) -> Iterator[str]:
    if part.id:
        yield f'<a id="{part.id}"></a>'
        yield ""
    yield f"## {plain(part.heading)}"
    yield ""
    for block in part.blocks:
        lines = list(_block(block))
        yield from [*lines, ""] if lines else []


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text():
            yield f"*{plain(block.says)}*" if block.is_remark else plain(block.says)
        case Bullets():
            yield from (f"- {plain(item)}" for item in block.items)
        case Facts():
            yield from (f"- {plain(name)}: {plain(value)}" for name, value in block.pairs)
        case Table():
            yield from _table(block.head, block.rows)
        case Bars():
            rows = [(bar.name, f"{bar.value:.2%}", f"{bar.low:.2%} to {bar.high:.2%}") for bar in block.bars]
            yield from _table(("", f"share ({block.meant:.2%} is meant)", "95 %"), rows)
        case Pictures():
            yield from (f"*{plain(picture.says)}*" for picture in block.pictures if picture.says)
        case Legend():
            return


def _table(head: Sequence[str], rows: Sequence[Sequence[str | Links]]) -> Iterator[str]:
    yield f"| {' | '.join(map(plain, head))} |"
    yield f"|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(cell: str | Links) -> str:
    if isinstance(cell, str):
        return plain(cell)
    return "; ".join(f"[{plain(words)}](#{name})" for name, words in cell.to)
