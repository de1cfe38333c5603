"""A configuration of what a file holds: for files of many kinds the right one, which their rows are read by."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import parse
from stream_app.errors import DriftflowError
from stream_app.event_files import Report, of_files, read_rows
from stream_app.setup import relations
from stream_app.setup.infer import infer, infer_sample
from stream_app.setup.proposal import Proposal
from stream_app.setup.rejected import Tried
from stream_app.setup.sampling import sample_of_rows
from stream_app.setup.writing import toml_of
from stream_app.trainer.data.sheet import telling
from tests.setup.making import START, rows, table

Way = Callable[[datetime], Any]

WAYS: dict[str, tuple[Way, str]] = {
    "iso": (datetime.isoformat, "iso8601"),
    "iso with a blank": (lambda t: t.strftime("%Y-%m-%d %H:%M:%S"), "iso8601"),
    "seconds": (lambda t: int(t.timestamp()), "epoch_s"),
    "seconds with a fraction": (lambda t: t.timestamp() + 0.5, "epoch_s"),
    "milliseconds": (lambda t: int(t.timestamp() * 1_000), "epoch_ms"),
    "microseconds": (lambda t: int(t.timestamp() * 1_000_000), "epoch_us"),
    "nanoseconds": (lambda t: int(t.timestamp()) * 1_000_000_000 + 123_456_789, "epoch_ns"),
    "German": (lambda t: t.strftime("%d.%m.%Y %H:%M"), "%d.%m.%Y %H:%M"),
    "British": (lambda t: t.strftime("%d/%m/%Y %H:%M:%S"), "%d/%m/%Y %H:%M:%S"),
    "American": (lambda t: t.strftime("%m/%d/%Y %I:%M %p"), "%m/%d/%Y %I:%M %p"),
    "of a log": (lambda t: t.strftime("%d/%b/%Y:%H:%M:%S +0000"), "%d/%b/%Y:%H:%M:%S %z"),
    "of mail": (lambda t: t.strftime("%a, %d %b %Y %H:%M:%S +0000"), "%a, %d %b %Y %H:%M:%S %z"),
    "compact": (lambda t: t.strftime("%Y%m%d%H%M"), "%Y%m%d%H%M"),
}


def tried(found: Proposal, path: Path) -> Tried:
    """What becomes of the file's rows by the configuration."""
    config = of_files(found.config(str(path.parent)))
    result = Tried(config)
    result.take(value for _, value in islice(read_rows(path, config, Report()), 2_000))
    return result


