"""Events of confirmed incidents: gathered when a person says so, kept, and held against every later model."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from kafka.errors import KafkaConnectionError

from flowlib.table import DAY_MS, Table
from schemas.codecs import Envelope, encode_event
from schemas.incidents import Action, Example, Incident, Member, StrangeEvents
from schemas.records import EventAnomaly, Record
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.actions import new_action
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.trainer.canaries import gathering
from stream_app.trainer.canaries.file import INCIDENTS_MAX, CanaryFile
from stream_app.trainer.canaries.gathering import Gathering
from stream_app.trainer.canaries.places import PLACES_MAX, Thread, ranges, take_flagged, threads
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.stopping import Stopping
from stream_app.trainer.trainer import Trainer
from stream_app.trainer.training import Known, answer
from tests.trainer.asking import ask, asked, stream_in
from tests.trainer.conftest import Topics
from tests.trainer.shadow.worlds import batch_of
from tests.trainer.test_answering import DAYS, rows

INCIDENT = "1c" * 32
SINCE_MS, UNTIL_MS = 20 * DAY_MS, 22 * DAY_MS
BURST = np.arange(20 * 24 + 5, 22 * 24 - 5)
"""Offsets of the attack: an event an hour."""


def attacked(seed: int = 0) -> Table:
    """The rows of the stream, with an attack of two days far away."""
    table = rows(seed=seed)
    numeric = table.numeric.copy()
    numeric[BURST] = [7.0, -7.0] + 0.1 * np.random.default_rng(1).standard_normal((len(BURST), 2))
    return table.with_numeric(numeric)


def learnt() -> Table:
    """Rows in which the attack has come again and again, three events in a hundred."""
    table, g = rows(shift=1.0, seed=5), np.random.default_rng(2)
    attack = [7.0, -7.0] + 0.1 * g.standard_normal((len(table), 2))
    return table.with_numeric(np.where((g.random(len(table)) < 0.03)[:, None], attack, table.numeric))


def incident(model_id: str, examples: list[int], **fields: Any) -> Incident:
    told = {
        "id": INCIDENT,
        "stream": "s",
        "number": 1,
        "state": "open",
        "reason": "opened",
        "kind": "drift",
        "severity": "warning",
        "rules": ["day"],
        "detector": "likelihood",
        "feature": "",
        "members": [Member("day", "all", "all", "likelihood", "", "", SINCE_MS, False)],
        "member_count": 1,
        "slice_count": 1,
        "since_ms": SINCE_MS,
        "opened_pane_ms": SINCE_MS,
        "pane_start_ms": UNTIL_MS - DAY_MS,
        "pane_end_ms": UNTIL_MS,
        "events": 48,
        "share": 1.0,
        "statistic": 99.0,
        "threshold": 9.0,
        "evidence": "e",
        "promise": "p",
        "findings": [],
        "examples": [Example("e", 0, at, SINCE_MS, "all", 0.001, []) for at in examples],
        "marks": [],
        "model_id": model_id,
    }
    return msgspec.convert({**told, **fields}, Incident)


def anomaly(offset: int, model_id: str, topic: str = "e", slice_name: str = "all") -> EventAnomaly:
    at_ms = offset * (DAY_MS // 24)
    return EventAnomaly(
        f"{offset:064x}", "s", topic, 0, offset, at_ms, slice_name, model_id, -20.0, 0.001, True, 0.0025, []
    )


def says(verb: str = "feedback", verdict: str = "useful", number: int = 0) -> Action:
    fields = {"verdict": verdict} if verb == "feedback" else {}
    return new_action("s", verb, "ann", 1_000 + number, incident_id=INCIDENT, **fields)


def messages(*records: Record) -> list[Any]:
    """Records of the signals topic."""
    wire = [encode_event(Envelope(one, f"{i}", "/driftflow/s/judge", 0)) for i, one in enumerate(records)]
    return [SimpleNamespace(value=one.value, headers=list(one.headers)) for one in wire]


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The signals topic, and an events topic with the attack."""
    found: list[Any] = []

    def read(_: Config) -> Iterator[Any]:
        yield from list(found)

    monkeypatch.setattr(gathering, "read_signals", read)
    monkeypatch.setattr(gathering, "read_ranges", lambda _, parts, *__: within(parts))
    monkeypatch.setattr(gathering, "AGAIN_S", 0.0)
    return found


