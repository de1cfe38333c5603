"""Values of sensitive fields: whatever becomes of an event, they stand in no message, no point and nothing printed."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowlib.density import Density
from schemas.codecs import decode_event, decode_partial
from schemas.incidents import Incident
from schemas.records import DeadLetter, EventAnomaly, PaneBlock
from stream_app.config import Config
from stream_app.offline.reading import Reading
from stream_app.offline.replay import LocalRun, batches
from stream_app.stages.outputs import Point
from tests.stages.streams import bodies, config, event

NUMBER, TEXT, ID = 98_765.4321, "Rumpelstiltskin", "social-security-078051120"
SECRETS = re.compile(rf"(?<![0-9a-f.])98(765|,765|,800)(?![0-9a-f])|{TEXT}|{ID}")
"""No digits within others: one run in ten has a hash or an id with these five in a row."""

FIELDS = ["x", "c", "id"]


def secret_config(**sections: Any) -> Config:
    sections = {"event_rule": {"alpha": 0.01, "publish": True}, **sections}
    return config(**{**sections, "event": {"sensitive": FIELDS, **sections.get("event", {})}})


def planted(chance: random.Random, t: int, i: int) -> bytes | None:
    """An event with a secret in it, good or bad in one of many ways."""
    x = chance.choice(
        [NUMBER, str(NUMBER), "98765,4321", -NUMBER] * 3 + [f"{NUMBER} EUR", [NUMBER], {"of": NUMBER}, TEXT]
    )
    c = chance.choice([TEXT, "a", NUMBER] * 4 + [[TEXT], {TEXT: 1}])
    known: dict[str, Any] = {"x": x, "c": c, "id": f"{ID}-{i % 9}"}
    body = event(t, -1, **known)
    ways = [
        *[body] * 12,
        body[: len(body) // 2],
        b"<event>" + body,
        msgspec.json.encode(f"{TEXT} {ID}"),
        msgspec.json.encode([NUMBER, TEXT]),
        msgspec.json.encode({key: value for key, value in msgspec.json.decode(body).items() if key != "t"}),
        event("soon", -1, **known),
        event(t + 500_000, -1, **known),
        event(0, -1, **known),
        event(t, -1, **known, y="wrong"),
        event(t, -1, **{**known, "x": None}, y=None, v=None),
        msgspec.json.encode({("x2" if key == "x" else key): v for key, v in msgspec.json.decode(body).items()}),
    ]
    return chance.choice(ways)


def stream(chance: random.Random) -> list[tuple[bytes | None, bytes | None]]:
    """Events of which every other one has a secret from a tenth of the stream on."""
    rows = []
    for i, body in enumerate(bodies(3, 3_000, 60_000)):
        secret = i > 300 and chance.random() < 0.5
        rows.append((b"north", planted(chance, 20 * i, i) if secret else body))
    return rows


def run_of(cfg: Config, model: Density, rows: Any) -> tuple[LocalRun, list[Point]]:
    run = LocalRun(cfg)
    run.pipeline.models.add(model)
    run.start(model.model_id)
    return run, [point for raw in batches(cfg, rows) for point in run.feed(raw)]


def said(run: LocalRun, points: list[Point]) -> list[str]:
    """Everything that left: messages with their headers, and points."""
    messages = [(*key, m.key, m.value, m.headers) for key, sent in run.sent.items() for m in sent]
    return [repr(one) for one in (*messages, *points)]


def found(texts: list[str]) -> list[str]:
    return [text[:300] for text in texts if SECRETS.search(text)]


def test_no_secret_leaves_whatever_becomes_of_its_event(model: Density, seed: int) -> None:
    rows = stream(random.Random(seed))
    run, points = run_of(secret_config(), model, rows)
    assert not found(said(run, points)), f"seed {seed}"

    records = [decode_event(m.value, m.headers) for (role, _), sent in run.sent.items() for m in sent
               if role in ("signals", "dead_letters")]  # fmt: skip
    letters = [one for one in records if isinstance(one, DeadLetter)]
    assert {letter.reason for letter in letters} > {"wrong_type", "not_json", "missing_time"}, f"seed {seed}"
    assert {letter.field for letter in letters} >= {"x", "c", "y", ""}, f"seed {seed}"
    assert not any(letter.body for letter in letters)
    assert all(letter.size for letter in letters)
    anomalies = [one for one in records if isinstance(one, EventAnomaly)]
    blamed = [blame for one in anomalies for blame in one.blame]
    assert {blame.detail for blame in blamed if blame.feature in FIELDS} == {""}, f"seed {seed}"
    assert any(blame.detail for blame in blamed if blame.feature == "y"), "others have theirs"
    told = {one.detector for one in records if isinstance(one, Incident) and one.rules == ["intake"]}
    assert told >= {"rejected", "coerced", "duplicate", "late"}, f"seed {seed}"
    blocks = [decode_partial(m.value, dict(m.headers)) for (role, _), sent in run.sent.items() for m in sent
              if role == "partials"]  # fmt: skip
    assert any(block.top for block in blocks if isinstance(block, PaneBlock))


def test_the_same_stream_tells_them_where_they_are_not_sensitive(model: Density) -> None:
    """So that the test above has something to find."""
    cfg = config(event_rule={"alpha": 0.01, "publish": True})
    texts = found(said(*run_of(cfg, model, stream(random.Random(1)))))
    assert all(any(secret in text for text in texts) for secret in ("98765", TEXT, ID))


def test_no_row_of_a_file_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    rows = [body for _, body in stream(random.Random(2)) if body and b"\n" not in body]
    file.write_bytes(b"\n".join(rows))
    shown: dict[bool, str] = {}
    for hidden in (True, False):
        cfg = secret_config() if hidden else config()
        reading = Reading(cfg, file)
        assert sum(map(len, reading.events()))
        shown[hidden] = reading.dropped.says()
    assert "not shown (event.sensitive)" in shown[True]
    assert not found([shown[True]])
    assert found([shown[False]])


@pytest.mark.parametrize("topic", ["partials", "signals"])
def test_a_message_that_is_not_ours_has_a_dead_letter_without_its_bytes(model: Density, topic: str) -> None:
    from schemas.intake import Refusal
    from stream_app.stages.dead_letters import dead_letter

    cfg = secret_config()
    sent = dead_letter(cfg, f"s.{topic}", 0, 1, Refusal("not_ours", "", "it has no header"), TEXT.encode())
    letter = decode_event(sent.value, sent.headers)
    assert isinstance(letter, DeadLetter)
    assert (letter.body, letter.size) == (b"", len(TEXT))
