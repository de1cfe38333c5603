"""An upstream that sends nothing but garbage is said by itself, however many good events came before."""

from __future__ import annotations

from stream_app.worker.breaks import LEAST, PART, Breaks


def counted(received: int, rejected: int) -> dict[str, int]:
    return {"received": received, "rejected": rejected}


def test_only_garbage_in_a_row_is_a_break_and_one_event_of_use_is_its_end() -> None:
    breaks = Breaks("orders")
    assert breaks.look({0: counted(1_000_000, 10), 1: counted(5, 5)}) == {}
    assert breaks.look({0: counted(1_000_000 + LEAST - 1, 10 + LEAST - 1), 1: counted(5, 5)}) == {}
    wrong = breaks.look({0: counted(1_004_000, 4_010), 1: counted(5, 5)})
    said = "all of the last 4,000 events of orders/0 were rejected: `driftflow doctor` says why"
    assert wrong == {PART: said}
    assert breaks.look({0: counted(1_004_001, 4_010), 1: counted(5 + LEAST, 5 + LEAST)})[PART].count("orders/1") == 1
    assert breaks.look({0: counted(1_004_001, 4_010), 1: counted(50, 30)}) == {}
