"""What people type becomes signed actions on a real broker's topic, and they are told what follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Action, Example, Finding, Incident, Mark, StrangeEvents
from schemas.records import Blame, Health
from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.kafka.actions import action_message, read_actions, send_action
from stream_app.kafka.topics import ensure_topics
from stream_app.models.keys import operator_key
from stream_app.models.marks import Marks
from stream_app.operators import acting
from stream_app.worker.losses import RULE
from tests.brokers import EMBEDDED
from tests.people import HOUR_MS, action, incident, member, silenced, strange

TOML = """
stream = "{stream}"
[topics]
events = "{stream}.events"
partitions = 1
[event]
time_field = "time"
numeric = ["TEMP", "PRES"]
slicings = [["station"]]
[kafka]
bootstrap = ["{bootstrap}"]
"""
OPEN = "11111111-0000-5000-8000-000000000000"
LIKE = "11112222-0000-5000-8000-000000000000"
PAST = "99999999-0000-5000-8000-000000000000"

Say = Callable[..., str]


@pytest.fixture
def config(broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path) -> Config:
    """A stream whose topics are there, with an operator's key."""
    (tmp_path / "driftflow.toml").write_text(TOML.format(stream=unique("air"), bootstrap=broker[1]))
    config = load(tmp_path / "driftflow.toml")
    ensure_topics(config)
    return config


@pytest.fixture
def say(config: Config) -> Say:
    """Runs a command and returns what it has said; its status has to be the one that is given."""

    def run(*words: str, status: int = 0) -> str:
        where = ["-c", str(config.path("driftflow.toml"))]
        done = CliRunner(env={"COLUMNS": "400"}).invoke(main, [*words, *where])
        assert done.exit_code == status, done.output + repr(done.exception)
        return done.output

    return run


@pytest.fixture
def key(say: Say) -> str:
    return say("keys", "new", "operator")


def tell(config: Config, records: Iterable[Incident | StrangeEvents | Health]) -> None:
    """Put messages on the signals topic, as JUDGE and processes do."""
    producer = KafkaProducer(bootstrap_servers=config.kafka.bootstrap, acks="all")
    for number, record in enumerate(records):
        of_stream = msgspec.structs.replace(record, stream=config.stream)
        time_ms = record.since_ms if isinstance(record, Health) else record.pane_end_ms
        sent = encode_event(Envelope(of_stream, f"{number}", "/x", time_ms))
        producer.send(config.topics.signals, value=sent.value, headers=list(sent.headers), partition=0).get(30)
    producer.close()


@pytest.fixture
def told(config: Config) -> None:
    """Two incidents that are open, one that is over, one that is silenced, and strange events."""
    over = incident(PAST, number=2, state="resolve", reason="ended", summary="Gucheng: PRES is back")
    hidden = silenced(incident("77777777-1", summary="Wanliu: TEMP is lower"))
    update = incident(OPEN, number=2, state="update", reason="severity", summary="Dongsi: TEMP is much lower")
    mild = incident(
        LIKE, severity="info", summary="Changping: PRES is higher", members=[member("drift", feature="PRES")]
    )
    opened = [incident(OPEN, severity="warning"), mild, incident(PAST, summary="Gucheng: PRES is higher")]
    tell(config, [*opened, update, over, over, hidden, strange()])


def actions(config: Config) -> list[Action]:
    """What stands on the topic, signed by a trusted key."""
    return read_actions(config, Marks(config).is_trusted)


def last(config: Config, *names: str) -> dict[str, Any]:
    """Fields of the last action."""
    newest = actions(config)[-1]
    return {name: getattr(newest, name) for name in names}


@EMBEDDED
@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("verb", ["accept", "ack"])
def test_nobody_answers_what_becomes_of_events_and_is_told_what_to_do(config: Config, say: Say, verb: str) -> None:
    tell(config, [incident(OPEN, rules=["intake"], kind="fault", members=[], member_count=0, slice_count=0)])
    said = say(verb, OPEN[:6], status=1)
    assert "it ends by itself once they are as they should be" in said
    assert "event.tolerated" in said
    assert actions(config) == []


