"""Eighty-one requests at once to a trainer that is killed in each step of its work.

``driftflow trainer`` and a worker as processes of their own on Apache Kafka, with a first model of the example's first
weeks in service; JUDGE and eight operators ask at once, for ranges that end later each time. SIGKILL comes at random
moments, then once at each of :data:`~tests.bench.loop.kills.PLACES` (``places``: whether it came there); another one is
started each time. ``answered_once``: requests with one final answer in the registry, the same one on the signals
topic, signed, once, and one line of it in the audit log; ``lost`` have none, ``twice`` more than one of any of these.
``published_twice``: notices that stand on the models topic more than once. ``answers``: how many were promoted, covered
by another, refused, by reason. ``audit_verified``: sentences of ``driftflow audit verify`` afterwards, none where all
is as it was written; ``registry_tampering``: the same after the log was changed.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from schemas.intake import take_in
from schemas.records import ModelNotice
from stream_app.audit.verify import verify
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end, reader
from stream_app.models.audit import AuditLog
from stream_app.models.registry import FINAL, Registry
from tests.bench.loop import live
from tests.bench.loop.kills import PLACES, Place, killer
from tests.integration.asking import Asking
from tests.integration.stream import Stream

SENT, RANDOM_KILLS, WRITERS = 81, 5, 9
FIRST_UNTIL, UNTIL, ASKED, END = "2013-04-01", "2013-04-10", "2013-04-12", "2013-06-01"
LONGEST_S, REACHED_S, PATIENCE_S = 3.0, 240.0, 900.0
PANE_MS = 6 * 3_600_000
SETTINGS = """promotion = "shadow"
shadow_events = 6000
anchor_budget = 0.99
anchor_nats = 100.0
min_gain_nats = -0.45"""
"""Gates that models of a moment's training pass: what comes of a request is not what is measured here."""


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    sent, kills, places = (9, 2, PLACES[::6]) if args.quick else (SENT, RANDOM_KILLS, PLACES)
    rng = random.Random(args.seed)
    with live.running(END, SETTINGS, live.NOBODY_ELSE_ASKS) as (stream, rows):
        early = live.rows_before(rows, ASKED)
        stream.produce(rows[:early])
        with live.trainer_of(stream, "--bootstrap-until", FIRST_UNTIL):
            live.wait(stream, lambda: bool(live.notices(stream) and Registry(stream.config).history()), "a model")
        stream.start_worker()
        stream.wait_until_done()
        ids = _ask(stream, sent)
        stream.produce(rows[early:])
        for _ in range(kills):
            _kill(stream, rng)
        killed = _killed_everywhere(stream, places, ids)
        with live.trainer_of(stream):
            began = time.monotonic()
            with suppress(RuntimeError):
                live.wait(stream, lambda: not _open(stream, ids), "all answers", PATIENCE_S)
            left_s = time.monotonic() - began
            service = Registry(stream.config).in_service()
            live.wait(stream, lambda: stream.status().get("service") == service, "the worker to have the model")
        stream.wait_until_done()
        stream.stop()
        figures = {**_figures(stream, ids), "places": killed, "random_kills": kills}
        figures |= {"after_the_last_kill_s": round(left_s, 1), "settings": SETTINGS.splitlines()}
        return {"requests": figures, "traces": {"requests": live.traces(stream)}, **_records(stream)}


def _ask(stream: Stream, sent: int) -> list[str]:
    made, asking, ids = live.asked_until(stream, UNTIL), Asking(stream), []
    for number in range(sent):
        pane_ms = made.requested_pane_ms + number * PANE_MS // 32
        request = msgspec.structs.replace(made, id=f"{number:08x}-asked", requested_pane_ms=pane_ms)
        asking.ask(request, number % WRITERS)
        ids.append(request.id)
    asking.close()
    return ids


def _open(stream: Stream, ids: list[str]) -> set[str]:
    return set(ids) - live.finals(stream).keys()


