"""A report as one page of HTML (no scripts, nothing fetched) and as Markdown.

>>> parts = [Part("Orders", [Text("3 < 4 days were as usual.")])]
>>> "<p>3 &lt; 4 days were as usual.</p>" in page("Week 12", parts)
True
>>> print(markdown("Week 12", parts))
# Week 12
<BLANKLINE>
## Orders
<BLANKLINE>
3 \\< 4 days were as usual.
<BLANKLINE>
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from stream_app.reporting.markdown import markdown
from stream_app.reporting.parts import (
    BARE,
    Bar,
    Bars,
    Block,
    Bullets,
    Facts,
    Legend,
    Links,
    Opening,
    Part,
    Picture,
    Pictures,
    Table,
    Text,
)

__all__ = ["Opening", "Part", "markdown", "page"]

_ROOM = 1.15
_COMMAND = re.compile("`([^`]+)`")


def page(title: str, parts: Sequence[Part], opening: Opening = BARE) -> str:
    """The whole document, in light and dark, for screens from 390 pixels on and for paper; all texts are masked."""
    style = files("stream_app.reporting").joinpath("page.css").read_text()
    contents = _contents(parts) if opening.has_contents else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><style>{style}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{_opening(opening)}{contents}{''.join(map(_part, parts))}</main></body>"
        "</html>\n"
    )


def _opening(opening: Opening) -> str:
    said = f"<p class=verdict>{_words(' '.join(opening.said))}</p>" if opening.said else ""
    cards = "".join(
        f"<li><b>{escape(value)}</b><span>{escape(name)}</span><small>{_words(remark)}</small></li>"
        for value, name, remark in opening.figures
    )
    about = f"<p class=muted>{_words(opening.about)}</p>" if opening.about else ""
    return f"{said}{f'<ul class=figures>{cards}</ul>' if cards else ''}{about}"


def _contents(parts: Sequence[Part]) -> str:
    links = "".join(f'<li><a href="#{escape(one.id)}">{escape(one.heading)}</a></li>' for one in parts if one.id)
    return f"<nav><ul class=contents>{links}</ul></nav>"


def _words(text: str) -> str:
    """A sentence, masked; commands in it, which stand between backticks, look like commands."""
    return _COMMAND.sub(r"<code>\1</code>", escape(text))


def _part(part: Part) -> str:
    name = f' id="{escape(part.id)}"' if part.id else ""
    kind = " class=empty" if part.is_empty else ""
    return f"<section{name}{kind}><h2>{escape(part.heading)}</h2>{''.join(map(_block, part.blocks))}</section>"


def _block(block: Block) -> str:
    match block:
        case Text():
            return f"<p{' class=muted' if block.is_remark else ''}>{_words(block.says)}</p>"
        case Bullets():
            return f"<ul>{''.join(f'<li>{_words(item)}</li>' for item in block.items)}</ul>" if block.items else ""
        case Facts():
            pairs = "".join(f"<dt>{escape(name)}</dt><dd>{_words(value)}</dd>" for name, value in block.pairs)
            return f"<dl>{pairs}</dl>"
        case Table():
            body = f"<div class={'prose' if block.prose else 'plain'}>{_table(block)}</div>"
            return f"<details><summary>{escape(block.folded)}</summary>{body}</details>" if block.folded else body
        case Bars():
            return _bars(block)
        case Pictures():
            return f'<div class="grid {escape(block.size)}">{"".join(map(_picture, block.pictures))}</div>'
        case Legend():
            colours = (f"<li><i class={escape(colour)}></i>{escape(words)}</li>" for colour, words in block.colours)
            return f"<ul class=legend>{''.join(colours)}</ul>"


def _picture(picture: Picture) -> str:
    label = f' role="img" aria-label="{escape(picture.says)}"' if picture.says else ""
    if isinstance(picture.drawing, str):
        return f"<figure{label}>{picture.drawing}</figure>"
    data = base64.b64encode(picture.drawing).decode()
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(picture.says)}"></figure>'


def _table(table: Table) -> str:
    top = "".join(f"<th scope=col>{escape(name)}</th>" for name in table.head)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    body = f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class=scroll tabindex=0>{body}</div>"


def _cell(cell: str | Links) -> str:
    if isinstance(cell, str):
        return _words(cell)
    return "; ".join(f'<a href="#{escape(name)}">{escape(words)}</a>' for name, words in cell.to)


def _bars(block: Bars) -> str:
    top = max([block.meant * 2, *(bar.high for bar in block.bars)]) * _ROOM
    mark = f"<i class=meant style='left:{100 * block.meant / top:.2f}%'></i>"
    return f"<div class=bars>{''.join(_bar(bar, top, mark) for bar in block.bars)}</div>"


def _bar(bar: Bar, top: float, mark: str) -> str:
    at, low, width = (100 * value / top for value in (bar.value, bar.low, bar.high - bar.low))
    kind = "dot high" if bar.is_high else "dot"
    return (
        f"<div class=bar><span class=name>{escape(bar.name)}</span><span class=line>{mark}"
        f"<i class='range' style='left:{low:.2f}%;width:{max(width, 0.4):.2f}%'></i>"
        f"<i class='{kind}' style='left:{at:.2f}%'></i></span><span class=value>{bar.value:.2%}</span></div>"
    )