@EMBEDDED
def test_what_a_process_says_that_fails_is_listed_until_it_works_again(config: Config, say: Say) -> None:
    health = Health(
        stream="s", source="worker a-1", part="drainer", state="failing", says="the server is away", since_ms=0
    )
    gone = msgspec.structs.replace(health, part="offsets", says="no topic e on the broker any more")
    tell(config, [health, gone, msgspec.structs.replace(health, state="ok", says="", since_ms=9)])
    lines = say("incidents").splitlines()
    assert lines[0] == "No incident is open."
    assert lines[1].split("  ", 2)[2].strip() == "offsets: no topic e on the broker any more (worker a-1)"
    assert lines[1].startswith("failing   since 1970-01-01")
    assert len(lines) == 2


@pytest.mark.usefixtures("told", "key")
def test_an_incident_is_accepted_and_acknowledged_by_the_beginning_of_its_id(config: Config, say: Say) -> None:
    lines = say("accept", OPEN[:8], "--why", "winter has come", "--by", "anna").splitlines()
    assert lines[0] == "anna takes for normal what incident 11111111 tells of: Dongsi: TEMP is much lower"
    assert "ends as `accepted`" in lines[1]
    expected = {"verb": "accept", "incident_id": OPEN, "why": "winter has come", "by": "anna", "stream": config.stream}
    assert last(config, *expected) == expected
    assert "anna sees to incident 11112222" in say("ack", "11112222", "--by", "anna")
    assert last(config, "verb", "incident_id", "why") == {"verb": "ack", "incident_id": LIKE, "why": ""}
    assert len({one.id for one in actions(config)}) == 2
    assert operator_key(config)


def test_what_an_acknowledgement_does_is_said_of_incidents_about_logs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Desk:
        by = "anna"

        def __init__(self, *_: object) -> None: ...

        def send(self, *_: object, **__: object) -> None: ...

        def open_incident(self, rule: str) -> object:
            return SimpleNamespace(id=OPEN, summary="what has happened", rules=[rule])

    monkeypatch.setattr(acting, "Desk", Desk)
    config: Any = None
    assert "It stays open" in acting.run_ack(config, "drift", "anna", "")[1]
    (_, says) = acting.run_ack(config, RULE, "anna", "")
    assert says.startswith("It is about a log")
    assert "stays open" not in says


@EMBEDDED
@pytest.mark.usefixtures("told", "key")
def test_an_id_that_names_none_or_several_is_an_error_with_candidates(config: Config, say: Say) -> None:
    said = say("accept", "1111", status=1).splitlines()
    assert "2 open incidents have an id that begins with '1111': type more of it" in said[0]
    assert [line.split()[0] for line in said[1:]] == [OPEN, LIKE]
    assert "Dongsi: TEMP is much lower" in said[1]
    said = say("ack", "abc", status=1).splitlines()
    assert "no open incident has an id that begins with 'abc' (`driftflow incidents --all` lists them)" in said[0]
    assert len(said) == 4, "the silenced one is open too"
    assert "incident 99999999 is over since 1970-01-02 06:00 already" in say("ack", "9999", status=1)
    assert "no open incident" in say("accept", "", status=1)
    assert actions(config) == []


@EMBEDDED
@pytest.mark.usefixtures("told", "key")
def test_what_has_ended_by_itself_can_be_accepted_still(config: Config, say: Say) -> None:
    """Else nobody could let a model learn it, as long as training reaches back to it."""
    assert "It is over; what of it nobody had judged counts as judged" in say("accept", "9999", "--by", "anna")
    assert last(config, "verb", "incident_id", "by") == {"verb": "accept", "incident_id": PAST, "by": "anna"}


@EMBEDDED
@pytest.mark.usefixtures("told", "key")
def test_silences_are_listed_and_taken_back_by_id(config: Config, say: Say) -> None:
    assert "Nothing is silenced." in say("incidents", "--silences")
    what = ["--slice", "station=Dong*", "--channel", "location TEMP", "--direction", "down", "--below-sd", "1.5"]
    when = ["--from", "1970-01-02", "--to", "12h", "--why", "works", "--by", "anna"]
    said = say("silence", *what, *when)
    words = "station=Dong*, location TEMP, down, below 1.5 sd from 1970-01-02 00:00 to 1970-01-02 12:00 (works, anna)"
    assert f"anna silences {words}; `driftflow unsilence " in said
    (silence,) = actions(config)
    assert (silence.slices, silence.channel, silence.direction) == (["station=Dong*"], "location TEMP", "down")
    assert (silence.below_sd, silence.from_ms, silence.to_ms) == (1.5, 24 * HOUR_MS, 36 * HOUR_MS)
    say("silence", "--from", "1970-01-01", "--to", "1970-01-02", "--why", "the start", "--by", "bo")
    say("silence", "--from", "2036-01-01", "--to", "1d", "--why", "a holiday", "--by", "bo")
    listed = say("incidents", "--silences").splitlines()
    assert [line.split("  ")[0].strip() for line in listed] == ["in force", "to come", "over"]
    assert words in listed[0]
    assert len(say("incidents", "--silences", "--format", "json").splitlines()) == 3
    assert f"bo takes a silence back: {words}" in say("unsilence", silence.id[:8], "--by", "bo")
    assert len(say("incidents", "--silences").splitlines()) == 2
    assert "no silence has an id" in say("unsilence", silence.id[:8], status=1)


