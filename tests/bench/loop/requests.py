"""Eighty-one requests at once to a trainer that is killed again and again while it answers.

The process ``driftflow trainer`` on Apache Kafka, with the first model of the example's first weeks in service; JUDGE
and eight operators ask at once, for ranges that end later each time. SIGKILL comes at random moments, most of them
while a model is trained, compared or told; another trainer is started each time. ``answered_once``: requests with one
final answer in the registry, the same one on the signals topic, signed, and one line of it in the audit log.
``answers``: how many were trained and promoted, covered by another, refused, by reason.

``trace_complete``: ``driftflow audit trace`` finds all steps of every request that was answered and of every model,
``trace`` says of how many. ``audit_verified``: sentences of ``driftflow audit verify`` afterwards, none where all is as
it was written; ``registry_tampering``: the same after registry, model and log were changed.
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from stream_app.audit.tracing import trace
from stream_app.audit.verify import verify
from stream_app.models.audit import AuditLog
from stream_app.models.registry import Registry
from tests.bench.loop.live import FINAL, notices, running, told, trainer_of
from tests.integration.stream import Stream
from tests.integration.test_models import retrain_request
from tests.integration.test_trainer import Asking

SENT, KILLS, WRITERS = 81, 20, 9
FIRST_UNTIL, UNTIL, END = "2013-04-01", "2013-04-10", "2013-04-16"
LONGEST_S, PATIENCE_S = 3.0, 900.0
PANE_MS = 6 * 3_600_000
_SETTINGS = 'promotion = "shadow"\nanchor_budget = 0.99\nanchor_nats = 100.0\nmin_gain_nats = -0.4'


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    sent, kills, rng = (9, 2, random.Random(args.seed)) if args.quick else (SENT, KILLS, random.Random(args.seed))
    with running(END, _SETTINGS) as (stream, example):
        stream.produce(stream.rows(example))
        with trainer_of(stream, "--bootstrap-until", FIRST_UNTIL):
            stream.wait(lambda: bool(notices(stream) and Registry(stream.config).history()), "the first model")
        ids = _ask(stream, sent)
        for _ in range(kills):
            _kill(stream, rng)
        with trainer_of(stream):
            began = time.monotonic()
            done = lambda: not set(ids) - {n.request_id for n in notices(stream) if n.status in FINAL}  # noqa: E731
            with suppress(AssertionError):
                stream.wait(done, "all answers", PATIENCE_S, every_s=1.0)
            left_s = time.monotonic() - began
            stream.wait(lambda: len(told(stream)) >= len(notices(stream)) - 1, "the answers on the topic")
        return {
            "requests": {**_figures(stream, ids), "kills": kills, "after_the_last_kill_s": round(left_s, 1)}
        } | _records(stream)


def _ask(stream: Stream, sent: int) -> list[str]:
    first = Registry(stream.config).in_service()
    made = retrain_request(stream, first, UNTIL)
    asking, ids = Asking(stream), []
    for number in range(sent):
        pane_ms = made.requested_pane_ms + number * PANE_MS // 32
        request = msgspec.structs.replace(made, id=f"{number:08x}-asked", requested_pane_ms=pane_ms)
        asking.ask(request, number % WRITERS)
        ids.append(request.id)
    asking.close()
    return ids


def _kill(stream: Stream, rng: random.Random) -> None:
    """A trainer that is killed within some seconds after it has begun to read requests."""
    log = stream.folder / "worker.log"
    log.write_bytes(b"")
    with trainer_of(stream) as trainer:
        stream.wait(lambda: "waiting for retrain requests" in stream.log(), "the trainer")
        with suppress(subprocess.TimeoutExpired, TimeoutError):
            trainer.wait(rng.uniform(0.0, LONGEST_S))
            raise RuntimeError(f"the trainer ended by itself:\n{stream.log()}")


def _figures(stream: Stream, ids: list[str]) -> dict[str, Any]:
    final = [notice for notice in notices(stream) if notice.status in FINAL and notice.request_id in set(ids)]
    kept = Counter(notice.request_id for notice in final)
    sent: dict[str, set[bytes]] = {}
    for notice in told(stream):
        if notice.status in FINAL:
            sent.setdefault(notice.request_id, set()).add(msgspec.json.encode(notice))
    about = Counter(
        line.body.get("request", line.about) for line in AuditLog(stream.config).entries() if line.event in ENDS
    )
    once = [name for name in ids if kept[name] == len(sent.get(name, ())) == about[name] == 1]
    answers = Counter(_says(notice.status, notice.reason) for notice in final)
    return {
        "sent": len(ids),
        "answered_once": len(once),
        "answers": dict(answers),
        "not_once": sorted(set(ids) - set(once)),
    }


ENDS = ("promotion", "refusal", "covered")
"""Lines of the audit log that end a request."""


def _says(status: str, reason: str) -> str:
    return f"{status}: {re.sub(r'[0-9a-f]{8}[-0-9a-z]*', '…', reason)[:60]}" if status != "promoted" else status


def _records(stream: Stream) -> dict[str, Any]:
    """Whether everything can be traced and verified, and is not once it was changed."""
    names = {notice.request_id for notice in notices(stream)}
    names |= {notice.model_id for notice in notices(stream) if notice.status == "promoted"}
    missing = {name: found for name in sorted(names) if (found := trace(stream.config, name).missing)}
    faults = verify(stream.config).faults
    rows = [_tampered(stream, kind, path, change) for kind, (path, change) in _changes(stream).items()]
    return {
        "trace_complete": not missing,
        "trace": {"traced": len(names), "missing": missing},
        "audit_verified": faults,
        "registry_tampering": rows,
    }


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
    rows = [(name, part[name], part["sent"] if name == "answered_once" else "") for name in part]
    return [("what", "is", "must be"), *rows, *((name, found[name], "") for name in found if name != "requests")]
