"""Trainer and worker say on Kafka that the events lack a field, within their first thousand, and end."""

from __future__ import annotations

from pathlib import Path

from tests.brokers import APACHE, EMBEDDED
from tests.forked import driftflow
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream

SAID = "none of the first 1,000 events has a field 'timestamp' (event.time_field); they have 'wd', 'when', 'CO', "


def renamed(stream: Stream, example: Path) -> list[tuple[bytes | None, bytes | None]]:
    """1,200 events that call the time by another name."""
    rows = stream.rows(example)[:1_200]
    return [(key, (value or b"").replace(b'"timestamp"', b'"when"')) for key, value in rows]


def ended(stream: Stream, *words: str) -> str:
    """A process that ends by itself, with status 1 and one sentence, which is returned."""
    log = stream.folder / "ended.log"
    log.unlink(missing_ok=True)
    status, said = driftflow(words[0], "-c", str(stream.toml), *words[1:], log=log).wait(90), log.read_text()
    assert status == 1, said
    assert "Traceback" not in said
    assert "waiting for retrain requests" not in said
    return " ".join(said.split())


@APACHE
def test_every_event_lacks_the_time_field(make_stream: MakeStream, example: Path) -> None:
    """They said "waiting for a model", and nothing else."""
    stream = make_stream()
    stream.produce(renamed(stream, example))
    assert SAID in ended(stream, "worker")  # no model is on its topic, and none is waited for
    for kept in (stream.folder / "models").iterdir():
        kept.unlink()
    assert SAID in ended(stream, "trainer", "--bootstrap-until", "2013-04-01")
    assert not list((stream.folder / "models").glob("*.model"))


@EMBEDDED
def test_a_field_that_disappears_later_does_not_end_a_worker(make_stream: MakeStream, example: Path) -> None:
    stream = make_stream()
    stream.publish()
    rows = stream.rows(example)
    stream.produce(rows[:2_400])
    stream.start_worker()
    stream.wait_until_done()
    stream.wait(lambda: (stream.folder / "state" / "first-events.json").exists(), "the first events to be judged")
    stream.stop()
    stream.produce([(key, (value or b"").replace(b'"SO2"', b'"so2"')) for key, value in rows[2_400:3_600]])
    worker = stream.start_worker()  # in the middle of the stream
    stream.wait_until_done()
    assert worker.poll() is None
    stream.stop()
    assert stream.status()["windowed"] > 0
