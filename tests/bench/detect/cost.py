"""Cost of WATCH: bytes of a snapshot for each slice, microseconds for each slice and pane, and for each pane.

Bytes are the slope of the snapshot's size over two numbers of slices, once every ring of the windows is full. Times are
processor time of WATCH alone on what SCORE has sent, so that others on the machine count less. ``us_per_slice_pane``
is the detectors': how much steeper WATCH's time rises with the number of slices than it does without any rule.
``us_per_pane`` is what WATCH takes in all for a quiet pane of one slice, its blocks handed in as they come (``live``)
and many at a time (``replay``), and for one of a slice that is followed, as they come (``followed``).
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import msgspec

from flowlib.density import Density
from stream_app.config import Config
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun
from stream_app.stages.batches import PartialMessage
from tests.bench.detect import product
from tests.bench.detect.product import Watched
from tests.bench.detect.streams import Planted

WIDTHS = (8, 32)
BYTES_MUST = {8: 8 * 1024, 32: 24 * 1024}
SLICE_PANE_US_MUST = {8: 20.0, 32: 60.0}
PANE_US_MUST = {"live": 200.0, "replay": 40.0, "followed": 400.0}
REPLAYED = 2_000
"""Messages handed in at a time in a replay."""


def measure(args: Namespace) -> dict[str, Any]:
    """``{bytes_per_slice: {d: n}, us_per_slice_pane: {d: µs}, us_per_pane: {live: µs, replay: µs, followed: µs}}``."""
    out: dict[str, Any] = {"bytes_per_slice": {}, "us_per_slice_pane": {}, "us_per_pane": {}}
    for d in WIDTHS:
        panes = 60 if args.quick else 720
        few, many = 32, 64 if args.quick else 128
        small, large = (_size(d, slices, panes) for slices in (few, many))
        out["bytes_per_slice"][str(d)] = round((large - small) / (many - few))
        few, many, panes = (50, 150, 24) if args.quick else (100, 600, 72)
        fast, slow = (_seconds(d, slices, panes, 1) for slices in (few, many))
        whole, without = ((slow[k] - fast[k]) / (many - few) / panes * 1e6 for k in (0, 1))
        out["us_per_slice_pane"][str(d)] = round(whole - without, 2)
        print(f"  d {d}: WATCH takes {whole:.1f} µs a slice and pane, {without:.1f} without rules", flush=True)
    panes = 200 if args.quick else 2_000
    for name, at_once in (("live", 1), ("replay", REPLAYED), ("followed", 1)):
        usual = 1 if name != "followed" else 8
        out["us_per_pane"][name] = round(_seconds(8, 1, panes, at_once, usual)[0] / panes * 1e6, 1)
        print(f"  {name}: {out['us_per_pane'][name]} µs a pane", flush=True)
    return out


def _size(d: int, slices: int, panes: int) -> int:
    _, _, watched = _scored(d, slices, panes)
    size = len(watched.run.pipeline.snapshot_watch(0))
    print(f"  d {d}, {slices} slices, {panes} panes: a snapshot of {size:,} bytes", flush=True)
    return size


def _scored(d: int, slices: int, panes: int, usual: int = 1) -> tuple[Config, Density, Watched]:
    """One event for each slice and pane, where so many are usual, through a flow that was hardly trained."""
    days = max(8_000 // (24 * slices * usual), 5)
    planted = Planted(slices, d, reference=24 * days, monitored=panes, per_pane=1, fixed=True)
    reference = Planted(slices, d, reference=24 * days, monitored=0, per_pane=usual, fixed=True)
    config = product.planted_config(planted, model={"max_steps": 20})
    density = product.trained(reference, reference.events(), config)
    events = planted.events().span(planted.reference, planted.panes)
    return config, density, product.watch(config, density, product.keyed(events))


def _seconds(d: int, slices: int, panes: int, at_once: int, usual: int = 1) -> tuple[float, float]:
    """Processor time of WATCH with its rules and without any, each the best of three runs."""
    config, density, watched = _scored(d, slices, panes, usual)
    sent = watched.run.sent["partials", 0]
    groups = list(_groups([PartialMessage(i, m.value, m.headers) for i, m in enumerate(sent)], at_once))
    without = msgspec.structs.replace(config, rules={})
    best = [min(_once(c, density, groups) for _ in range(3)) for c in (config, without)]
    return best[0], best[1]


def _groups(messages: list[PartialMessage], at_once: int) -> Iterator[list[PartialMessage]]:
    """Pane by pane, or many messages at a time."""
    if at_once > 1:
        yield from (messages[i : i + at_once] for i in range(0, len(messages), at_once))
        return
    pane: list[PartialMessage] = []
    for message in messages:
        pane.append(message)
        if dict(message.headers or ()).get("kind") == b"closed":
            yield pane
            pane = []
    if pane:
        yield pane


def _once(config: Config, density: Density, groups: list[list[PartialMessage]]) -> float:
    run = LocalRun(config)
    run.pipeline.models.add(scored_by(config, density))
    run.start(density.model_id)
    began_s = time.thread_time()
    for group in groups:
        run.pipeline.watch(0, group)
    return time.thread_time() - began_s


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    musts = {
        "bytes_per_slice": {str(d): n for d, n in BYTES_MUST.items()},
        "us_per_slice_pane": {str(d): n for d, n in SLICE_PANE_US_MUST.items()},
        "us_per_pane": PANE_US_MUST,
    }
    lines: list[tuple[str, ...]] = [("cost", "of", "is", "must be ≤")]
    for name, must in musts.items():
        lines += [(name, key, f"{found[name][key]:,}", f"{limit:,}") for key, limit in must.items()]
    return lines
