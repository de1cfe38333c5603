"""``signals()``: what a stream has said, as something to iterate over, ``for`` or ``async for``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Generic

from schemas.records import Record
from stream_app.client.files import read_file
from stream_app.client.frames import frame_of
from stream_app.client.taking import SEVERITIES, R, Signal, Taker, Wanted, open_of
from stream_app.client.topics import follow, follow_async
from stream_app.config import Config, load

_LINES = (".jsonl", ".ndjson", ".json", ".gz")


def signals(
    config: Config | str | Path | None = None,
    *,
    file: str | Path | None = None,
    of: type[R] | tuple[type[R], ...] = Record,  # type: ignore[assignment]
    severity: str = "",
    open_only: bool = False,
    follow: bool = True,
    group: str = "",
    untrusted: bool = False,
) -> Signals[R]:
    """Signals of a stream, each once, those of a partition in order.

    Args:
        config: a configuration, or the file that holds it. Beside ``file`` it may be left out: its keys verify.
        file: JSON lines as ``driftflow score --signals`` writes them, in place of the topic.
        of: classes of records that are wanted: ``Incident``, ``(Incident, StrangeEvents)``; all by default. Silenced
            incidents come only where they are named, or all are wanted.
        severity: only incidents at least so severe: ``info``, ``warning`` or ``critical``.
        open_only: only incidents that are going on now, each with its last message. Ends where the topic ends.
        follow: wait for more after the topic's end.
        group: go on where the reader of this name has stopped: a consumer group that keeps the place of one reader.
            A signal counts as read when the next one is asked for. Without it, from the beginning.
        untrusted: also what has to be signed and is not by a key trusted here; it is marked.

    Raises:
        ValueError: what was asked for makes no sense together.
        ConfigError: the configuration has faults.
    """
    if (config is None) == (file is None) and config is None:
        raise ValueError(
            "signals() needs a configuration or a file: signals('driftflow.toml'), signals(file='x.jsonl')"
        )
    if isinstance(config, str | Path) and Path(config).suffix in _LINES:
        raise ValueError(f"{str(config)!r} is no configuration; signals of a file: signals(file={str(config)!r})")
    if severity and severity not in SEVERITIES:
        raise ValueError(f"severity = {severity!r}: one of {', '.join(SEVERITIES)}")
    if group and (file is not None or open_only):
        raise ValueError("group keeps a place on the topic: it goes with neither a file nor open_only")
    loaded = load(config) if isinstance(config, str | Path) else config
    kinds = of if isinstance(of, tuple) else (of,)
    wanted = Wanted(kinds, severity, open_only, untrusted)
    return Signals(wanted, loaded, Path(file) if file is not None else None, follow and not open_only, group)


class Signals(Generic[R]):
    """Signals to iterate over; each iteration begins anew."""

    def __init__(self, wanted: Wanted, config: Config | None, file: Path | None, follow: bool, group: str) -> None:
        self._wanted, self._config, self._file = wanted, config, file
        self._follow, self._group = follow, group

    def __iter__(self) -> Iterator[Signal[R]]:
        """Read them; raises DriftflowError where the topic or the file cannot be read."""
        found = self._read()
        return iter(open_of(list(found))) if self._wanted.open_only else found

    async def __aiter__(self) -> AsyncGenerator[Signal[R], None]:
        """Read them beside other things that the event loop does; raises DriftflowError."""
        if self._file is not None:
            for signal in self:
                yield signal
            return
        assert self._config is not None
        async with aclosing(follow_async(self._config, self._taker(), self._follow, self._group)) as found:
            if self._wanted.open_only:
                for signal in open_of([signal async for signal in found]):
                    yield signal
                return
            async for signal in found:
                yield signal

    def to_frame(self, backend: str = "pandas") -> Any:
        """All there are now, a row each; see :func:`stream_app.client.frames.frame_of`."""
        now = Signals[R](self._wanted, self._config, self._file, False, self._group)
        return frame_of(list(now), backend)

    def _read(self) -> Iterator[Signal[R]]:
        if self._file is not None:
            return read_file(self._file, self._taker(), self._config)
        assert self._config is not None
        return follow(self._config, self._taker(), self._follow, self._group)

    def _taker(self) -> Taker[R]:
        return Taker(self._wanted, self._config)