def within(parts: list[Any]) -> list[Any]:
    """What the events topic has of some ranges."""
    return [batch_of(attacked().span(part.start, part.end), part.start) for part in parts]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model in service."""
    folder = tmp_path_factory.mktemp("canaries")
    with pytest.MonkeyPatch.context() as patch:
        topics = Topics(patch)
        topics.connect(patch)
        notice = Trainer(stream_in(folder), {}, lambda _: None).handle(asked(ask(0)))
        assert notice is not None
        assert notice.status == "promoted", notice.reason
    return folder


@pytest.fixture
def config(served: Path, tmp_path: Path) -> Config:
    """The stream; its few calibration rows bear out no smaller level."""
    folder = tmp_path / "stream"
    shutil.copytree(served, folder)
    config = stream_in(folder)
    return msgspec.structs.replace(config, event_rule=msgspec.structs.replace(config.event_rule, alpha=0.01))


@pytest.fixture
def champion(config: Config) -> str:
    """The model in service."""
    return Registry(config).in_service()


@pytest.fixture
def making(config: Config, said: list[str]) -> Callable[[], Gathering]:
    return lambda: Gathering(config, {}, Stopping(), said.append)


def offsets(config: Config) -> list[int]:
    return [at for one in CanaryFile(config).load().kept for at in one.offsets]


def test_what_a_person_confirms_is_kept_with_who_said_so(
    config: Config, champion: str, signals: list[Any], making: Any, said: list[str]
) -> None:
    flagged = BURST[::3]
    forged = anomaly(3, champion)  # within no span
    signals += messages(incident(champion, [int(BURST[1])]), forged, *(anomaly(int(at), champion) for at in flagged))
    gatherer, action = making(), says()
    gatherer.hear(action)
    gatherer.gather()
    (kept,) = CanaryFile(config).load().kept
    assert (kept.incident_id, kept.by, kept.action_id, kept.model_id) == (INCIDENT, "ann", action.id, champion)
    assert kept.offsets == sorted({int(BURST[1]), *flagged.tolist()})
    assert kept.table().numeric.tolist() == attacked().numeric[kept.offsets].tolist()
    assert stat.S_IMODE(CanaryFile(config).path.stat().st_mode) == 0o600
    assert "are canaries" in said[-1]


def test_an_ordinary_event_becomes_no_canary_whatever_a_signal_says(
    config: Config, champion: str, signals: list[Any], making: Any, said: list[str]
) -> None:
    """Signals are not signed."""
    ordinary = next(at for at in range(24) if np.abs(attacked().numeric[at]).max() < 1)
    signals += messages(incident(champion, [ordinary]), anomaly(ordinary, champion))
    gatherer = making()
    gatherer.hear(says())
    gatherer.gather()
    assert offsets(config) == []
    assert "has no events left that a model flags" in said[-1]


@pytest.mark.parametrize(("verb", "verdict"), [("feedback", "noise"), ("accept", "")])
def test_a_person_may_take_it_back(
    verb: str, verdict: str, config: Config, champion: str, signals: list[Any], making: Any
) -> None:
    signals += messages(incident(champion, BURST[:5].tolist()))
    gatherer = making()
    gatherer.hear(says())
    gatherer.gather()
    assert len(offsets(config)) == 5
    again = making()  # a new process reads all that was said anew
    for action in (says(), says(verb, verdict, 1)):
        again.hear(action)
    again.gather()
    assert offsets(config) == []
    last = making()
    for action in (says(), says(verb, verdict, 1)):
        last.hear(action)
    last.gather()
    assert offsets(config) == [], "what was taken back stays so"


def test_where_the_broker_does_not_answer_it_is_gathered_later(
    config: Config, champion: str, signals: list[Any], making: Any, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signals += messages(incident(champion, BURST[:5].tolist()))
    gatherer = making()
    gatherer.hear(says())
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> Any:
            raise KafkaConnectionError("away")

        patch.setattr(gathering, "read_ranges", fail)
        gatherer.gather()
    assert "are gathered later" in said[-1]
    assert not CanaryFile(config).path.exists()
    gatherer.gather()
    assert len(offsets(config)) == 5


def test_other_columns_are_gathered_anew_and_a_damaged_file_says_what_to_do(
    config: Config, champion: str, signals: list[Any], making: Any
) -> None:
    signals += messages(incident(champion, BURST[:5].tolist()))
    gatherer = making()
    gatherer.hear(says())
    gatherer.gather()
    changed = msgspec.structs.replace(config, event=msgspec.structs.replace(config.event, numeric=["x"]))
    assert CanaryFile(changed).load().taken == []
    CanaryFile(config).path.write_bytes(b"\xc1")
    with pytest.raises(DriftflowError, match=r"s\.canaries cannot be read .* move it away"):
        CanaryFile(config).load()


def test_what_was_overruled_counts_again_where_a_person_confirms_it_later(
    config: Config, champion: str, signals: list[Any], making: Any
) -> None:
    signals += messages(incident(champion, BURST[:2].tolist()))
    gatherer, said_ms = making(), says().at_ms
    gatherer.hear(says())
    gatherer.gather()
    canaries = CanaryFile(config).load()
    assert list(canaries.tables({})) == list(canaries.tables({INCIDENT: said_ms - 1})) == [INCIDENT]
    assert list(canaries.tables({INCIDENT: said_ms})) == []


def test_only_so_many_incidents_are_kept(config: Config, champion: str, signals: list[Any], making: Any) -> None:
    signals += messages(incident(champion, BURST[:2].tolist()))
    gatherer = making()
    gatherer.hear(says())
    gatherer.gather()
    canaries = CanaryFile(config).load()
    for number in range(INCIDENTS_MAX + 5):
        canaries.put(msgspec.structs.replace(canaries.kept[0], incident_id=f"{number}"))
    assert [one.incident_id for one in canaries.kept] == [f"{n}" for n in range(5, INCIDENTS_MAX + 5)]


def test_places_are_bounded_and_of_the_incident(config: Config) -> None:
    found = threads([incident("m", [1]), incident("m", [2], number=2, pane_end_ms=UNTIL_MS + DAY_MS)], {INCIDENT}, "e")
    assert found[INCIDENT].examples == {(0, 1), (0, 2)}
    outside = [anomaly(1, "m"), anomaly(int(BURST[0]), "m", "other"), anomaly(int(BURST[0]), "m", slice_name="no")]
    take_flagged([*outside, anomaly(22 * 24 + 3, "m")], found, config)
    assert found[INCIDENT].places == {(0, 1), (0, 2), (0, 22 * 24 + 3)}, "the last message tells its end"
    thread = Thread("m", spans=found[INCIDENT].spans)
    for number in range(3 * PLACES_MAX):
        thread.flagged(msgspec.structs.replace(anomaly(int(BURST[0]), "m"), id=f"{number:064x}", offset=number), "all")
    assert PLACES_MAX <= len(thread.places) <= 2 * PLACES_MAX
    strange = StrangeEvents("i", "s", 0, 1, 0, 1, 0.01, 1.0, [Example("e", 3, 4, 0, "all", 0.001, [])], "m", "x")
    assert threads([strange], {"i"}, "e")["i"].places == {(3, 4)}
    assert ranges(set(), "e") == []


def test_after_a_persons_feedback_a_model_that_forgets_the_incident_waits(
    config: Config, topics: Topics, start: Any, champion: str, signals: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the trainer's own loop: the attack comes again and again in what it trains on."""
    signals += messages(
        incident(champion, [int(at) for at in BURST[:5]]), *(anomaly(int(at), champion) for at in BURST)
    )
    table = learnt()
    topics.read = lambda *_: [batch_of(table)]
    trainer = start(anchor_budget=1.0, anchor_nats=1e9)
    said = [says()]
    monkeypatch.setattr(trainer._saying, "poll", lambda: [said.pop()] if said else [])
    trainer.go_on()
    asks = ask(1, DAYS * DAY_MS + 30 * DAY_MS, reason="drift", model_id=champion)
    notice = trainer.handle(asked(asks))
    assert notice is not None
    failed = {name for name, gate in notice.gates.items() if not gate["passed"]}
    assert (notice.status, failed) == ("waiting", {"canaries"}), notice.reason
    assert INCIDENT in notice.reason
    assert Registry(config).in_service() == champion


def test_without_the_feedback_the_same_model_is_not_stopped(config: Config, champion: str) -> None:
    table = learnt()
    in_service = Registry(config).load(champion)
    known = Known(in_service)
    settings = msgspec.structs.replace(config.trainer, anchor_budget=1.0, anchor_nats=1e9)
    config = msgspec.structs.replace(config, trainer=settings)
    outcome = answer(config, ask(1, reason="drift"), Rows.of(table), in_service, signing_key(config), known=known)
    assert outcome.notice.status == "promoted", outcome.notice.reason
