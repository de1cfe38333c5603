"""Which dead letters are meant, as people type it."""

from __future__ import annotations

import re
import time

from stream_app.config import Config, Duration
from stream_app.errors import DriftflowError
from stream_app.operators.letters.reading import TOPICS, Wanted
from stream_app.operators.silencing import moment_ms


def wanted(
    config: Config,
    name: str = "",
    *,
    topic: str = "",
    partition: int | None = None,
    reason: str = "",
    since: str = "",
    until: str = "",
    offsets: str = "",
) -> Wanted:
    """The conditions.

    Args:
        config: the stream; times without a zone are in its own.
        name: of one of them.
        topic, partition, reason: as in :class:`~stream_app.operators.letters.reading.Wanted`.
        since, until: a time, or a length of time: so long ago.
        offsets: one, or the first and the last one, ``N-M``.

    Raises:
        DriftflowError: with everything that is wrong, a line each.
    """
    faults, times = [], dict[str, int | None]()
    for option, text in (("--since", since), ("--until", until)):
        try:
            times[option] = _moment_ms(config, text)
        except ValueError as error:
            faults.append(f"{option}: {error}")
    span = re.fullmatch(r"(\d{1,19})(?:-(\d{1,19}))?", offsets)
    if offsets and not span:
        faults.append(f"--offset: expected an offset, or the first and the last one as 10-20, got {offsets!r}")
    known = {getattr(config.topics, role) for role in TOPICS}
    if topic and topic not in {*TOPICS, *known}:
        faults.append(f"--topic: {topic!r} is no topic of this stream; there are {', '.join(sorted(known))}")
    if faults:
        raise DriftflowError("\n".join(["no dead letter is chosen by this:", *(f"  - {fault}" for fault in faults)]))
    first, last = (int(span[1]), int(span[2] or span[1])) if span else (None, None)
    return Wanted(topic, partition, reason, times["--since"], times["--until"], first, last, name)


def _moment_ms(config: Config, text: str) -> int | None:
    """A time, or so long ago; None for none. Raises ValueError."""
    if not text:
        return None
    try:
        return time.time_ns() // 1_000_000 - Duration.parse(text)
    except ValueError:
        return moment_ms(config, text)
