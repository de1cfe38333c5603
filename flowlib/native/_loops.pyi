"""Built from loops; says what the NumPy beside each use of it says."""

from flowlib.ladder import Places, Values
from flowlib.table import Bools, Floats, Ints, Singles
from flowlib.ties import Words

def places(
    edges: Values, low: Values, scale: Values, until: Values, values: Values, upto: bool, out: Places, double: bool, /
) -> None: ...
def rarities(
    edges: Values,
    low: Values,
    scale: Values,
    until: Values,
    values: Floats,
    sign: float,
    by_place: Floats,
    out: Floats,
    beyond: Ints,
    /,
) -> int: ...
def among(
    edges: Values,
    low: Values,
    scale: Values,
    until: Values,
    values: Floats,
    by_place: Floats,
    out: Floats,
    beyond: Ints,
    tied: Ints,
    below: Ints,
    above: Ints,
    /,
) -> tuple[int, int]: ...
def event_scores(
    edges: Singles,
    low: Singles,
    scale: Singles,
    until: Values,
    codes: Ints,
    bins: Ints,
    z: Singles,
    surprise: Floats,
    present: Bools | None,
    scorable: Bools | None,
    base: Ints,
    pit: Ints,
    /,
) -> None: ...
def standardised(x: Floats, shift: Floats, scale: Floats, limit: Floats, features: Singles, /) -> bool: ...
def add_parts(
    z: Singles,
    ladj: Singles,
    beside: Floats,
    category: Floats,
    ok: Bools,
    missing: Bools,
    constant: float,
    parts: Floats,
    base: Singles,
    log_prob: Floats,
    distance: Floats,
    scorable: Bools,
    /,
) -> None: ...
def within_slices(rarity: Floats, codes: Ints, edges: Floats, hazard: Floats, step: float, out: Floats, /) -> None: ...
def counts(x: Floats, centre: Floats, scale: Floats, most: float, unit: float, out: Ints, /) -> None: ...
def draws(rows: Ints, key: int, time_ms: Ints, words: Words, numeric: Floats, out: Floats, /) -> None: ...
def earlier(codes: Ints, counts: Ints, out: Ints, /) -> None: ...
def within(x: Floats, smallest: float, largest: float, /) -> bool: ...
