"""Events by time and slice, and what they are counted in on one source partition."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from flowlib.density import Density
from flowlib.table import Coded
from schemas.names import slice_name
from schemas.pane_layout import OTHER
from schemas.records import Strangers
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.admission import Admission
from stream_app.stages.score.places import Places
from stream_app.stages.score.screening import screen
from stream_app.stages.score.timing import Timing
from stream_app.stages.snapshot import pack, unpack
from tests.stages.streams import config

PANE = 1_000
WAITS = 3
"""``windows.newcomer_panes``."""


class Came(NamedTuple):
    """An event: its time, and the values of the fields of the first slicing; the second is everything."""

    time_ms: int
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its slice in the first slicing."""
        return slice_name(self.values)


def stream(most: int = 4, fields: Sequence[str] = ("station",), lateness: int = 0) -> Config:
    """Panes of a second, a longest span of eight, and so many places."""
    windows = {"lateness": f"{lateness}ms", "max_slices": most, "newcomer_panes": WAITS}
    return config(windows=windows, event={"slicings": [list(fields), []]})


class Models(dict[str, Density]):
    """Models by id, with a short repr: hypothesis prints the arguments of a test that fails."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


def knowing(model: Density, *names: str) -> Density:
    """A model that knows these slices."""
    first, *others = model.references
    return replace(model, references=(replace(first, slices=names), *others))


@dataclass(slots=True)
class Admitted:
    """What became of events.

    Attributes:
        names: of each event that went to a pane, by offset: its pane, its own name, and the one it was counted in.
        gone: event and name.
        strangers: by pane.
        most: names that had a place at once, at most.
    """

    state: Places
    timing: Timing
    names: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    gone: list[tuple[int, str]] = field(default_factory=list)
    strangers: dict[int, list[Strangers]] = field(default_factory=dict)
    most: int = 0

    def own(self) -> list[int]:
        """Offsets of the events that are counted in their own slice."""
        return [offset for offset, (_, name, counted) in self.names.items() if counted == name]

    def panes(self, name: str) -> list[int]:
        """Numbers of the panes in which a name has a slice of its own."""
        return sorted({pane // PANE for pane, own, counted in self.names.values() if counted == own == name})


def admit(
    cfg: Config,
    events: Sequence[Came],
    models: dict[str, Density],
    model_of: Callable[[int], str] = lambda _: "m",
    cuts: Iterable[int] = (),
    restored: Iterable[int] = (),
    begun: Admitted | None = None,
) -> Admitted:
    """Let events in, in batches that end at the cuts, a snapshot between them where it says so; after others that have
    ``begun``, which a snapshot is taken of.
    """
    done, admission = Admitted(Places(), Timing()), Admission(cfg)
    if begun is not None:
        done = Admitted(Places.from_state(unpack(pack(begun.state.to_state()))), begun.timing)
    edges = sorted({0, len(events), *(cut for cut in (*cuts, *restored) if cut < len(events))})
    for a, b in itertools.pairwise(edges):
        if a in restored:
            done.state = Places.from_state(unpack(pack(done.state.to_state())))
        _step(cfg, done, admission, list(events[a:b]), a, models, model_of)
    return done


def _step(
    cfg: Config,
    done: Admitted,
    admission: Admission,
    events: list[Came],
    first: int,
    models: dict[str, Density],
    model_of: Callable[[int], str],
) -> None:
    n = len(events)
    index, times = np.arange(n, dtype=np.int64), np.array([one.time_ms for one in events], dtype=np.int64)
    slices = Coded.of(one.name for one in events), Coded.alike(n, "all")
    batch = EventBatch("e", 0, index, index + first, times, np.zeros((n, 1)), np.empty((n, 0), object), slices)
    screening = screen(done.timing, cfg.windows, batch, RawBatch("e", 0, index + first, [b"%d" % i for i in range(n)]))
    assert not screening.released
    assert not screening.held.any()
    model = Coded.of(model_of(pane) for pane in screening.target_ms.tolist())
    seating = admission.seat(done.state, slices, screening, model, models)
    assert (seating.names[1].objects() == "all").all()
    for i in np.flatnonzero(screening.wanted | screening.late).tolist():
        done.names[first + i] = int(screening.target_ms[i]), events[i].name, seating.names[0][i]
    done.gone += [(first + row, name) for row, name in seating.gone]
    assert not done.strangers.keys() & seating.strangers.keys()
    done.strangers |= seating.strangers
    table = done.state.tables[0]
    assert OTHER not in table.places
    done.most = max(done.most, len(table.places))
