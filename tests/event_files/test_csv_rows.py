"""CSV that is not as it should be: what can be read is, and every other row is counted with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.errors import DriftflowError
from stream_app.event_files import Report, read_rows
from tests.event_files.files import ROWS, config, read, said, write

HEADER = "at,shop,x"
QUOTES, CELLS = "unreadable: quotes that do not fit", "unreadable: another number of cells than the header"


def lines(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def test_a_stray_quote_in_the_first_row_costs_that_row(tmp_path: Path) -> None:
    stray = ROWS[0].replace(",s0", ',"s0')
    events, report = read(write(tmp_path / "e.csv", lines(stray, *ROWS[1:])))
    assert [event["x"] for event in events] == [i + 0.5 for i in range(1, 400)]
    assert said(report) == [
        (QUOTES, 1, f"line 2: a quote that is not closed, or not at the end of its cell: {stray!r}")
    ]
    with pytest.raises(DriftflowError, match=r"e\.csv cannot be read whole: 1 unreadable.*line 2: a quote"):
        list(read_rows(tmp_path / "e.csv", config()))


@pytest.mark.parametrize("column", range(3))
def test_two_stray_quotes_do_not_make_a_cell_of_what_lies_between(tmp_path: Path, column: int) -> None:
    rows = list(ROWS)
    for i in (10, 20):
        cells = rows[i].split(",")
        cells[column] = f'"{cells[column]}'
        rows[i] = ",".join(cells)
    events, report = read(write(tmp_path / "e.csv", lines(*rows)))
    assert (len(events), report.lost) == (398, 2)
    assert said(report)[0][2].startswith("line 12: ")


def test_a_stray_quote_among_rows_that_are_all_quoted(tmp_path: Path) -> None:
    rows = [",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS]
    rows[5] = rows[5].replace('"s2"', '"s"2"')
    rows[7] = rows[7].replace('"s1"', '"s1')
    events, report = read(write(tmp_path / "e.csv", lines(*rows, header='"at","shop","x"')))
    assert (len(events), [(reason, n) for reason, n, _ in said(report)]) == (398, [(QUOTES, 2)])


def test_newlines_within_quotes_belong_to_the_row_and_lines_are_counted_on(tmp_path: Path) -> None:
    text = lines('2026-01-01,"a\r\nb\n\nc, ""d""",1', "2026-01-02,s", '2026-01-03,"e\n",2', "2026-01-04,f,3,4")
    events, report = read(write(tmp_path / "e.csv", text))
    assert [event["shop"] for event in events] == ['a\r\nb\n\nc, "d"', "e\n"]
    assert said(report) == [(CELLS, 2, "line 6: 2 cells, the header has 3: '2026-01-02,s'")]


def test_no_row_is_shown_where_its_values_may_be_sensitive(tmp_path: Path) -> None:
    cfg = config()
    cfg = msgspec.structs.replace(cfg, event=msgspec.structs.replace(cfg.event, sensitive=["x"]))
    report = Report()
    file = write(tmp_path / "e.csv", lines(*ROWS[:5], "2026-01-02,s,secret,secret", '2026-02-01,"secret,1'))
    assert len(list(read_rows(file, cfg, report))) == 5
    assert [why for _, _, why in said(report)] == [
        "line 7: 4 cells, the header has 3",
        "line 8: a quote that is not closed, or not at the end of its cell",
    ]


def test_a_quote_that_opens_on_the_last_row_is_told(tmp_path: Path) -> None:
    events, report = read(write(tmp_path / "e.csv", lines(*ROWS[:5], '2026-02-01,"s0,1')))
    assert (len(events), report.lost) == (5, 1)


