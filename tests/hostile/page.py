"""The consumer of the embedded store: the console, asked for what is there and for one slice."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from stream_app.console.answers import Store
from tests.console.storing import write_store
from tests.console.telling import DRIFTED
from tests.hostile import fragments, mutations
from tests.hostile.cases import Case
from tests.hostile.checker import Ledger
from tests.sinks.making import insert

_TIMES = (0, -1, 2**63 - 1, 1.5, "soon", b"\xff", None)


class Page:
    """Rows of the store to the page. What it cannot use it leaves out and counts: no row has a dead letter.

    Args:
        folder: for the store.
    """

    topic, partition, first = "store", 0, 0

    def __init__(self, folder: Path) -> None:
        self._path = folder / "store.sqlite"
        self._config = write_store(self._path, panes=8)
        self._clean = self._answers(self._path)

    def rows(self) -> list[tuple[Any, ...]]:
        """One genuine row of each measurement."""
        with closing(sqlite3.connect(self._path)) as link:
            return link.execute("SELECT * FROM points GROUP BY measurement").fetchall()

    def cases(self, seed: int, most: int) -> Iterator[Case]:
        """Rows with one thing that is not what it should be: a field, a tag, a time; shuffled."""
        made = [case for row in self.rows() for case in _of_row(*row)]
        random.Random(seed).shuffle(made)
        yield from made[:most]

    def hand_in(self, cases: Sequence[Case]) -> Ledger:
        """See :class:`~tests.hostile.checker.Consumer`; the good message is what was in the store before."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(shutil.copy(self._path, folder))
            with closing(sqlite3.connect(path)) as link, link:
                insert(link, [self._row(case, n) for n, case in enumerate(cases)])
            overview, detail = self._answers(path)
        shown = {row["slice"] for row in overview["slices"]}
        assert {row["slice"] for row in self._clean[0]["slices"]} <= shown
        assert detail.keys() == self._clean[1].keys()
        assert overview["left_out"] <= len(cases)
        return dict.fromkeys(range(len(cases)))

    def _row(self, case: Case, number: int) -> tuple[Any, ...]:
        measurement, time_ms, tags, fields = msgspec.msgpack.decode(case.value or b"")
        return measurement, f"hostile-{number}", time_ms, _text(tags), _text(fields)

    def _answers(self, path: Path) -> tuple[Any, Any]:
        store = Store(path, self._config.stream)
        answers = store.overview()[1], store.detail("station", DRIFTED)
        assert None not in answers
        return json.loads(json.dumps(answers[0], allow_nan=False)), json.loads(json.dumps(answers[1], allow_nan=False))


def _of_row(measurement: str, _: str, time_ms: int, tags: str, fields: str) -> Iterator[Case]:
    def case(what: str, *row: Any) -> Case:
        return Case(f"store: {measurement}, {what}", msgspec.msgpack.encode((measurement, *row)), ())

    for name, text in (("tags", tags), ("fields", fields)):
        for what, path, body in mutations.json_fields(json.loads(text)):
            if what not in fragments.BIG:
                row = (body, fields.encode()) if name == "tags" else (tags.encode(), body)
                yield case(f"{name} {'.'.join(map(str, path))} {what}", time_ms, *row)
        for what, body in (*mutations.cut(text.encode(), 60), *fragments.MAGIC.items()):
            row = (body, fields.encode()) if name == "tags" else (tags.encode(), body)
            yield case(f"{name} {what}", time_ms, *row)
    for time in _TIMES:
        yield case(f"time {time!r}", time if time is not None else 0, tags.encode(), fields.encode())


def _text(body: bytes) -> str | bytes:
    """As the store holds it: a text, or bytes where it is none."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
