"""What decoding costs, format by format: ``python -m tests.bench.stream.decoders``.

The same events in each format, decoded whole (columns, names of slices, what the stages take), and by the row decoder
alone, which reads what is not plain. Microseconds of processor time an event, on one thread; medians of interleaved
rounds.
"""

from __future__ import annotations

import io
import json
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import numpy as np

from stream_app.config import Config, parse
from stream_app.stages.batches import Bodies, RawBatch
from stream_app.stages.score.decoding import Decoder

ROWS, ROUNDS, SLICES = 4_000, 7, 12
T0 = 1_700_000_000_000
FORMATS = ("json", "float32", "msgpack", "avro")

Event = dict[str, Any]


def events(d: int, n: int, seed: int = 0) -> list[Event]:
    """Events with d numbers, of which some are missing, and one of a few slices."""
    rng = np.random.default_rng(seed)
    values, missing = rng.normal(size=(n, d)).astype(np.float32).astype(float), rng.random((n, d)) < 0.01
    slices = rng.integers(SLICES, size=n)
    return [
        {"at": T0 + 137 * i, "slice": int(slices[i])}
        | {f"x{j}": None if missing[i, j] else float(values[i, j]) for j in range(d)}
        for i in range(n)
    ]


def stream(format_: str, d: int, root: Path) -> Config:
    """A stream of them."""
    event: Event = {"time_field": "at", "time_format": "epoch_ms", "numeric": [f"x{j}" for j in range(d)]}
    event |= {"slicings": [["slice"]], "format": format_}
    if format_ == "avro":
        event["avro_schema"] = f"{d}.avsc"
        (root / f"{d}.avsc").write_text(json.dumps(schema(d)))
    return parse({"stream": "s", "topics": {"events": "e"}, "event": event, "root": str(root)})


def schema(d: int) -> dict[str, Any]:
    """Theirs: a time, a slice, numbers that may be null."""
    numbers = [{"name": f"x{j}", "type": ["null", "double"]} for j in range(d)]
    fields = [{"name": "at", "type": "long"}, {"name": "slice", "type": "int"}, *numbers]
    return {"type": "record", "name": "Event", "fields": fields}


def encoder(format_: str, d: int) -> Callable[[Event], bytes]:
    """An event as a body."""
    if format_ == "float32":
        packed, names = struct.Struct(f"<q{d}fi"), [f"x{j}" for j in range(d)]
        numbers = lambda one: (float("nan") if one[name] is None else one[name] for name in names)  # noqa: E731
        return lambda one: packed.pack(one["at"], *numbers(one), one["slice"])
    if format_ == "avro":
        parsed = fastavro.parse_schema(schema(d))
        return lambda one: _avro(parsed, one)
    return msgspec.json.encode if format_ == "json" else msgspec.msgpack.encode


def _avro(parsed: Any, one: Event) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed, one)
    return out.getvalue()


def measured(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds an event of each way: medians of rounds in which every way has a turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.thread_time()
            way()
            if round_:  # the first is to warm up
                taken[name].append((time.thread_time() - start) / ROWS * 1e6)
    return {name: statistics.median(values) for name, values in taken.items()}


def rows_of(d: int, root: Path) -> dict[str, dict[str, float]]:
    """Format to the microseconds of decoding, of the row decoder, and to the bytes of a body."""
    made, ways, sizes = events(d, ROWS), {}, {}
    for format_ in FORMATS:
        bodies = [encoder(format_, d)(one) for one in made]
        decoder = Decoder(stream(format_, d, root))
        raw = RawBatch("e", 0, np.arange(ROWS, dtype=np.int64), Bodies.of(bodies))
        assert len(decoder.decode(raw)[0]) == ROWS
        ways[f"{format_} all"] = lambda decoder=decoder, raw=raw: decoder.decode(raw)
        ways[f"{format_} rows"] = lambda decode=decoder._decode, bodies=bodies: [decode(body) for body in bodies]
        sizes[format_] = sum(map(len, bodies)) / ROWS
    us = measured(ways)
    return {one: {"all": us[f"{one} all"], "rows": us[f"{one} rows"], "bytes": sizes[one]} for one in FORMATS}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        found = {d: rows_of(d, Path(folder)) for d in (8, 32)}
    print("| format | µs an event, D = 8 | D = 32 | row by row, D = 8 | D = 32 | bytes, D = 8 | D = 32 |")
    print("|---|---|---|---|---|---|---|")
    for one in FORMATS:
        cells = [f"{found[d][one][what]:.3g}" for what in ("all", "rows", "bytes") for d in (8, 32)]
        print(f"| {one} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
