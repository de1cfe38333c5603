"""A week in sentences: what is said follows from what is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from flowlib.table import DAY_MS
from schemas.incidents import Action, Incident
from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.errors import DriftflowError
from stream_app.reporting.weekly.counts import LOST, share_of
from stream_app.reporting.weekly.days import Week
from stream_app.reporting.weekly.trusting import judged
from stream_app.reporting.weekly.writing import as_html, as_markdown, read_week, write_report
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from stream_app.stages.outputs import Point
from tests.console.telling import HOSTILE, made_incident, silenced
from tests.notify.test_mail import Box, mail_server

PANES = 4
FIRST_DAY = 16_000  # of the epoch: 22 October 2013
WEEK = Week((FIRST_DAY + 14) * DAY_MS)
TOML = """
stream = "s"
[topics]
events = "s.events"
[event]
time_field = "time"
numeric = ["x"]
slicings = [["shop"]]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "driftflow.toml").write_text(TOML)
    return load(tmp_path / "driftflow.toml")


def windows(rate: float, days: int = 14, events: int = 100) -> list[Point]:
    """Two shops and four panes a day, whose events are called strange at a rate."""
    made = []
    for pane in range(days * PANES):
        for shop in ("north", "south"):
            fields = (
                *(("seen", events), ("scored", events - 1), ("missing", 2), ("model_id", "model-one")),
                ("p_le_01", round(rate * (events - 1))),
            )
            tags = (("slice", shop), ("slicing", "shop"), ("span", "pane"), ("stream", "s"))
            made.append(Point("windows", tags, FIRST_DAY * DAY_MS + (pane + 1) * DAY_MS // PANES, fields))
    return made


def told(name: str, day: float, state: str = "open", **more: object) -> Incident:
    """An incident of the shop, at a day after the first."""
    at_ms = int((FIRST_DAY + day) * DAY_MS)
    fields = {"since_ms": at_ms, "id": f"{name}-{day}"} | more
    record = made_incident("s", name, at_ms, at_ms + DAY_MS // PANES, state, **fields)
    return replace(record, members=[replace(member, slicing="shop") for member in record.members])


def store(config: Config, *parts: list[Point]) -> None:
    sink = SQLiteSink(config.path(config.sink.path))
    for part in parts:
        sink.write(part)
    sink.close()


def test_a_calm_week_is_said_to_be_one(config: Config) -> None:
    store(config, windows(0.01))
    week = read_week(config)
    assert week.week == WEEK
    assert judged(week.counts) == "as meant"
    text = as_markdown(week)
    assert "Nothing unusual was found this week.\nNothing waits for an answer.\nThe findings can be trusted" in text
    assert "5,600 events came, as many as the week before." in text
    assert "99 % of the events were looked at; of 1.0 % no model could say anything." in text
    assert "Nobody answered anything" in text


@pytest.mark.parametrize(("rate", "verdict"), [(0.0, "fewer"), (0.04, "more")])
def test_what_should_be_rare_and_is_not_is_said(config: Config, rate: float, verdict: str) -> None:
    store(config, windows(rate))
    assert judged(read_week(config).counts) == verdict


@pytest.mark.parametrize(("rate", "verdict"), [(0.1, "unsteady"), (0.0175, "calmer"), (0.0, "fewer")])
def test_a_week_that_is_calmer_than_the_one_before_is_no_fault_of_the_model(
    config: Config, rate: float, verdict: str
) -> None:
    before = [p for p in windows(rate, events=400) if not WEEK.has(p.time_ms)]
    store(config, before, [p for p in windows(0.0025, events=400) if WEEK.has(p.time_ms)])
    week = read_week(config)
    assert judged(week.counts, week.counts_before) == verdict
    assert judged(week.counts) == "fewer"
    text = as_markdown(week)
    assert ("this week was calmer than the one before, and in both together as few" in text) == (verdict == "calmer")
    assert ("Small changes may have been missed" in text) == (verdict == "fewer")


def test_one_bad_day_is_no_proof_that_all_is_well(config: Config) -> None:
    bad = [p for p in windows(0.3) if WEEK.day_of(p.time_ms) == 3]
    store(config, windows(0.01), bad)
    week = read_week(config)
    assert judged(week.counts) == "unsteady"
    assert "on some days far more events than on others" in as_markdown(week)


def test_events_of_an_incident_say_nothing_of_the_calibration(config: Config) -> None:
    """One shop is strange throughout, and an incident says so: the other one tells."""
    quiet = [p for p in windows(0.01) if p.tags[0][1] == "south"]
    loud = [p for p in windows(0.5) if p.tags[0][1] == "north"]
    store(config, quiet, loud)
    assert judged(read_week(config).counts) == "more"
    store(config, [points.incident_point(told("north", 5.0))])
    week = read_week(config)
    assert judged(week.counts) == "as meant"
    assert "1 thing from before is still unusual" in as_markdown(week)


def test_the_week_is_told_as_it_was_at_its_end(config: Config) -> None:
    new = told("north", 9.0, severity="warning", summary=f"{HOSTILE} is colder.")
    worse = told("north", 9.0, number=2, state="update", reason="severity", acked_by="Li", id=new.id)
    over = told("north", 9.0, "resolve", number=3, id=new.id, opened_pane_ms=new.opened_pane_ms)
    late = replace(over, pane_end_ms=WEEK.to_ms + DAY_MS)
    hushed = silenced(told("south", 10.0))
    end = WEEK.to_ms - DAY_MS
    actions = [
        Action(id="m", stream="s", verb="mark", by="ops", at_ms=end, why="release 4.2"),
        Action(id="a", stream="s", verb="ack", by="Li", at_ms=end, incident_id=new.id),
        Action(id="f", stream="s", verb="feedback", by="Li", at_ms=end, incident_id="gone", verdict="noise"),
        Action(id="p", stream="s", verb="pin", by="Li", at_ms=end, model="model-one", why="until Monday"),
        Action(id="q", stream="s", verb="silence", by="Li", at_ms=end, slices=["shop=south"], to_ms=end + DAY_MS),
        Action(id="u", stream="s", verb="unsilence", by="Li", at_ms=end, incident_id="q"),
        Action(id="t", stream="other", verb="mark", by="ops", at_ms=end, why="not ours"),
    ]
    said = [points.action_point(action, end) for action in actions]
    store(config, windows(0.01), said, [points.incident_point(one) for one in (new, worse, late, hushed)])
    text = as_markdown(read_week(config, "2013-11-04"))
    for words in (
        "1 unusual thing was found this week, and it is grave.",
        "Nothing waits for an answer.",
        "critical | since Thu 31 October, 00:00 |",
        "Li has taken note.",
        "1 more thing is silenced, and not listed.",
        "release 4.2 (ops)",
        "Li took note of “",
        "Li judged incident gone as noise.",
        "Li pinned model model-on (until Monday).",
        "Li silenced shop=south until",
        "Li lifted a silence.",
    ):
        assert words in text, words
    assert "not ours" not in text
    assert HOSTILE not in as_html(read_week(config, "2013-11-04"))
    after = as_markdown(read_week(config, "2013-11-11"))
    assert "what went on from before is over" in after


def test_one_fault_of_several_partitions_is_one_thing(config: Config) -> None:
    fault = {"rules": ["intake"], "kind": "fault", "cause_id": "not-json", "slices": [""]}
    said = [replace(told("", 9.0, id=f"intake-{k}", **fault), members=[], member_count=0) for k in range(3)]
    store(config, windows(0.01), [points.incident_point(one) for one in said])
    text = as_markdown(read_week(config))
    assert "1 unusual thing was found this week" in text
    assert "The same on" in text


def test_what_was_lost_is_said(config: Config) -> None:
    counters = {"received": 1_000, "windowed": 800, **dict.fromkeys(LOST, 50), "held": 0}
    twice = {name: 2 * n for name, n in counters.items()}
    reports = [(WEEK.from_ms, counters, 0), (WEEK.to_ms, twice, 0)]
    store(config, windows(0.01, events=2), points.counters_points(config, 0, reports))
    text = as_markdown(read_week(config))
    assert "5.0 % came too late, 5.0 % could not be read and 5.0 % had been counted before" in text
    assert "800 events came, with no week to compare it with." in text
    assert "Not every pane of this week is in the store" in text


def test_damaged_rows_are_counted_and_nothing_else(config: Config) -> None:
    store(config, windows(0.01))
    bad = [Point("windows", p.tags, p.time_ms, (("seen", "x"),)) for p in windows(0.0)[-4:]]
    other = [Point("models", (("stream", "s"),), WEEK.to_ms, (("status", 5),))]
    store(config, bad, other)
    assert "4 rows of the store could not be read" in as_markdown(read_week(config))


@pytest.mark.parametrize(
    ("day", "words"),
    [("yesterday", "is no date: write the last day"), ("2031-01-01", "no event of s in the week of 26 December 2030")],
)
def test_a_week_that_is_none_is_said(config: Config, day: str, words: str) -> None:
    store(config, windows(0.01, days=1))
    with pytest.raises(DriftflowError, match=words):
        read_week(config, day)


def test_no_store_is_said(config: Config, tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match="cannot be read"):
        write_report(config, "", tmp_path / "a.html", None)
    store(config, [])
    with pytest.raises(DriftflowError, match="no windows yet"):
        read_week(config)


def test_the_command_writes_both(config: Config) -> None:
    store(config, windows(0.01))
    page, text = config.path("r.html"), config.path("r.md")
    words = ["report", "-c", str(config.path("driftflow.toml")), "--out", str(page), "--markdown", str(text)]
    for more in (["--week"], ["--week", "2013-11-04"], []):
        done = CliRunner().invoke(main, [*words, *more])
        assert done.exit_code == 0, done.output
        assert "Nothing unusual was found this week." in done.output
        assert page.read_text().startswith("<!doctype html>")
        assert text.read_text().startswith("# s: the week of 29 October to 4 November 2013\n")


def test_it_is_mailed_through_a_channel(config: Config) -> None:
    store(config, windows(0.01))
    box, file = Box(), config.path("driftflow.toml")
    with mail_server(box) as port:
        channel = (
            f'host = "127.0.0.1"\nport = {port}\ntls = "none"\nsender = "d@example.com"\nto = ["anna@example.com"]'
        )
        file.write_text(f"{TOML}\n[notify.mail.owners]\n{channel}\n")
        words = ["report", "-c", str(file), "--out", str(config.path("r.html")), "--mail"]
        done = CliRunner().invoke(main, [*words, "owners"])
        assert done.exit_code == 0, done.output
        assert "mail.owners: taken for 1 of 1 addresses" in done.output
        assert "no channel 'ops'" in CliRunner().invoke(main, [*words, "ops"]).output
    (letter,) = box.letters
    assert letter["Subject"] == "s: the week of 29 October to 4 November 2013"
    parts = {part.get_content_type(): part.get_content() for part in letter.iter_parts()}
    assert "Nothing unusual was found this week." in parts["text/plain"]
    assert "prefers-color-scheme" in parts["text/html"]


def test_shares_are_covered_where_events_come_in_clumps(seed: int) -> None:
    """Each day's events agree with each other: its share is drawn anew around 1 %."""
    rng, covered, rounds = np.random.default_rng(seed), 0, 400
    for _ in range(rounds):
        rates = 0.01 * rng.gamma(4.0, 0.25, 7)
        share = share_of(rng.binomial(3_000, rates), np.full(7, 3_000))
        covered += share.low <= 0.01 <= share.high
    print(f"seed {seed}: {covered} of {rounds}")
    assert covered >= 0.8 * rounds
