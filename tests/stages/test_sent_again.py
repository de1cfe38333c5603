"""Events that a configuration refused, sent again once it is corrected, give the windows that would have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from tests.stages import streams

ENDS = 20_000
WAITS = {"lateness": "60s", "max_open_panes": 100}
"""Panes stay open for long: what is sent again comes in time."""


def config(policy: str) -> Config:
    return streams.config(event={"policy": {"x": policy}}, windows=WAITS)


def events() -> list[bytes]:
    """One in seven has a number as text."""
    made = []
    for i, body in enumerate(streams.bodies(3, 400, ENDS, gaps=False)):
        of: dict[str, Any] = msgspec.json.decode(body or b"")
        of["id"] = i  # of two with one id the first counts: which that is would differ
        of["x"] = str(of["x"]) if i % 7 == 0 and of["x"] is not None else of["x"]
        made.append(msgspec.json.encode(of))
    return made


def closing() -> list[bytes]:
    """Closes every pane, on every source partition."""
    return [streams.event(t, i) for i, t in ((10**6, ENDS + 50_000), (10**6 + 1, ENDS + 110_000))]


def windows(made: Pipeline, out: Outputs) -> dict[Any, dict[str, Any]]:
    """Windows by slice, span and end; the levels that follow each event depend on their order by design."""
    sent, points = streams.channels(out.messages), []
    for q in range(made.config.topics.partitions):
        points += streams.watch_all(made, q, sent["partials", q]).points
    found = {(p.tags, p.time_ms): dict(p.fields) for p in points if p.measurement == "windows"}
    return {key: {name: value for name, value in of.items() if name != "adaptive"} for key, of in found.items()}


def refused(out: Outputs, values: Sequence[bytes]) -> list[bytes]:
    """The bodies that the dead letters are about, in order."""
    sent = [decode_event(m.value, m.headers) for m in out.messages if m.role == "dead_letters"]
    return [values[letter.offset] for letter in sent if isinstance(letter, DeadLetter)]


def go_on(made: Pipeline, values: Sequence[bytes], first: int, out: Outputs) -> None:
    """Score more of the partition."""
    step = made.score(streams.raw(0, values, first))
    out.messages += step.messages
    out.points += step.points


def test_sent_again_they_give_what_would_have_been(model: Density) -> None:
    values = events()
    right = streams.pipeline(config("lenient"), [model])
    wanted = Outputs()
    go_on(right, [*values, *closing()], 0, wanted)

    wrong = streams.pipeline(config("strict"), [model])
    out = Outputs()
    go_on(wrong, values, 0, out)
    letters = refused(out, values)
    assert len(letters) > 40
    mended = streams.pipeline(config("lenient"), [model])
    mended.open_score(0, wrong.snapshot_score(0))
    go_on(mended, [*letters, *letters, *closing()], len(values), out)  # sent twice, too

    counters = mended.score_states[0].counters
    assert counters["duplicate"] == right.score_states[0].counters["duplicate"] + len(letters)
    assert counters["rejected"] == len(letters)
    assert counters["late"] == right.score_states[0].counters["late"] == 0
    there, here = windows(right, wanted), windows(mended, out)
    assert len(there) > 100
    assert here == there
