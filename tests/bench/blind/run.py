"""``make bench-blind``: what becomes of honest events among bad ones, and how soon somebody hears of them.

python -m tests.bench.blind --out blind.json

``rows``: of each kind and share of bad events

- ``honest_lost``: honest events that are in no pane: late, rejected, taken for duplicates, or still held at the end.
- ``said_after_events``: bad events until an alert of kind ``fault`` says so; None where nobody does.
- ``channel_right``: whether it came of a detector that the kind names; where there is nothing to say, that nobody did.
- ``honest_between``: honest events between the first bad one and the message.

``blind_events_max`` is the largest of the latter; ``replay_equal``: everything sent is byte for byte the same one event
at a time and thousands at a time.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from schemas.codecs import decode_event
from schemas.incidents import Incident
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun
from stream_app.stages.batches import RawBatch
from stream_app.stages.outputs import Outgoing
from stream_app.terminal import prepare_process
from tests.bench.blind import stream
from tests.bench.blind.kinds import KINDS, Kind, Sent

_LOST = ("late", "duplicate")


def measure(kinds: Sequence[Kind] = KINDS, seed: int = 3, days: int = stream.LIVE_DAYS) -> dict[str, Any]:
    """See above; of a stream of so many days."""
    rows = []
    for kind in kinds:
        for share in kind.shares:
            rows.append(_measure(kind, share, seed, days))
            print(f"  {rows[-1]}", flush=True)
    between = [row["honest_between"] for row in rows if row["honest_between"] is not None]
    return {
        "rows": rows,
        "blind_events_max": max(between, default=None),
        "replay_equal": all(row["replay_equal"] for row in rows),
        "seed": seed,
    }


def _measure(kind: Kind, share: float, seed: int, days: int) -> dict[str, Any]:
    config = stream.config(**kind.event)
    sent = list(kind.spoil(stream.honest(days), share, np.random.default_rng(seed)))
    run, lost, said = _one_by_one(config, sent)
    again = _make(config)
    for first in range(0, len(sent), 4_000):
        again.feed(_batch(config, first, sent[first : first + 4_000]))
    bad = [n for n, message in enumerate(sent) if message.bad]
    first_said = {detector: n for n, detector in reversed(said) if bad and n >= bad[0]}
    right = [n for detector, n in first_said.items() if detector in kind.channels]
    until = min(right or first_said.values(), default=None)
    window = sent[bad[0] : until + 1] if bad and until is not None else []
    return {
        "kind": kind.name,
        "share_bad": round(share, 3),
        "honest_lost": lost,
        "said_after_events": sum(message.bad for message in window) if window else None,
        "honest_between": sum(not message.bad for message in window) if window else None,
        "said_by": sorted(first_said, key=first_said.__getitem__),
        "channel_right": bool(right) if kind.channels else not first_said,
        "replay_equal": _sent(run) == _sent(again),
    }


def _sent(run: LocalRun) -> dict[tuple[str, int], list[Outgoing]]:
    return {key: messages for key, messages in run.sent.items() if messages}


def _make(config: Config) -> LocalRun:
    run = LocalRun(config)
    run.pipeline.models.add(scored_by(config, stream.model()))
    run.start(stream.model().model_id)
    return run


def _batch(config: Config, first: int, sent: Sequence[Sent]) -> RawBatch:
    offsets = np.arange(first, first + len(sent), dtype=np.int64)
    return RawBatch(config.topics.events, 0, offsets, [message.value for message in sent])


def _one_by_one(config: Config, sent: list[Sent]) -> tuple[LocalRun, int, list[tuple[int, str]]]:
    """The run, how many honest events it lost, and which message made which detector speak."""
    run, lost, said = _make(config), 0, list[tuple[int, str]]()
    counters = run.pipeline.score_states[0].counters
    read = dict.fromkeys((("signals", 0), ("signals", 1)), 0)
    for n, message in enumerate(sent):
        before = sum(counters[name] for name in _LOST)
        run.feed(_batch(config, n, [message]))
        counters = run.pipeline.score_states[0].counters
        lost += message.honest and sum(counters[name] for name in _LOST) > before
        for key, done in read.items():
            said += [(n, detector) for detector in map(_fault, run.sent[key][done:]) if detector]
            read[key] = len(run.sent[key])
    held = {event.offset for event in run.pipeline.score_states[0].timing.held}
    letters = [decode_event(letter.value, letter.headers) for letter in run.sent["dead_letters", 0]]
    refused = {letter.offset for letter in letters if isinstance(letter, DeadLetter)}
    return run, lost + sum(sent[n].honest for n in held | refused), said


def _fault(signal: Outgoing) -> str:
    """The detector of an incident that opens and is about the data, or ""."""
    record = decode_event(signal.value, signal.headers)
    opens = isinstance(record, Incident) and record.kind == "fault" and record.state == "open"
    return record.detector if opens else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="bad input of every kind: what is lost, and how soon it is said")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--kinds", default="", help="only kinds whose name holds this")
    args = parser.parse_args(arguments)
    prepare_process()
    logging.disable(logging.INFO)
    result = measure([kind for kind in KINDS if args.kinds in kind.name])
    args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False))
    table = Table("kind", "share", "honest lost", "bad until said", "honest until said", "by", "right", box=None)
    for row in result["rows"]:
        cells = ("kind", "share_bad", "honest_lost", "said_after_events", "honest_between", "said_by", "channel_right")
        table.add_row(*(str(row[name]) for name in cells))
    Console(width=150).print(table)
    print(f"blind for {result['blind_events_max']} events at most; replay equal: {result['replay_equal']}")


if __name__ == "__main__":
    main()