def test_ragged_rows_are_counted_with_the_line_of_the_first(tmp_path: Path) -> None:
    rows = [row if i % 4 else f"{row},9" for i, row in enumerate(ROWS)]
    events, report = read(write(tmp_path / "e.csv", lines("", *rows, "", ",")))
    assert (len(events), report.total) == (300, 401)
    assert said(report) == [(CELLS, 101, f"line 3: 4 cells, the header has 3: {rows[0]!r}")]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffat,shop,x\n2026-01-01,a,1.5\n",
        "\n \nat,shop,x\n2026-01-01,a,1.5\n",
        "at, shop, x\n2026-01-01, a, 1.5\n",
        'at, shop, x\n2026-01-01, "a", 1.5\n',
        " at ,shop\t,x \n2026-01-01,a,1.5\n",
        "at;shop;x\n2026-01-01;a;1.5\n",
        "at\tshop\tx\n2026-01-01\ta\t1.5\n",
        'at|"shop"|x\r\n2026-01-01|a|1.5\r\n',
        "at,shop,x\r2026-01-01,a,1.5\r",
        "at,shop,x\n2026-01-01,a,1.5",
        ",at,shop,x,\n0,2026-01-01,a,1.5,9\n",
    ],
)
def test_a_header_with_blanks_and_other_delimiters_and_line_ends(tmp_path: Path, text: str) -> None:
    events, report = read(write(tmp_path / "e.csv", text))
    assert (events, report.lost) == ([{"at": "2026-01-01", "shop": "a", "x": 1.5}], 0)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("At,shop,x", r"no column 'at' \(event.time_field\); did you mean 'At'"),
        ("time,shop,x", r"no column 'at' \(event.time_field\); it has: time, shop, x"),
        ("at,x,shop,x", "column 'x' is there 2 times: give each a name"),
    ],
)
def test_a_header_that_does_not_fit_is_a_sentence(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(DriftflowError, match=words):
        read(write(tmp_path / "e.csv", f"{header}\n1,2,3,4\n"))


def test_a_column_called_like_a_path_or_with_a_dot(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "payload.at,PM2.5,shop\n2026-01-01,3,4\n")
    events, _ = read(path, time_field="payload.at", numeric=[r"PM2\.5"])
    assert events == [{"payload.at": "2026-01-01", "PM2.5": 3, "shop": "4"}]


def test_a_cell_of_any_length(tmp_path: Path) -> None:
    long = "é" * 200_000
    events, report = read(write(tmp_path / "e.csv", lines(f"2026-01-01,{long},1", f'2026-01-02,"{long},",2', ROWS[0])))
    assert [len(event["shop"]) for event in events] == [200_000, 200_001, 2]
    assert not report.lost


def test_a_row_that_is_not_utf_8_is_told_with_its_byte(tmp_path: Path) -> None:
    blob = lines(*ROWS).encode() + "2026-02-01,Zürich,1\n2026-02-02,Zürich,2\n".encode()
    events, report = read(write(tmp_path / "e.csv", blob + b"2026-02-03,Z\xfcrich,3\n2026-02-04,a,4\n"))
    assert [event["x"] for event in events[400:]] == [1, 2, 4]
    ((reason, n, example),) = said(report)
    assert (reason, n) == ("unreadable: not UTF-8", 1)
    assert example.startswith(
        "line 404: byte 0xFC, latin-1 (Windows-1252) by the look of it: convert the file, iconv -f"
    )


def test_where_no_row_can_be_read_the_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", lines("1", "2"))
    with pytest.raises(DriftflowError, match=r"none of its 2 rows can be read: 2 unreadable: .*line 2: 1 cells"):
        read(path)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1_000", "1_000"), ("1,234", "1,234"), ("12 apples", "12 apples"), ("1,5", 1.5), (" 7 ", 7), (" NA ", None)],
)
def test_what_json_would_not_take_for_a_number_stays_text(tmp_path: Path, cell: str, value: Any) -> None:
    ((event,), _) = read(write(tmp_path / "e.csv", f'at,x\n2026-01-01,"{cell}"\n'))
    assert event["x"] == value


def test_what_is_missing_is_a_setting(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", lines("2026-01-01,NA,-999", "2026-01-02,-,NA"))
    events, _ = read(path, missing_values=["-", "-999"])
    assert [(event["shop"], event["x"]) for event in events] == [("NA", None), (None, "NA")]


TEXT = st.text(st.sampled_from('ab",;\n\r é'), max_size=8)


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=30), st.sets(st.integers(0, 29), max_size=10), st.integers(0, 2))
def test_a_stray_quote_costs_its_row_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, shops: list[str], stray: set[int], column: int
) -> None:
    written = []
    for i, shop in enumerate(shops):
        row = io.StringIO()
        csv.writer(row).writerow([f"2026-01-{i + 1:02d}", f"_{shop}", i])
        written.append(row.getvalue())
    bad = [i for i in sorted(stray) if i < len(shops) and '"' not in written[i]]
    for i in bad:
        cells = written[i].split(",")
        cells[column] = f'"{cells[column]}'
        written[i] = ",".join(cells)
    path = write(tmp_path_factory.mktemp("csv") / "e.csv", f"{HEADER}\n{''.join(written)}")
    if len(bad) == len(shops):
        with pytest.raises(DriftflowError, match="none of its"):
            read(path)
        return
    events, report = read(path)
    good = [i for i in range(len(shops)) if i not in bad]
    assert [event["x"] for event in events if event["x"] in good] == good
    assert [event["shop"] for event in events if event["x"] in good] == [f"_{shops[i]}" for i in good]
    assert report.lost + len(events) >= len(shops)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_time_field_that_is_nearly_right_is_named_whatever_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "e.csv", delimiter.join(["att", "x", "y"]) + "\n")
    with pytest.raises(DriftflowError, match=r"no column 'at' \(event.time_field\); did you mean 'att'"):
        list(read(path))
