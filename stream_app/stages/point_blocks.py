"""Points of many slices as one block of columns: made, kept and handed on at once, unfolded where a sink takes them.

A stage that makes a point for each of ten thousand slices and span at every pane would do little else.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from stream_app.stages.outputs import Point
from stream_app.stages.points import WINDOW_FIELDS, PaneWindows, window_points
from stream_app.stages.summary import WIDTH

BLOCK_POINTS = 900
"""Most points of a block: a sink takes some at a time."""


class WindowBlock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The points of :class:`~stream_app.stages.points.PaneWindows`; numbers are little-endian bytes.

    Attributes:
        stream: theirs.
        slicing, names, spans: as there.
        models, model: the different models, and of each cell which one it is.
        ends, rows, notices: as there.
    """

    stream: str
    slicing: str
    spans: list[str]
    names: list[str]
    models: list[str]
    model: bytes
    ends: bytes
    rows: bytes
    notices: dict[str, bytes]

    @classmethod
    def of(cls, stream: str, windows: PaneWindows) -> Iterator[WindowBlock]:
        """Blocks of a few hundred points each."""
        cells = max(BLOCK_POINTS // max(len(windows.spans), 1), 1)
        place = {model_id: i for i, model_id in enumerate(dict.fromkeys(windows.models))}
        codes = np.array([place[model_id] for model_id in windows.models], dtype="<i8")
        ends = np.array(windows.ends_ms, dtype="<i8")
        for first in range(0, len(windows.names), cells):
            part = slice(first, first + cells)
            yield cls(
                stream,
                windows.slicing,
                windows.spans,
                windows.names[part],
                list(place),
                codes[part].tobytes(),
                ends[part].tobytes(),
                windows.rows[:, part].astype("<i8", copy=False).tobytes(),
                {name: values[part].astype("<f8", copy=False).tobytes() for name, values in windows.notices.items()},
            )

    @classmethod
    def unpacked(cls, packed: bytes) -> WindowBlock:
        """Inverse of :meth:`packed`; raises ValueError on other bytes, and on columns that do not fit each other."""
        block = _DECODER.decode(packed)
        block._check()
        return block

    @property
    def first_end_ms(self) -> int:
        """End of the first cell's pane; a stage makes blocks of one pane each."""
        return int.from_bytes(self.ends[:8], "little", signed=True)

    def packed(self) -> bytes:
        """As bytes, for a file."""
        return msgspec.msgpack.encode(self)

    def __len__(self) -> int:
        return len(self.names) * len(self.spans)

    def points(self) -> list[Point]:
        """The points one by one."""
        return window_points(self.stream, self.windows())

    def windows(self) -> PaneWindows:
        """What it was made of."""
        codes = np.frombuffer(self.model, dtype="<i8").tolist()
        return PaneWindows(
            self.slicing,
            np.frombuffer(self.ends, dtype="<i8").tolist(),
            self.names,
            [self.models[code] for code in codes],
            self.spans,
            np.frombuffer(self.rows, dtype="<i8").reshape(len(self.spans), len(self.names), WIDTH),
            {name: np.frombuffer(values, dtype="<f8") for name, values in self.notices.items()},
        )

    def _check(self) -> None:
        columns = [self.model, self.ends, *self.notices.values()]
        if {8 * len(self.names)} != {len(column) for column in columns} or len(self.rows) != 8 * WIDTH * len(self):
            raise ValueError("its columns are not of one length")
        codes = np.frombuffer(self.model, dtype="<i8")
        if len(codes) and not 0 <= codes.min() <= codes.max() < len(self.models):
            raise ValueError("a model of it is none")
        if not WINDOW_FIELDS.isdisjoint(self.notices) or len({*self.spans}) < len(self.spans):
            raise ValueError("two of its fields or spans have one name")


_DECODER = msgspec.msgpack.Decoder(WindowBlock)