def proposed(path: Path, content: str | bytes) -> Proposal:
    """The proposal for a file, whose rows can all be read by it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = infer(path)
    result = tried(found, path)
    assert (result.rejected, result.is_broken) == (0, False), result.says()
    assert result.rows > 0
    return found


@pytest.mark.parametrize(("way", "expected"), WAYS.values(), ids=WAYS.keys())
def test_a_time_is_found_however_it_is_written(way: Way, expected: str, tmp_path: Path) -> None:
    made = rows(time=way)
    found = proposed(tmp_path / "prices.csv", table(made))
    assert (found.of("event.time_field"), found.of("event.time_format")) == ("when", expected)
    assert found.of("event.numeric") == ["price", "demand"]
    assert found.of("event.categorical") == ["weather", "aisle"]
    assert (found.of("windows.pane"), found.of("windows.spans")) == ("1h", ["1d", "7d"])
    assert not found.unsure
    if expected in ("iso8601", "epoch_us"):
        lines = "\n".join(map(json.dumps, made))
        assert proposed(tmp_path / "prices.jsonl", lines).of("event.time_format") == expected


def test_tables_of_every_make_are_read_alike(tmp_path: Path) -> None:
    made = rows()
    kinds = {
        "semicolons": table(made, ";"),
        "tabs": table(made, "\t"),
        "bars": table(made, "|"),
        "mark": "\ufeff" + table(made),
        "windows": table(made).replace("\n", "\r\n"),
        "packed": gzip.compress(table(made).encode()),
        "wide": table(made).encode("utf-16"),
        "blanks": table(made).replace(",", ", "),
        "quoted": table([{**row, "weather": f"{row['weather']}, so"} for row in made]),
    }
    expected = infer(made, name="x").raw()
    for name, content in kinds.items():
        found = proposed(tmp_path / f"{name}.csv", content)
        assert found.raw() == {**expected, "stream": name}, name


def test_names_with_blanks_dots_and_levels_are_written_as_the_reader_wants_them(tmp_path: Path) -> None:
    flat = [{"Date Time": r["when"], "PM2.5": r["price"], "Flow Rate (l/s)": r["demand"]} for r in rows()]
    assert proposed(tmp_path / "flat.csv", table(flat)).of("event.numeric") == ["PM2.5", "Flow Rate (l/s)"]
    deep = [{"meta": {"at": r["when"]}, "payload": {"amount": r["price"], "a.b": {"c": r["demand"]}}} for r in rows()]
    found = proposed(tmp_path / "deep.jsonl", "\n".join(map(json.dumps, deep)))
    assert found.of("event.time_field") == "meta.at"
    assert found.of("event.numeric") == ["payload.amount", "payload.a\\.b.c"]


def test_decimal_commas_and_words_for_missing_numbers_are_read(tmp_path: Path) -> None:
    made = [{**row, "price": str(row["price"]).replace(".", ",")} for row in rows()]
    for i in range(0, 700, 9):
        made[i]["demand"] = "ERR"
    found = proposed(tmp_path / "prices.csv", table(made, ";"))
    assert found.of("event.numeric") == ["price", "demand"]
    assert found.of("event.missing_values")[-1] == "ERR"


def test_a_season_follows_from_the_date_in_leap_years_too(tmp_path: Path) -> None:
    """It begins on the same date in each year, which is another day of the year after a 29 February."""
    made, beginnings = [], ((3, 21), (6, 21), (9, 23), (12, 21))
    for i, row in enumerate(rows(1_460)):
        moment = START + timedelta(hours=18 * i)
        season = sum((moment.month, moment.day) >= at for at in beginnings) % 4
        made.append({**row, "when": moment.isoformat(), "season": season})
    found = proposed(tmp_path / "prices.jsonl", "\n".join(map(json.dumps, made)))
    assert {each.name: each.why for each in found.left_out}["season"] == "only repeats the date in the year"


def test_columns_that_say_nothing_are_left_out_each_with_its_reason(tmp_path: Path) -> None:
    made = []
    for i, row in enumerate(rows(2_000)):
        moment = START + timedelta(minutes=30 * i)
        more = {"hour": moment.hour, "weekday": moment.weekday(), "unit": "MW", "note": None, "row": i}
        more |= {"half": row["price"] / 2, "is_anomaly": int(i % 97 == 0), "loaded_at": moment.isoformat()}
        more |= {"progress": round(i / 2_000 + (i % 48 == 0) * 0.01, 4)}
        made.append({**row, **more, "uid": f"{i * 7919:032x}", "comment": f"say {i * 31 % 1999}"})
    found = proposed(tmp_path / "prices.jsonl", "\n".join(map(json.dumps, made)))
    assert found.of("event.time_field") == "when"
    assert found.of("event.numeric") == ["price", "demand"]
    assert found.of("event.id_field") == "uid"
    why = {each.name: each.why for each in found.left_out}
    assert (why["hour"], why["weekday"], why["unit"]) == (
        "only repeats the hour",
        "only repeats the weekday",
        "is always MW",
    )
    assert (why["note"], why["loaded_at"]) == ("has no value", "another time")
    assert (why["row"], why["half"]) == ("only repeats how far time has come", "says the same as price")
    assert why["progress"] == "only repeats how far time has come", "grows, if not in every row: the trainer refuses it"
    assert relations.RANK_MAX == telling.RANK_MAX
    assert "somebody has found" in why["is_anomaly"]
    assert why["comment"].startswith("is another text in nearly every row")


def test_a_day_and_a_clock_in_two_columns_are_days_and_that_is_said(tmp_path: Path) -> None:
    made = [{"day": r["when"][:10], "at": r["when"][11:16], "x": r["price"]} for r in rows()]
    found = proposed(tmp_path / "split.csv", table(made))
    assert (found.of("event.time_field"), found.of("event.slicings"), found.of("event.numeric")) == ("day", [[]], ["x"])
    assert found.of("windows.pane") == "1d"
    assert "the hour stands in at: join day and at in one field" in found.notes[0]
    command = re.search(r"(cat split.csv .*timed.csv)", found.notes[0])
    assert command
    subprocess.run(command[1], shell=True, check=True, cwd=tmp_path)
    joined = infer(tmp_path / "timed.csv")
    assert (joined.of("event.time_field"), joined.of("windows.pane")) == ("time", "1h")


def test_series_are_watched_each_by_itself(tmp_path: Path) -> None:
    made = [{**r, "site": s, "lat": len(s)} for r in rows(300) for s in ("a", "bb", "ccc")]
    found = proposed(tmp_path / "panel.csv", table(made))
    assert (found.of("event.slicings"), found.of("event.categorical")) == ([["site"]], ["weather", "aisle"])
    assert "lat" in [each.name for each in found.left_out]
    one_by_one = [{**r, "batch": s} for s in ("a", "bb", "ccc") for r in rows(300)]
    found = infer(one_by_one)
    assert found.of("event.slicings") == [["batch"]]
    assert any("not in order of time: driftflow score brings" in note for note in found.notes)


def test_runs_of_one_thing_are_no_series_and_series_of_their_own_time_are_told() -> None:
    """Experiments one after the other have no past to be compared with; machines that begin one by one are said."""
    made = rows(900)
    runs = [r | {"experiment": f"e{i // 30}"} for i, r in enumerate(made)]
    found = infer(runs[500:] + runs[:500])
    assert found.of("event.slicings") == [[]]
    assert [(one.name, one.why) for one in found.left_out] == [
        ("experiment", "its values come one after the other, and none that has passed comes back")
    ]
    own = [r | {"machine": f"m{i // 150}", "price": r["price"] * 10 ** (i // 150)} for i, r in enumerate(made)]
    shifted = [r | {"demand": r["demand"] * 10 ** (i // 150)} for i, r in enumerate(own)]
    found = infer(shifted[500:] + shifted[:500])
    assert found.of("event.slicings") == [["machine"]]
    (told,) = [note for note in found.notes if "begin at times of their own" in note]
    assert told.startswith("the 6 values of machine begin at times of their own (2 in the first 30%, 3 in the ")


@pytest.mark.parametrize(
    ("write", "such"),
    [
        (lambda x: f"${x:,.2f}", "('$1,"),
        (lambda x: f"{x:,.1f}".replace(",", " ").replace(".", ","), "('1 "),
        (lambda x: f"{x:,.2f} €".translate(str.maketrans(",.", ".,")), "('1."),
        (lambda x: f"{x / 20:.1f}%", "%' is "),
    ],
    ids=["dollars", "blanks and commas", "points and commas", "percent"],
)
def test_numbers_as_people_write_them_are_read_in_tables_and_said_in_json(
    write: Callable[[float], str], such: str, tmp_path: Path
) -> None:
    made = [{"when": r["when"], "amount": write(1.0 + r["demand"] * 1.03), "x": r["price"]} for r in rows()]
    found = proposed(tmp_path / "money.csv", table(made, ";"))
    assert found.of("event.numeric") == ["amount", "x"]
    (told,) = [note for note in found.notes if "written for people in amount" in note]
    assert such in told
    config = of_files(found.config(str(tmp_path)))
    values = [json.loads(value)["amount"] for _, value in read_rows(tmp_path / "money.csv", config)]
    assert all(isinstance(value, float) for value in values)
    assert len(set(values)) > 50
    lines = "\n".join(map(json.dumps, made))
    (left,) = proposed(tmp_path / "money.jsonl", lines).left_out
    assert left.why.startswith("has numbers such as ")
    assert left.why.endswith(f"let the producer send {values[0]}")


def test_a_name_that_two_columns_have_is_said(tmp_path: Path) -> None:
    head, *lines = table(rows()).splitlines()
    twice = "\n".join([f"{head},price", *(f"{line},{i}" for i, line in enumerate(lines))])
    found = proposed(tmp_path / "twice.csv", twice)
    assert found.of("event.numeric") == ["demand"]
    assert "the name 'price' is there more than once: its columns are left out; give each a name of its own" in (
        found.notes
    )


@pytest.mark.parametrize("name", ["is_fraud", "Anomaly", "label", "class", "groundTruth", "machineFailure"])
@pytest.mark.parametrize("values", [(0, 1), ("normal", "bad"), (0, 0)])
def test_what_somebody_has_found_is_no_feature(name: str, values: tuple[Any, Any]) -> None:
    found = infer([r | {name: values[i % 50 == 0]} for i, r in enumerate(rows())])
    assert [(one.name, one.why[:31]) for one in found.left_out] == [(name, "says what somebody has found: a")]
    assert name not in [*found.of("event.numeric"), *found.of("event.categorical")]


def test_numbers_that_json_writes_as_text_are_names_where_they_are_few() -> None:
    made = rows()
    found = infer([r | {"sit": str(r["demand"] % 4), "terminal": str(r["demand"] % 50 + 100)} for r in made])
    assert (found.of("event.numeric"), found.of("event.categorical")) == (
        ["price", "demand"],
        ["weather", "aisle", "sit"],
    )
    assert found.of("event.slicings") == [["terminal"]]


def test_numbers_that_always_come_as_text_are_no_incident_of_the_first_day() -> None:
    """Where some do and some do not it is a fault of the producer, which the note says."""
    always = infer([r | {"price": f"{r['price']:.2f}"} for r in rows()])
    assert always.of("event.policy") == {"price": "text"}
    assert tomllib.loads(toml_of(always, "F"))["event"]["policy"] == {"price": "text"}
    some = infer([r | {"price": f"{r['price']:.2f}" if i % 3 else r["price"]} for i, r in enumerate(rows())])
    assert some.of("event.policy") is None
    assert any("some numbers come as text in price" in note for note in some.notes)


def test_what_has_always_been_the_same_on_a_topic_is_said_and_at_hand() -> None:
    made = sample_of_rows([r | {"region": "eu", "retries": 0} for r in rows()])
    found = infer_sample(made, "orders", live=True)
    assert any(
        note.startswith("always the same in the events looked at: region (eu), retries (0);") for note in (found.notes)
    )
    text = toml_of(found, "topic orders")
    assert '#numeric = ["price", "demand", "retries"]' in text
    assert '#categorical = ["weather", "aisle", "region"]' in text
    assert not infer_sample(made, "orders").notes, "a file has all that there is"


def test_what_is_open_is_asked_and_an_answer_decides_the_rest() -> None:
    made = [{"created": r["when"], "occurred": r["when"][:-6], "x": r["price"], "host": r["weather"]} for r in rows()]
    found = infer(made)
    assert [choice.key for choice in found.unsure] == ["event.time_field", "event.slicings"]
    given = {"event.time_field": "occurred", "event.slicings": [[]]}
    answered = infer(made, given=given)
    assert (answered.unsure, answered.of("event.time_field")) == ([], "occurred")
    assert answered.of("event.categorical") == ["host"]


def test_thousands_of_columns_are_no_model(tmp_path: Path) -> None:
    made = [
        {"when": r["when"], **{f"s{j}": (i * (j + 3)) % 101 for j in range(2_000)}} for i, r in enumerate(rows(220))
    ]
    found = proposed(tmp_path / "wide.csv", table(made))
    assert len(found.of("event.numeric")) == 60
    assert len(found.left_out) == 1_940


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x,y\n" + "1,2\n3,5\n" * 30, "no field that holds a time"),
        ("2024-01-01,1.5\n2024-01-02,1.7\n2024-01-03,2.1\n", "no line of names"),
        ("time,name\n2024-01-01,a\n2024-01-02,b\n", "no field with numbers"),
        ("time,x\n", "no row that has as many cells"),
        ("", "is empty"),
        ("# of the plant\ntime,x\n2024-01-01,1\n", "begins with a comment"),
        ("  time   x   y\n2024-01-01 1 2\n", "no delimiter"),
        ('[{"time": "2024-01-01", "x": 1}]', "jq -c"),
        (
            "year,month,day,hour,x\n" + "".join(f"2024,1,{d},{h},{d * h % 7}\n" for d in (1, 2) for h in range(24)),
            "join",
        ),
    ],
    ids=["no time", "no names", "no numbers", "no rows", "empty", "comment", "blanks", "document", "parts"],
)
def test_what_is_no_stream_ends_in_a_sentence_that_says_what_to_do(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(content)
    with pytest.raises(DriftflowError, match=says):
        infer(tmp_path / "events.csv")


def test_rows_that_only_count_are_taken_for_seconds_and_that_is_said(tmp_path: Path) -> None:
    made = [{"index": i, "x": r["price"]} for i, r in enumerate(rows())]
    found = proposed(tmp_path / "digits.csv", table(made))
    assert (found.of("event.time_field"), found.of("event.time_format")) == ("index", "epoch_s")
    assert "no field holds a time of day" in found.notes[0]


def test_a_proposal_is_a_configuration_with_topics_of_its_own() -> None:
    config = infer(rows(), name="prices").config()
    assert (config.topics.events, config.kafka.group) == ("prices.events", "driftflow-prices")
    assert parse(infer(rows(), name="prices").raw()).event == config.event
