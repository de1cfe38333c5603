"""``make bench-stream``: events a second and processor time an event of driftflow and its peers, in one JSON file.

    {"rows": [{"path", "format", "d", "slices", "partitions", "workers", "events_per_s", "cpu_us_per_event", "rss_mib",
               "grown_mib", "spread"}], "ratios": {…}, "stages": {…},
     "latency": [{"share", "events_per_s", "signals", "unread", "p50_ms", "p99_ms"}],
     "first_score_s": {"clock", "cpu", "of"}}

Every path is a process that reads the same topic on one Apache Kafka from its beginning. The paths of a case take
turns, round after round, so that what else the machine does meets all of them; figures are medians over the rounds,
``spread`` is the largest over the smallest, ``first_score_s`` is the median of three starts that meet a
topic full of events. Ratios are of one run and one machine; microseconds are of a machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.stream import latency, ours, ratios, stages
from tests.bench.stream.peers import PEERS, Plan, Took
from tests.bench.stream.world import World
from tests.brokers import ApacheKafka

DRIFTFLOW = "driftflow"
FORMATS = ("json", "float32", "avro")
SHARES = {"Faust": 0.03, "Faust take(512)": 0.05, "Quix Streams": 0.1, "Quix Streams batched": 0.5}
"""Of the events that a slow path reads, so that it takes about as long as the others."""
ROUNDS_MAX_S = 200
STARTS, FIRST_START = 3, 1_000
LATENCY_SHARES = (0.1, 0.5, 0.9)
"""Of what one worker takes."""


@dataclass(frozen=True)
class Case:
    """What takes turns on a topic: paths by name, with the format of driftflow's."""

    d: int
    slices: int
    partitions: int
    format: str
    paths: tuple[tuple[str, int], ...]
    """Name and number of processes."""


def cases(quick: bool) -> Iterator[Case]:
    """The peers beside 12 slices; more slices, partitions, workers and formats beside the loop by hand."""
    loop = (("aiokafka loop", 1), ("flow alone", 1), (DRIFTFLOW, 1))
    for d in (8, 32):
        yield Case(d, 12, 1, "json", (*((name, 1) for name in PEERS), (DRIFTFLOW, 1)))
        for format in FORMATS[1:]:
            yield Case(d, 12, 1, format, (("flow alone", 1), (DRIFTFLOW, 1)))
        for slices in (1_000, 10_000) if not quick else ():
            yield Case(d, slices, 1, "json", loop)
    if not quick:
        yield Case(8, 100_000, 1, "json", loop)
        yield Case(8, 12, 4, "json", (*loop, (DRIFTFLOW, 2)))
        yield Case(8, 12, 16, "json", loop)


def main() -> None:
    """Measure, print a table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=1_000_000, help="of a case")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose title has this text, such as 'd 8, 12 slices'")
    parser.add_argument("--quick", action="store_true", help="fewer cases, one round, 200,000 events")
    args = parser.parse_args()
    if args.quick:
        args.events, args.rounds = 200_000, 1
    home = Path(os.environ.get("KAFKA_HOME", ""))
    if not (home / "bin" / "kafka-server-start.sh").exists():
        raise SystemExit("bench-stream measures on Apache Kafka: set KAFKA_HOME to a distribution of it")
    rows, first_scores = [], {}
    with tempfile.TemporaryDirectory(prefix="bench-stream-") as folder:
        (Path(folder) / "kafka").mkdir()
        broker = ApacheKafka(home, Path(folder) / "kafka").start()
        latencies = []
        try:
            for number, case in enumerate(cases(args.quick)):
                title = f"d {case.d}, {case.slices} slices, {case.partitions} partitions, {case.format}"
                if args.only in title:
                    print(title, flush=True)
                    world = World(
                        Path(folder) / f"case-{number}", broker.bootstrap, f"events-{number}", case.d, case.slices,
                        case.partitions, args.events, case.format,
                    )  # fmt: skip
                    rows += measured(world, case, args.rounds)
                    first_scores = first_scores or _first_scores(world)
            for share in LATENCY_SHARES if rows else ():
                latencies.append({"share": share, **_latency(Path(folder), broker, rows, share)})
        finally:
            broker.stop()
        found = {"rows": rows, "ratios": ratios.of(rows), "stages": stages.measure(Path(folder)), "latency": latencies}
        found["first_score_s"] = first_scores
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    for line in ratios.table(found["ratios"]):
        print(line)


def _first_scores(world: World) -> dict[str, Any]:
    took = []
    for number in range(STARTS):
        world.begin(FIRST_START + number)
        took.append(ours.first_score(world))
    clock, cpu = (round(statistics.median(seconds), 2) for seconds in zip(*took, strict=True))
    print(f"  first score after {clock} s, {cpu} s of a processor", flush=True)
    return {"clock": clock, "cpu": cpu, "of": STARTS}


def _latency(folder: Path, broker: ApacheKafka, rows: list[dict[str, Any]], share: float) -> dict[str, float]:
    capacity = next(row["events_per_s"] for row in rows if row["path"] == DRIFTFLOW)
    world = World(folder / f"latency-{share}", broker.bootstrap, f"latency-{share}", 8, 12, 1, 12_000_000)
    world.train()
    world.publish(fill=False)
    return latency.measure(world, capacity * share)


def measured(world: World, case: Case, rounds: int) -> list[dict[str, Any]]:
    """The rows of a case."""
    world.train()
    world.publish()
    took: dict[tuple[str, int], list[Took]] = defaultdict(list)
    for number in range(rounds):
        for path, workers in case.paths:
            took[path, workers].append(_once(world, path, workers, number))
            last = took[path, workers][-1]
            print(f"  {path:22} × {workers}  {last.cpu_s / last.events * 1e6:8.2f} µs an event", flush=True)
    return [_row(case, path, workers, of) for (path, workers), of in took.items()]


def _once(world: World, path: str, workers: int, number: int) -> Took:
    if path == DRIFTFLOW:
        world.begin(10 * number + workers)
        return ours.measure(world, workers)
    events = max(int(world.events * SHARES.get(path, 1.0)), 4_096)
    plan = Plan(world.bootstrap, world.topic, world.partitions, world.d, events, str(world.folder / "quix"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.stream.peers", path, msgspec.json.encode(plan).decode()],
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=ROUNDS_MAX_S,
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise SystemExit(f"{path} has failed: {done.stderr.decode(errors='replace')[-2000:]}")
    return msgspec.json.decode(lines[-1], type=Took)


def _row(case: Case, path: str, workers: int, took: list[Took]) -> dict[str, Any]:
    cpu = [one.cpu_s / one.events * 1e6 for one in took]
    return {
        "path": path,
        "format": case.format if path != "flow alone" else "none",
        "d": case.d,
        "slices": case.slices,
        "partitions": case.partitions,
        "workers": workers,
        "events_per_s": round(statistics.median(one.events / one.wall_s for one in took)),
        "cpu_us_per_event": round(statistics.median(cpu), 3),
        "rss_mib": round(statistics.median(one.rss_mib for one in took)),
        "grown_mib": round(statistics.median(one.grown_mib for one in took)),
        "spread": round(max(cpu) / min(cpu), 2),
    }


if __name__ == "__main__":
    main()
