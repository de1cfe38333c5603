"""One malformed event in a hundred, of every kind: all accounted for, agents alive."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

from stream_app.stages.score.state import COUNTERS
from tests.brokers import EMBEDDED
from tests.integration.conftest import MakeStream
from tests.integration.monitored import ask, metrics, missing
from tests.integration.stream import Stream

Value = bytes | None
EXTREME, LENIENT, HELD = "no reason: scored as very unlikely", "no reason: read leniently", "no reason: held back"
NO_REASON = (EXTREME, LENIENT, HELD)


def bad_values(good: dict[str, object]) -> dict[str, list[Value]]:
    """Reason of the dead letter to bodies that deserve it."""
    without_time = {name: value for name, value in good.items() if name != "timestamp"}
    numbers = {name: None for name, value in good.items() if isinstance(value, (int, float))}
    return {
        "not_json": [
            b"not json",
            b"",
            b"{",
            b'{"a": 1}trailing',
            b"\xff\xfe\x00",
            b"\x00" * 64,
            json.dumps(good).replace(": ", ": NaN, ", 1).encode(),
            b'{"a":' * 100_000,
            b"[" * 100_000,
        ],
        "wrong_type": [
            b"[]",
            b'"text"',
            b"12",
            b"null",
            b"NaN",
            *(json.dumps({**good, "TEMP": value}).encode() for value in ("warm", [1.0], {"x": 1}, "1,234")),
            json.dumps({**good, "station": {"name": "x"}}).encode(),
        ],
        "missing_time": [json.dumps(without_time).encode(), json.dumps({**good, "timestamp": None}).encode()],
        "bad_time": [
            json.dumps({**good, "timestamp": text}).encode() for text in ("yesterday", "2013-99-99T00:00:00", "")
        ],
        HELD: [json.dumps({**good, "timestamp": "2199-01-01T00:00:00"}).encode()],
        "too_large": [json.dumps({**good, "note": "x" * 2_000_000}).encode()],
        "tombstone": [None],
        "schema_registry": [b"\0\0\0\0\7\x02\x0aavro"],
        LENIENT: [
            *(json.dumps({**good, "TEMP": value}).encode() for value in ("7.5", "7,5", True, float("nan"))),
            b"\0\0\0\0\7" + json.dumps(good).encode(),
        ],
        EXTREME: [json.dumps({**good, "TEMP": value}).encode() for value in (1e6, -1e38)],
        "unscorable": [json.dumps({**good, **numbers}).encode(), json.dumps({**good, "TEMP": 1e39}).encode()],
    }


def told_by(stream: Stream) -> dict[str, float]:
    """What the worker counts on its page of metrics, once its probes say that all is well."""
    (url,) = stream.status()["monitor"]
    assert ask(url, "/livez") == (200, "ok\n")
    assert ask(url, "/readyz") == (200, "ok\n")
    stream.wait(lambda: stream.status()["lag"] == 0, "the status to say so")
    found = metrics(url, "worker")
    assert missing(found, "worker") <= {
        "driftflow_damaged_batches_total",
        "driftflow_failing",
        "driftflow_incidents_open",
    }
    assert found["driftflow_step_seconds_count", "step=restore"] == 9, "4 of events, 4 of partials, 1 of evidence"
    assert found["driftflow_step_messages_sum", "step=score"] == stream.sent
    outcomes = {name: sum(n for key, n in found.items() if f"outcome={name}" in key) for name in COUNTERS}
    held = sum(n for key, n in found.items() if key[0] == "driftflow_events_held")
    letters = sum(n for key, n in found.items() if key[0] == "driftflow_dead_letters_total")
    return outcomes | {"held": held, "dead letters": letters}


@EMBEDDED
def test_every_kind_of_bad_event_is_accounted_for(make_stream: MakeStream, example: Path, seed: int) -> None:
    chance = random.Random(seed)
    stream = make_stream()
    stream.publish()
    rows = stream.rows(example)[:9_000]
    wanted: Counter[str] = Counter()
    held = 0
    mixed: list[tuple[Value, Value]] = []
    for i, (key, value) in enumerate(rows):
        mixed.append((key, value))
        if i % 100 == 99:
            kinds = bad_values(json.loads(value or b""))
            reason = sorted(kinds)[(i // 100) % len(kinds)]
            wanted[reason] += reason not in NO_REASON
            held += reason == HELD
            mixed.append((key, chance.choice(kinds[reason])))
    stream.produce(mixed)
    worker = stream.start_worker()
    stream.wait_until_done()
    assert worker.poll() is None, "the worker must be alive"
    told = told_by(stream)
    stream.stop()
    status, letters = stream.status(), stream.dead_letters()
    assert Counter(letter["reason"] for letter in letters) == +wanted, f"seed {seed}"
    assert status["rejected"] == len(letters) == sum(wanted.values())
    assert status["held"] == held > 0
    assert told == {name: status[name] for name in COUNTERS} | {"dead letters": len(letters)}
    assert status["received"] == len(mixed) == sum(status[name] for name in COUNTERS if name != "received")
    for letter in letters:
        assert (letter["topic"], len(letter["sha256"])) == (stream.config.topics.events, 64)
        assert 0 <= letter["partition"] < 4
        assert letter["offset"] >= 0
        assert letter["detail"]
