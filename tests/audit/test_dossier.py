"""The dossier of a real model: every section, for people and as text; and whom the model calls strange too often."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stream_app.audit.dossier import living
from stream_app.audit.dossier.standards import ISO_42001, NIST, NOT_COVERED
from stream_app.audit.dossier.subject import find
from stream_app.audit.dossier.writing import make_dossier, write_dossier
from stream_app.audit.verify import verify
from stream_app.errors import DriftflowError
from tests.audit.stored import store_windows
from tests.audit.stories import INCIDENT, Story

SECTIONS = {
    *("card", "limits", "gates", "shadow", "people", "service", "incidents", "feedback", "fairness", "data", "privacy"),
    *("training", "record", "nist", "iso42001"),
}
FAIR = {"Dongsi": 0.01, "Wanliu": 0.01, "Huairou": 0.01, "Shunyi": 0.05}


class Page(HTMLParser):
    """What a page names and links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids |= {named["id"] or ""} if "id" in named else set()
        self.links |= {(named["href"] or "")[1:]} if tag == "a" else set()
        self.loads += [tag] if tag in ("script", "img", "link", "iframe") else []


def test_it_is_one_page_with_every_section(told: Story, tmp_path: Path) -> None:
    store_windows(told.config, told.second, "station", FAIR)
    html, markdown = (path.read_text() for path in write_dossier(told.config, told.second[:8], tmp_path / "out"))
    page = Page(html)
    assert page.ids == SECTIONS
    assert page.links <= page.ids
    assert page.loads == []
    for text in (html, markdown):
        for words in (
            "rolled back",
            "he new model is better over",
            "SHA-256",
            "Nothing was changed",
            "station, Shunyi: 5.",
        ):
            assert words in text, words
    assert set(re.findall(r'<a id="(\w+)">', markdown)) == SECTIONS
    assert "too loud" in markdown
    assert "anchor" in markdown


def test_markup_in_what_people_say_is_text(told: Story, tmp_path: Path) -> None:
    told.actions[4] = told.actions[4].__class__(**{
        **{name: getattr(told.actions[4], name) for name in told.actions[4].__struct_fields__},
        "verb": "pin", "why": "<script>alert(1)</script> | [x](y)", "model": told.second,
    })  # fmt: skip
    html, markdown = (path.read_text() for path in write_dossier(told.config, told.second, tmp_path))
    assert "<script" not in html
    assert r"\<script\>alert(1)\</script\> \| \[x\](y)" in markdown


def test_each_row_of_both_standards_has_evidence_or_is_not_covered(told: Story) -> None:
    assert [len(rows) for rows in NIST.groups.values()] == [19, 18, 22, 13]
    assert (len(ISO_42001.groups), len(ISO_42001.rows)) == (9, 38)
    dossier = make_dossier(find(told.config, told.second), verify(told.config))
    sections = {section.id: section for section in dossier.sections}
    for standard in (NIST, ISO_42001):
        rows = sections[standard.id].parts[1].rows  # type: ignore[union-attr]
        assert [row[0] for row in rows] == [number for number, _, _ in standard.rows]
        for row in rows:
            linked = [name for name, _ in row[2].to] if row[2] != NOT_COVERED else []
            assert all(sections[name].is_evidence for name in linked)
            assert bool(linked) != (row[2] == NOT_COVERED)
    known = {row[0]: row[2] for row in sections["nist"].parts[1].rows}  # type: ignore[union-attr]
    assert known["MEASURE 2.11"] == NOT_COVERED, "there is no store here"
    assert known["GOVERN 1.1"] == NOT_COVERED


def test_a_first_model_and_no_broker(told: Story, silent: None, tmp_path: Path) -> None:
    html, _ = (path.read_text() for path in write_dossier(told.config, told.first, tmp_path))
    assert "It is in service." in html
    assert "Not known: topic s.signals cannot be read: no broker" in html
    with pytest.raises(DriftflowError, match="no model has an id that begins with 'nothing'"):
        write_dossier(told.config, "nothing", tmp_path)


# Fairness -------------------------------------------------------------------------------------------------------------


def test_a_model_that_no_window_names_has_no_figures(told: Story) -> None:
    store_windows(told.config, "another", "station", FAIR)
    section = living.fairness(find(told.config, told.second))
    assert "no windows that this model has scored" in section.parts[0].says  # type: ignore[union-attr]


def test_what_people_made_of_it_is_counted(told: Story, tmp_path: Path) -> None:
    _, markdown = (path.read_text() for path in write_dossier(told.config, told.first, tmp_path))
    assert "Of 1 incidents and messages 1 were judged: 1 useful." in markdown
    assert f"{INCIDENT[:8]}, ann: the new normal" in markdown
    assert "strange events: 25" in markdown
