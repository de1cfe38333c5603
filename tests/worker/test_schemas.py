"""A worker's batches wait for their schemas: for a registry that is away, and no longer than they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.guard import Guard
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.worker import schemas as worker_schemas
from stream_app.worker.schemas import PART, SchemaFeed
from stream_app.worker.supervision import Parts
from tests.kafka.fake_registry import FakeRegistry, registry_runs
from tests.kafka.test_schema_registry import BODY, stream
from tests.stages.score.formats.making import PLAIN, framed


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with registry_runs() as running:
        running.add(7, PLAIN)
        yield running


class Waited:
    """Stands in for ``asyncio.sleep``: what happens while a batch waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *happens: object) -> None:
        self._left, self.pauses = list(happens), list[float]()
        monkeypatch.setattr(worker_schemas.asyncio, "sleep", self)

    async def __call__(self, pause_s: float) -> None:
        """The next thing."""
        self.pauses.append(pause_s)
        happens = self._left.pop(0)
        if callable(happens):
            happens()


def test_a_registry_that_is_away_is_waited_for_and_said(
    fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, parts = stream(fake, tmp_path), Parts(Guard(5.0))
    feed, known = SchemaFeed(config, schemas := Schemas(config), parts), list[str]()

    def look() -> None:
        known.append(parts.failing[PART])
        assert feed.waits

    def mend() -> None:
        look()
        fake.mode = "well"

    fake.mode, waited = "500", Waited(monkeypatch, look, look, mend)
    asyncio.run(feed.arrived([framed(7, BODY), framed(8, BODY)], lambda: True))
    assert waited.pauses == [0.5, 1.0, 2.0]
    assert all("answers 500" in text for text in known)
    assert (parts.failing, feed.waits) == ({}, False)
    assert schemas.missing([framed(7, BODY), framed(8, BODY)]) == []  # one is there, of one it is known that it is not


def test_a_batch_that_is_not_wanted_any_more_waits_no_longer(
    fake: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, wanted = stream(fake, tmp_path), [True]
    fake.mode = "500"
    Waited(monkeypatch, wanted.clear)
    feed = SchemaFeed(config, schemas := Schemas(config), Parts(Guard(5.0)))
    asyncio.run(feed.arrived([framed(7, BODY)], lambda: bool(wanted)))
    assert schemas.missing([framed(7, BODY)]) == [7]
    assert not feed.waits


def test_what_is_kept_needs_no_registry(fake: FakeRegistry, tmp_path: Path) -> None:
    config = stream(fake, tmp_path)
    for mode in ("well", "500"):
        fake.mode = mode
        feed = SchemaFeed(config, schemas := Schemas(config), Parts(Guard(5.0)))
        asyncio.run(feed.arrived([framed(7, BODY)], lambda: True))
        assert schemas.missing([framed(7, BODY)]) == []
    assert fake.asked == ["/schemas/ids/7"]