@EMBEDDED
@pytest.mark.usefixtures("key")
def test_a_wrong_silence_sends_nothing_and_says_all_reasons(config: Config, say: Say) -> None:
    said = say("silence", "--slice", "town=X", "--channel", "no such", status=1)
    for word in ("nothing is silenced", "'town'", "'no such'", "--to", "--why"):
        assert word in said
    assert actions(config) == []


@EMBEDDED
@pytest.mark.usefixtures("key")
def test_a_mark_stands_where_it_is_put(config: Config, say: Say) -> None:
    assert "anna marks 1970-01-02 06:00: release 4.2" in say(
        "mark", "release 4.2", "--at", "1970-01-02T06:00", "--by", "anna"
    )
    assert last(config, "verb", "at_ms", "why") == {"verb": "mark", "at_ms": 30 * HOUR_MS, "why": "release 4.2"}
    assert "the mark says nothing" in say("mark", " ", status=1)
    assert "--at: expected `now` or a time" in say("mark", "x", "--at", "noon", status=1)


@EMBEDDED
@pytest.mark.usefixtures("told", "key")
def test_verdicts_are_counted_by_rule_and_channel(config: Config, say: Say) -> None:
    assert "0 of 5 incidents and messages" in say("feedback")
    for name, verdict in ((OPEN, "noise"), (OPEN, "useful"), (LIKE, "noise"), (PAST, "wrong-owner"), ("5e5e", "noise")):
        assert f"anna finds {verdict}: " in say("feedback", name, verdict, "--by", "anna")
    rows = [json.loads(line) for line in say("feedback", "--json").splitlines()]
    counts = {(row["rule"], row["channel"]): (row["useful"], row["wrong_owner"], row["noise"]) for row in rows}
    assert counts == {
        ("all", "all"): (1, 1, 2),
        ("drift", "location TEMP"): (1, 1, 0),
        ("drift", "location PRES"): (0, 0, 1),
        ("", "single events"): (0, 0, 1),
    }
    text = say("feedback")
    assert "4 of 5 incidents and messages about single events are judged." in text
    assert "location TEMP" in text
    assert "give a verdict after the ID" in say("feedback", OPEN, status=2)
    assert "it was 'great'" in say("feedback", OPEN, "great", status=2)


@EMBEDDED
@pytest.mark.usefixtures("told")
def test_incidents_are_told_open_ones_first_the_severest_of_these_first(say: Say) -> None:
    lines = say("incidents").splitlines()
    assert lines[0] == "2 incidents are open:"
    assert lines[1].startswith("critical  11111111  open since 1970-01-01 06:00; drift, 1 slice")
    assert lines[2] == "  Dongsi: TEMP is much lower"
    assert lines[3].startswith("info      11112222")
    assert lines[-1] == "1 is over and 1 is open and silenced: --all shows them"
    everything = say("incidents", "--all")
    assert "Gucheng: PRES is back" in everything
    assert "silenced (abcdefgh)" in everything
    assert "3 single strange events, in 1 message:" in everything
    rows = [json.loads(line) for line in say("incidents", "--all", "--format", "json").splitlines()]
    assert [row["id"][:4] for row in rows] == ["1111", "7777", "1111", "9999"]


