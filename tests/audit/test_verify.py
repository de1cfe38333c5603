"""Nothing that a real trainer has written can be edited, deleted, moved or cut without being found."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from stream_app.audit.verify import verify
from stream_app.models import audit_lines
from stream_app.models.audit import AuditLog
from stream_app.models.audit import Entry as Line
from tests.audit.stories import Story, registry


def lines_of(story: Story) -> list[bytes]:
    return AuditLog(story.config).path.read_bytes().splitlines(keepends=True)


def write(story: Story, lines: list[bytes]) -> None:
    AuditLog(story.config).path.write_bytes(b"".join(lines))


def resealed(lines: list[bytes], first: int, change: Callable[[Line], Line]) -> list[bytes]:
    """A line changed, and the hashes of all that follow made anew: what somebody who knows the code would do."""
    entries = [msgspec.json.decode(line, type=Line) for line in lines]
    entries[first] = change(entries[first])
    for i in range(first, len(entries)):
        prev = entries[i - 1].hash if i else entries[i].prev
        entries[i] = msgspec.structs.replace(entries[i], prev=prev, n=i + 1).sealed()
    return [msgspec.json.encode(entry) + b"\n" for entry in entries]


def test_what_the_trainer_writes_is_whole(told: Story) -> None:
    verified = verify(told.config)
    assert verified.faults == []
    assert verified.unasked == []
    assert (verified.notices, verified.models) == (4, 2)
    assert verified.signed >= 3
    events = [line.event for line in AuditLog(told.config).entries()]
    for event in ("request", "training", "gates", "shadow", "promotion", "anchor", "rollback", "silence", "accept"):
        assert event in events, event


def test_without_a_broker_it_is_said_what_was_not_asked(told: Story, silent: None) -> None:
    verified = verify(told.config)
    assert verified.faults == []
    assert verified.unasked == ["topic s.signals cannot be read: no broker"]
    assert "not asked: topic s.signals cannot be read: no broker" in verified.says()


def edit(lines: list[bytes], i: int) -> list[bytes]:
    entry = msgspec.json.decode(lines[i], type=Line)
    other = msgspec.structs.replace(entry, body={**entry.body, "added": 1})
    return [*lines[:i], msgspec.json.encode(other) + b"\n", *lines[i + 1 :]]


def rewrite(lines: list[bytes], i: int) -> list[bytes]:
    return resealed(lines, i, lambda entry: msgspec.structs.replace(entry, body={**entry.body, "model": "another"}))


def delete(lines: list[bytes], i: int) -> list[bytes]:
    return [*lines[:i], *lines[i + 1 :]]


def unsay(lines: list[bytes], i: int) -> list[bytes]:
    """Take a line out and close the gap."""
    left = delete(lines, i)
    return resealed(left, i, lambda entry: entry) if i < len(left) else left


def swap(lines: list[bytes], i: int) -> list[bytes]:
    j = i + 1 if i + 1 < len(lines) else i - 1
    changed = list(lines)
    changed[i], changed[j] = changed[j], changed[i]
    return changed


def cut(lines: list[bytes], i: int) -> list[bytes]:
    return lines[:i]


def repeat(lines: list[bytes], i: int) -> list[bytes]:
    return [*lines[: i + 1], *lines[i:]]


@pytest.mark.parametrize(
    "tamper", [edit, rewrite, delete, unsay, swap, cut, repeat], ids=lambda tamper: tamper.__name__
)
def test_tampering_with_any_line_is_found(told: Story, tamper: Callable[[list[bytes], int], list[bytes]]) -> None:
    lines, before = lines_of(told), verify(told.config)
    events = [line.event for line in AuditLog(told.config).entries()]
    unseen, unnoted = [], []
    for i in range(len(lines)):
        write(told, tamper(lines, i))
        if not verify(told.config, [before.head]).faults:
            unseen.append(i + 1)
        if not verify(told.config).faults:
            unnoted.append(i + 1)
    assert unseen == []
    assert all(number > before.lines - before.after for number in unnoted), "what notices carry away is held by them"
    assert {events[number - 1] for number in unnoted} <= {"key change"}


def test_a_registry_that_was_edited_is_found(told: Story) -> None:
    path = told.folder / "models" / "s.notices.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"the new model is better", b"the new model is worse!"))
    assert any("is not the one that was signed: another" in fault for fault in verify(told.config).faults)
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert any("was signed and is not in the registry" in fault for fault in verify(told.config).faults)
    path.write_bytes(whole)
    history = told.folder / "models" / "s.jsonl"
    history.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:-1]))
    assert any("the registry's history has not" in fault for fault in verify(told.config).faults)
    history.write_bytes(history.read_bytes().replace(b'"promoted_ms":', b'"promoted_ms":1'))
    assert any("dates the promotion" in fault for fault in verify(told.config).faults)


def test_a_notice_that_was_put_in_with_its_line_is_found(told: Story) -> None:
    kept = registry(told).notices()[-1]
    registry(told).record(msgspec.structs.replace(kept, request_id="another", status="refused"))
    AuditLog(told.config).append(*audit_lines.of_notice(registry(told).notices()[-1]))
    assert [fault for fault in verify(told.config).faults if "is on no topic: it was put in" in fault]


def test_a_model_that_was_altered_or_is_gone_is_found(told: Story) -> None:
    path = told.folder / "models" / f"{told.second}.model"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    assert any("is not accepted" in fault for fault in verify(told.config).faults)
    path.unlink()
    assert any(f"no model {told.second}" in fault for fault in verify(told.config).faults)
    assert registry(told).in_service() == told.first
