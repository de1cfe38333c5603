"""A dossier as one page: no scripts, nothing fetched."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from stream_app.audit.dossier.parts import Bar, Bars, Dossier, Facts, Links, Part, Section, Table, Text
from stream_app.offline.evaluate.page import document

_ROOM = 1.15


def page(dossier: Dossier) -> str:
    """The whole document."""
    style = files("stream_app.audit.dossier").joinpath("dossier.css").read_text()
    body = [_figures(dossier), _contents(dossier), *map(_section, dossier.sections)]
    return document(dossier.title, dossier.said, dossier.about, body, style)


def _figures(dossier: Dossier) -> str:
    cards = "".join(
        f"<li><b>{escape(value)}</b><span>{escape(name)}</span><small>{escape(remark)}</small></li>"
        for value, name, remark in dossier.figures
    )
    return f"<ul class=figures>{cards}</ul>"


def _contents(dossier: Dossier) -> str:
    links = "".join(f'<li><a href="#{one.id}">{escape(one.title)}</a></li>' for one in dossier.sections)
    return f"<nav><ul class=contents>{links}</ul></nav>"


def _section(section: Section) -> str:
    kind = "" if section.is_evidence else " class=empty"
    body = "".join(map(_part, section.parts))
    return f'<section id="{section.id}"{kind}><h2>{escape(section.title)}</h2>{body}</section>'


def _part(part: Part) -> str:
    match part:
        case Text():
            return f"<p{' class=muted' if part.is_remark else ''}>{escape(part.says)}</p>"
        case Facts():
            pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in part.pairs)
            return f"<dl>{pairs}</dl>"
        case Table():
            body = f"<div class={'prose' if part.prose else 'plain'}>{_table(part)}</div>"
            return f"<details><summary>{escape(part.folded)}</summary>{body}</details>" if part.folded else body
        case Bars():
            return _bars(part)


def _table(part: Table) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in part.head)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in part.rows)
    return f"<div class=scroll><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cell(cell: str | Links) -> str:
    if isinstance(cell, str):
        return escape(cell)
    return "; ".join(f'<a href="#{name}">{escape(words)}</a>' for name, words in cell.to)


def _bars(part: Bars) -> str:
    top = max([part.meant * 2, *(bar.high for bar in part.bars)]) * _ROOM
    mark = f"<i class=meant style='left:{100 * part.meant / top:.2f}%'></i>"
    rows = "".join(_bar(bar, top, mark) for bar in part.bars)
    return f"<div class=bars>{rows}</div>"


def _bar(bar: Bar, top: float, mark: str) -> str:
    at, low, width = (100 * value / top for value in (bar.value, bar.low, bar.high - bar.low))
    kind = "dot high" if bar.is_high else "dot"
    return (
        f"<div class=bar><span class=name>{escape(bar.name)}</span><span class=line>{mark}"
        f"<i class='range' style='left:{low:.2f}%;width:{max(width, 0.4):.2f}%'></i>"
        f"<i class='{kind}' style='left:{at:.2f}%'></i></span><span class=value>{bar.value:.2%}</span></div>"
    )