@EMBEDDED
def test_one_incident_is_told_with_all_that_it_carries(config: Config, say: Say) -> None:
    warmer = Finding(
        detector="location",
        feature="TEMP",
        weight=0.625,
        direction="up",
        measure="mean",
        events=960,
        says="TEMP is 4.1 σ higher than usual",
    )
    blame = [Blame(feature="TEMP", weight=0.9, detail="value 31")]
    odd = Example(topic="air", partition=2, offset=77, event_time_ms=0, slice="Dongsi", p_value=0.0001, blame=blame)
    told = incident(
        OPEN,
        findings=[warmer],
        examples=[odd],
        marks=[Mark(at_ms=0, text="release 4.2", by="bo")],
        members=[member(slice_=f"station{n}", over=n == 1) for n in range(20)],
        member_count=140,
        statistic=5e30,
        threshold=12_345.0,
        evidence="betting odds",
        promise="one a month",
        links={"console": "http://x/#incident=1"},
        next="A model is asked for.",
    )
    tell(config, [told, incident(PAST)])
    lines = say("incidents", OPEN[:8]).splitlines()
    for line in (
        "  TEMP is 4.1 σ higher than usual (location, 62% of the evidence, 960 events)",
        "  station0 (station), rule drift: location TEMP down since 1970-01-01 00:00",
        "  station1 (station), rule drift: location TEMP down since 1970-01-01 00:00, over",
        "  … and 128 more",
        "  5e+30, opened at 12,345: betting odds",
        "  one a month",
        "  1970-01-01 00:00  air/2@77, Dongsi, p = 0.0001: TEMP 90% (value 31)",
        "  1970-01-01 00:00  release 4.2 (bo)",
        "  found under m1",
        "  console: http://x/#incident=1",
        "  A model is asked for.",
    ):
        assert line in lines, lines
    assert json.loads(say("incidents", OPEN[:4], "--format", "json"))["id"] == OPEN
    assert "Links:" not in say("incidents", PAST[:4])
    assert "no incident has an id that begins with 'x'" in say("incidents", "x", status=1)


@EMBEDDED
@pytest.mark.usefixtures("told")
def test_without_a_key_there_is_one_sentence_with_the_command(config: Config, say: Say) -> None:
    for words in (["accept", OPEN], ["ack", OPEN], ["mark", "x"], ["feedback", OPEN, "noise"], ["unsilence", "x"]):
        said = say(*words, status=1)
        assert "there is no operator's key" in said
        assert "`driftflow keys new operator` makes it" in said
    say("keys", "new", "operator")
    say("ack", OPEN, "--by", "anna")
    assert len(actions(config)) == 1


@EMBEDDED
@pytest.mark.usefixtures("told", "key")
def test_a_key_that_nobody_would_heed_signs_nothing(config: Config, say: Say) -> None:
    config.path("team.pub").write_bytes(config.path("keys/operator.pub").read_bytes())
    say("keys", "rotate", "operator")
    toml = config.path("driftflow.toml")
    toml.write_text(toml.read_text() + '[alerts]\ntrusted_keys = ["team.pub"]\n')
    said = say("ack", OPEN, status=1)
    assert f"is in none of {config.path('team.pub')} (alerts.trusted_keys), so that nobody would heed" in said


@EMBEDDED
@pytest.mark.usefixtures("key")
def test_what_nobody_trusted_has_signed_is_nobodys(config: Config, say: Say, caplog: pytest.LogCaptureFixture) -> None:
    forged = action("silence", "f" * 36, stream=config.stream, from_ms=0, to_ms=HOUR_MS, why="mine")
    send_action(config, action_message(forged))
    assert "Nothing is silenced." in say("incidents", "--silences")
    assert "is passed over: it is not signed by a key trusted here" in caplog.text


@EMBEDDED
@pytest.mark.usefixtures("key")
def test_a_text_that_nobody_would_take_in_is_not_sent(config: Config, say: Say) -> None:
    assert "say it shorter" in say("mark", "x" * 20_000, status=1)
    assert actions(config) == []


def test_topics_that_are_not_there(broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "driftflow.toml").write_text(TOML.format(stream=unique("none"), bootstrap=broker[1]))
    where = ["-c", str(tmp_path / "driftflow.toml")]
    run = CliRunner(env={"COLUMNS": "400"})
    run.invoke(main, ["keys", "new", "operator", *where])
    for words in (["incidents"], ["mark", "x"], ["feedback"]):
        done = run.invoke(main, [*words, *where])
        assert done.exit_code == 1
        assert "does not exist: start `driftflow worker` once, it creates the topics" in done.output
