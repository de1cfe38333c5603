"""What is done for each event or each slice of a pane; see ``panes/``. Arrays are in C order."""

from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Floats, Ints

_Steps = npt.NDArray[np.uint16]

def add(
    rows: Ints,
    which: Ints,
    place: Ints,
    first: Ints,
    pairs: Ints,
    alphas: Floats,
    scales: Floats,
    log_prob: Floats,
    p_value: Floats,
    numeric: Floats,
    adaptive: Bools,
    missing: Bools,
    base: Ints,
    group: Ints,
    value: Ints,
    width: Ints,
    /,
) -> None: ...
def deviate(
    rows: Ints, known: Ints, first: Ints, normal: tuple[Any, ...], unit: Floats, events: Floats, deviation: Floats, /
) -> None: ...
def moments(
    events: Floats,
    deviation: Floats,
    known: Ints,
    place: Ints,
    bet: Floats,
    up: Floats,
    down: Floats,
    slack: Floats,
    inflation: Floats,
    log_e: Floats,
    news: Bools,
    /,
) -> None: ...
def count(
    hits: Floats,
    trials: Floats,
    row: Ints,
    hit: Floats,
    trial: Floats,
    worth: Floats,
    none: Bools,
    no_bet: Floats,
    log_e: Floats,
    /,
) -> None: ...
def walk(
    steps: _Steps,
    calm: _Steps,
    seen: Bools,
    place: Ints,
    number: Ints,
    given: tuple[Any, ...],
    followed: Ints,
    traced: _Steps,
    calm_then: _Steps,
    /,
) -> int: ...
def remain(
    now: Floats,
    parts: Floats,
    steps: Ints,
    first: Ints,
    place: Ints,
    limits: Floats,
    mixed: Floats,
    bet: Ints,
    level: Ints,
    since: Ints,
    before: Ints,
    against: Ints,
    fallen: Floats,
    peak: Floats,
    /,
) -> None: ...
def hash_names(before: bytes, names: list[str], hashes: Ints, /) -> None: ...
def look_up(known: dict[str, int], names: list[Any], none: int, found: Ints, /) -> None: ...
