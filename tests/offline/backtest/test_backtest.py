"""``driftflow backtest``: the same incidents as the run itself, what other rules would have told, and what is known."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from flowlib import artifact
from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.incidents import Action, Incident
from stream_app.config import Config
from stream_app.errors import ConfigError, DriftflowError
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.loading import scored_by
from stream_app.models.registry import Registry
from stream_app.offline.backtest.compare import Comparison
from stream_app.offline.backtest.page import sentences
from stream_app.offline.backtest.run import BacktestOptions, run_backtest
from stream_app.offline.backtest.threads import folded, from_feedback, read_labels
from stream_app.offline.reading import Reading
from stream_app.offline.replay import LocalRun
from stream_app.stages.decisions import Acted, encode
from tests.stages.streams import bodies, config

ONLY_MISSING = '[rules.fault]\ndetectors = ["missing"]\n'


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory, model: Density) -> Config:
    """A stream with a model in service and a file of events, of which the second half is shifted."""
    folder = tmp_path_factory.mktemp("backtest")
    cfg = msgspec.structs.replace(config(), root=str(folder))
    signed, registry = artifact.pack(model, signing_key(cfg)), Registry(cfg)
    registry.save(signed)
    registry.change(Entry(signed.model_id, "r", 0))
    (folder / "events.jsonl").write_bytes(b"\n".join(bodies(5, 4_000, 200_000)) + b"\n")
    return cfg


def live(cfg: Config, decisions: list[Any]) -> list[Incident]:
    """The incidents that a run tells of, and the decisions that it makes."""
    run, current = LocalRun(cfg), Registry(cfg).current()
    assert current is not None
    run.pipeline.models.add(scored_by(cfg, current))
    run.start(current.model_id)
    for raw in Reading(cfg, cfg.path("events.jsonl")).batches():
        run.feed(raw)
    decisions += run.pipeline.decisions
    records = [
        decode_event(m.value, m.headers) for (role, _), sent in run.sent.items() if role == "signals" for m in sent
    ]
    return [record for record in records if isinstance(record, Incident)]


def backtest(cfg: Config, rules: str, **options: Any) -> Comparison:
    """The command on the stream's file."""
    path = cfg.path("rules.toml")
    path.write_text(rules)
    given = BacktestOptions(rules=path, out=cfg.path("page.html"), **options)
    history = Reading(cfg, cfg.path("events.jsonl"))
    return run_backtest(cfg, history, given, Console(file=io.StringIO()))


def test_the_rules_in_service_tell_what_the_run_told_message_for_message(stream: Config) -> None:
    told = live(stream, [])
    assert told
    same = backtest(stream, "")
    assert same.equal
    assert same.service.told == same.others.told == folded(told)
    assert sentences(same) == ["With these rules people would have been told exactly the same."]


def test_other_rules_tell_other_things_of_the_same_events(stream: Config) -> None:
    other = backtest(stream, ONLY_MISSING, png=stream.path("page.png"), figures=stream.path("figures.json"))
    assert not other.equal
    assert {told.kind for told in other.others.told} == {"fault"}
    assert "drift" in {told.kind for told in other.service.told}
    assert other.others.requests == 0
    (told, messages), before = (
        (len(side.told), sum(of.messages for of in side.told)) for side in (other.others, other.service)
    )
    incidents, said = (f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in ((told, "incident"), (messages, "message")))
    assert sentences(other)[0] == (
        f"With these rules people would have been told of {incidents} where they were told of {before[0]}, in {said} "
        f"where there were {before[1]}."
    )
    figures = json.loads(stream.path("figures.json").read_text())
    assert figures == json.loads(json.dumps(other.figures()))
    assert figures["in_service"]["incidents"] == len(other.service.told)
    assert figures["rules"]["incidents"] == len(other.others.told)
    page = stream.path("page.html").read_text()
    assert all(sentence in page for sentence in sentences(other))
    assert stream.path("page.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_known_is_found_or_missed_with_its_delay(stream: Config, tmp_path: Path) -> None:
    (first, *_) = folded(live(stream, []))
    labels = tmp_path / "labels.csv"
    near, far = first.since_ms / 1000, first.told_ms / 1000
    labels.write_text(
        "from,to,slice,verdict,name\n"
        f"{_iso(near - 5)},{_iso(far + 50)},,,the change\n"
        f"{_iso(near - 5)},{_iso(far + 50)},nowhere,useful,elsewhere\n"
    )
    found = backtest(stream, "", labels=labels)
    by_name = dict(zip([label.name for label in found.useful], found.delays_ms(found.service), strict=True))
    assert by_name["the change"] is not None
    assert by_name["the change"] >= 0
    everywhere = any("__all__" in told.slices or not told.slices for told in found.service.told)
    assert everywhere or by_name["elsewhere"] is None
    assert found.figures()["labels"] == 2


def test_verdicts_of_people_are_labels(stream: Config, tmp_path: Path) -> None:
    decisions: list[Any] = []
    told = folded(live(stream, decisions))
    verdicts = {told[0].id: "noise"} | {of.id: "useful" for of in told[1:]}
    said = [
        Action(id=f"a{i}", stream="s", verb="feedback", by="Li", at_ms=0, incident_id=name, verdict=verdict)
        for i, (name, verdict) in enumerate(verdicts.items())
    ]
    labels = from_feedback(said, told)
    assert [label.useful for label in labels] == [False, *[True] * (len(told) - 1)]
    path = tmp_path / "decisions.jsonl"
    end_ms = max(of.told_ms for of in told)
    path.write_bytes(b"".join(map(encode, [*decisions, *(Acted(end_ms, i, one) for i, one in enumerate(said))])))
    again = backtest(stream, "", decisions=path)
    assert again.equal
    assert (again.service.noise, again.service.figures()["missed"]) == (1, 0)


def test_a_file_of_labels_says_what_is_wrong_and_where(stream: Config, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for text, fault in (
        ("from,to\n2024-01-02,2024-01-01\n", r"line 2: it ends before it begins"),
        (
            "start,end\n2024-01-01,2024-01-02\n",
            r"line 2: no from and no to; the columns are from,to,slice,verdict,name",
        ),
        ("from,to\nyesterday,2024-01-01\n", r"line 2: .*; the columns are from,to,slice,verdict,name"),
        ("from,to,verdict\n2024-01-01,2024-01-02,great\n", r"line 2: verdict is 'great'; expected useful or noise"),
    ):
        path.write_text(text)
        with pytest.raises(DriftflowError, match=fault):
            read_labels(stream.event, path)
    with pytest.raises(DriftflowError, match="labels cannot be read from"):
        read_labels(stream.event, tmp_path / "none.csv")


def test_rules_with_faults_are_refused_before_anything_is_read(stream: Config) -> None:
    with pytest.raises(ConfigError, match=r"rules\.drift\.detectors"):
        backtest(stream, '[rules.drift]\ndetectors = ["location", "location"]\n')


def _iso(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat()