def _killed_everywhere(stream: Stream, places: Sequence[Place], ids: list[str]) -> list[dict[str, Any]]:
    """Trainers that are killed where they come to a place at which none was, until there is none left, or all is
    answered.
    """
    killed, told = list[str](), stream.folder / "killed"
    while left := [place for place in places if place.step not in killed]:
        with live.trainer_of(stream, before=killer(left, told)) as trainer:
            live.wait(stream, lambda: trainer.poll() is not None or not _open(stream, ids), "the next kill", REACHED_S)
            if trainer.poll() is None:
                break
        if trainer.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the trainer ended by itself:\n{live.log_of(stream)}")
        killed.append(told.read_text())
        print(f"  killed: {killed[-1]}; {len(_open(stream, ids))} open", flush=True)
    return [{"step": place.step, "killed": place.step in killed} for place in places]


def _kill(stream: Stream, rng: random.Random) -> None:
    """A trainer that is killed within some seconds after it has begun to read requests."""
    (stream.folder / "trainer.log").write_bytes(b"")
    with live.trainer_of(stream) as trainer:
        live.wait(stream, lambda: "waiting for retrain requests" in live.log_of(stream), "the trainer")
        with suppress(subprocess.TimeoutExpired):
            trainer.wait(rng.uniform(0.0, LONGEST_S))
            raise RuntimeError(f"the trainer ended by itself:\n{live.log_of(stream)}")


def _figures(stream: Stream, ids: list[str]) -> dict[str, Any]:
    final = [notice for notice in live.notices(stream) if notice.status in FINAL and notice.request_id in set(ids)]
    kept = Counter(notice.request_id for notice in final)
    sent = Counter(notice.request_id for notice in live.told(stream) if notice.status in FINAL)
    about = Counter(
        line.body.get("request", line.about) for line in AuditLog(stream.config).entries() if line.event in ENDS
    )
    found = {name: (kept[name], sent[name], about[name]) for name in ids}
    published = Counter(notice.sequence for notice in _published(stream))
    return {
        "sent": len(ids),
        "answered_once": sum(of == (1, 1, 1) for of in found.values()),
        "lost": sorted(name for name, of in found.items() if 0 in of),
        "twice": sorted(name for name, of in found.items() if max(of) > 1),
        "published_twice": sorted(number for number, times in published.items() if times > 1),
        "answers": dict(Counter(_says(notice.status, notice.reason) for notice in final)),
    }


ENDS = ("promotion", "refusal", "covered")
"""Lines of the audit log that end a request."""


def _published(stream: Stream) -> list[ModelNotice]:
    with reader(client_settings(stream.config.kafka), stream.config.topics.models) as (consumer, partitions):
        consumer.assign(partitions)
        taken = [take_in("models", stream.config.stream, of.value, of.headers) for of in read_to_end(consumer)]
    return [of for of in taken if isinstance(of, ModelNotice)]


def _says(status: str, reason: str) -> str:
    return f"{status}: {re.sub(r'[0-9a-f]{8}[-0-9a-z]*', '…', reason)[:60]}" if status != "promoted" else status


def _records(stream: Stream) -> dict[str, Any]:
    """Whether everything can be verified, and is not once it was changed."""
    faults = verify(stream.config).faults
    rows = [_tampered(stream, kind, path, change) for kind, (path, change) in _changes(stream).items()]
    return {"audit_verified": faults, "registry_tampering": rows}


def _changes(stream: Stream) -> dict[str, tuple[Path, Callable[[bytes], bytes]]]:
    log = AuditLog(stream.config).path
    return {
        "the log's last line cut": (log, lambda text: b"".join(text.splitlines(keepends=True)[:-1])),
        "a line of the log taken out": (
            log,
            lambda text: b"".join(text.splitlines(keepends=True)[:3] + text.splitlines(keepends=True)[4:]),
        ),
        "who asked, changed in the log": (log, lambda text: text.replace(b"/judge", b"/nobody", 1)),
    }


def _tampered(stream: Stream, kind: str, path: Path, change: Callable[[bytes], bytes]) -> dict[str, Any]:
    whole = path.read_bytes()
    try:
        changed = change(whole)
        path.write_bytes(changed)
        return {"kind": kind, "changed": changed != whole, "found": bool(verify(stream.config).faults)}
    finally:
        path.write_bytes(whole)


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    part = found["requests"]
    not_reached = [row["step"] for row in part["places"] if not row["killed"]]
    rows = [(name, part[name], part["sent"] if name == "answered_once" else "") for name in part if name != "places"]
    told = [("audit_verified", found["audit_verified"], "[]"), ("tampering", found["registry_tampering"], "")]
    return [("what", "is", "must be"), *rows, ("places not reached", not_reached, "[]"), *told]
