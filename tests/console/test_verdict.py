"""The sentence at the top and the colours below it say the same, whatever the store holds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from flowlib.pit import PIT_BINS
from schemas.pane_layout import ALPHAS
from schemas.records import Health
from stream_app.config import Config, load
from stream_app.console import arriving, rates
from stream_app.console.answers import Store
from stream_app.console.server import start_in_thread
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages import points
from stream_app.stages.outputs import Point
from stream_app.stages.points import ALPHA_FIELDS, PaneWindows
from stream_app.stages.summary import COLUMNS, WIDTH
from stream_app.worker.health import health_point
from tests.console.storing import EXAMPLE
from tests.console.telling import PANE_MS, START_MS, made_incident, silenced
from tests.stages.streams import config as small_config
from tests.stages.streams import raw

STREAM, END_MS = "beijing-air", START_MS + PANE_MS
RANK = ["ok", "silenced", "info", "warning", "critical"]
SPANS = ("pane", "1d", "28d")
CONFIG: Config = load(EXAMPLE)


def window(name: str, span: str, scored: int, hits: list[int]) -> list[Point]:
    row = np.zeros(WIDTH, dtype=np.int64)
    row[COLUMNS["seen"]] = row[COLUMNS["scored"]] = scored
    row[COLUMNS["p_le"]] = np.minimum(hits, scored)
    return points.window_points(STREAM, PaneWindows("station", [END_MS], [name], ["m"], [span], row[None, None]))


def promised(scored: int, times: float = 1.0) -> list[int]:
    """Hits at every level, so many times as many as promised."""
    return [round(min(times * alpha, 1.0) * scored) for alpha in ALPHAS]


def store_of(folder: Path, made: list[Point]) -> Store:
    sink = SQLiteSink(folder / "store.sqlite")
    sink.write(made)
    sink.close()
    return Store(folder / "store.sqlite", STREAM)


def worst(tones: list[str]) -> str:
    return max(["ok", *tones], key=RANK.index)


def shown(store: Store, overview: dict[str, Any], live: dict[str, Any] | None) -> list[str]:
    """The tone of everything that has a colour, on all views."""
    tones = ["silenced" if one["silenced"] else one["severity"] for one in overview["open"]]
    tones += [row["tone"] for row in overview["slices"]] + [row["tone"] for row in overview["features"]["entries"]]
    tones += [row["tone"] for row in store.watched()["partitions"]] + [overview["arrivals"]]
    tones += ["warning" for _ in overview["health"]]
    for row in overview["slices"]:
        for span in SPANS[1:]:
            detail = store.detail("station", row["slice"], span)
            if detail is not None:
                tones += detail["calibration"]["tones"]
    if live is not None:
        tones += [live["recent"]["tone"], *(["warning"] if live["waits_for"] or not live["alive"] else [])]
        tones += ["warning" for _ in live["failing"]]
    return tones


SHARES = st.sampled_from([0.0, 0.3, 0.8, 1.0, 1.6, 2.5, 4.4, 20.0])
WINDOWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(SPANS[1:]), st.sampled_from([0, 40, 672, 30_000]), SHARES),
    max_size=5,
)
INCIDENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["info", "warning", "critical"]),
        st.sampled_from(["open", "update", "resolve", "handover", "accepted"]),
        st.booleans(),
    ),
    max_size=3,
)
COUNTS = st.tuples(st.sampled_from([0, 1, 500, 5_000]), st.sampled_from([0.0, 0.005, 0.05, 0.3, 1.0]))
LIVE = st.none() | st.fixed_dictionaries(
    {
        "alive": st.booleans(),
        "waits_for": st.sampled_from([[], ["model-x"]]),
        "failing": st.sampled_from([{}, {"drainer": "disk full"}]),
        "drops": COUNTS,
    }
)


def live_of(drawn: dict[str, Any] | None) -> dict[str, Any] | None:
    if drawn is None:
        return None
    n, share = drawn["drops"]
    zero = dict.fromkeys(("received", "rejected", "late"), 0)
    recent = arriving.recent(zero, zero | {"received": n, "rejected": int(n * share)}, 0.01)
    return {**drawn, "at_ms": END_MS, "recent": recent | {"reasons": {"not_json": recent["rejected"]}}}


@settings(max_examples=30)
@given(WINDOWS, INCIDENTS, COUNTS, st.sampled_from([0, 100, 5_000]), st.booleans(), LIVE)
def test_no_colour_is_worse_than_the_sentence_and_no_sentence_worse_than_the_colours(
    windows: list[tuple[str, str, int, float]],
    incidents: list[tuple[str, str, str, bool]],
    drops: tuple[int, float],
    lean: int,
    fails: bool,
    drawn: dict[str, Any] | None,
) -> None:
    made = [point for name in "abc" for point in window(name, "pane", 6, promised(6))]
    for name, span, scored, times in windows:
        made += window(name, span, scored, promised(scored, times))
    for k, (name, severity, state, hushed) in enumerate(incidents):
        record = made_incident(STREAM, name, START_MS, END_MS, state, id=f"i-{k}", severity=severity)
        made.append(points.incident_point(silenced(record) if hushed else record))
    n, share = drops
    bad = int(n * share)
    counts = {"received": n, "windowed": n - bad, "late": 0, "rejected": bad, "duplicate": 0, "held": 0}
    made += points.counters_points(CONFIG, 0, [(END_MS, counts, 0)])
    bins = np.full((len(CONFIG.event.numeric), PIT_BINS), 50)
    bins[0, -1] += lean
    made += points.pit_points(CONFIG, 0, END_MS, "m", bins)
    if fails:
        made.append(health_point(Health(STREAM, "worker w", "drainer", "failing", "disk full", END_MS)))
    live = live_of(drawn)
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder), made)
        _, overview = store.overview(live)
        assert overview is not None
        verdict = overview["verdict"]
        assert verdict["tone"] == worst(shown(store, overview, live))
        quiet = verdict["says"].startswith("No incident is open") and "but" not in verdict["says"].lower()
        assert quiet == (verdict["tone"] == "ok")
        last = {(name, span): (scored, times) for name, span, scored, times in windows}
        if not incidents and any(scored >= 672 and times >= 4.4 for scored, times in last.values()):
            assert RANK.index(verdict["tone"]) >= RANK.index("warning")
            assert "times as many" in " ".join(sign["says"] for sign in verdict["signs"])


def test_a_slice_at_more_than_four_times_its_rate_is_in_the_sentence(tmp_path: Path) -> None:
    """What was seen: all is well above a slice at 4.4 times the nominal rate."""
    made = [point for k in range(11) for point in window(f"s{k}", "28d", 672, promised(672))]
    store = store_of(tmp_path, [*made, *window("Wanliu", "28d", 672, promised(672, 4.4))])
    verdict = store.overview()[1]["verdict"]  # type: ignore[index]
    assert verdict["tone"] == "warning"
    assert verdict["says"].startswith("No incident is open in any of the 12 slices.")
    assert verdict["says"].endswith(" But not all is as it should be.")
    assert verdict["signs"][0]["says"].startswith(
        "One slice raises more alarms than promised: Wanliu 4.5 times as many in 28"
    )


@settings(max_examples=150)
@given(st.integers(0, 3_000), st.floats(0.0, 1.0), st.sampled_from(ALPHAS), st.sampled_from([1, 40, 30_000]))
def test_what_is_said_of_a_share_is_what_the_band_shows_and_what_the_binomial_says(
    scored: int, share: float, alpha: float, windows: int
) -> None:
    hits, error = round(share * scored), rates.error_of(windows)
    row = dict.fromkeys(ALPHA_FIELDS, 0) | {"scored": scored, ALPHA_FIELDS[ALPHAS.index(alpha)]: hits}
    (side,) = rates.sides([row], error)[:, ALPHAS.index(alpha)].tolist()
    if scored == 0:
        assert side == rates.AS_PROMISED
        return
    more = binom.sf(hits - 1, scored, min(2 * alpha, 1.0))
    fewer = binom.cdf(hits, scored, alpha / 2)
    near = min(abs(more / error - 1), abs(fewer / error - 1)) < 1e-6
    expected = rates.MORE if more <= error else rates.FEWER if fewer <= error else rates.AS_PROMISED
    assert near or side == expected
    low, high = rates.allowed(alpha, scored, error)
    assert near or (side == rates.AS_PROMISED) == (low - 1e-12 <= hits / scored <= high + 1e-12)


def test_while_all_shares_are_as_promised_next_to_no_page_is_in_colour() -> None:
    """300 pages of 40 windows at exactly the promised share: at twice of it the error would be 5 %, here it is none."""
    draws, coloured = np.random.default_rng(11), 0
    for _ in range(300):
        rows = [
            {"scored": 672}
            | dict(zip(ALPHA_FIELDS, (np.sort(draws.random(672))[:, None] <= ALPHAS).sum(axis=0), strict=True))
            for _ in range(40)
        ]
        coloured += bool((rates.sides(rows, rates.error_of(40)) != rates.AS_PROMISED).any())
    assert coloured <= 3


def test_a_total_break_is_in_red_after_a_few_events(tmp_path: Path) -> None:
    """Every event undecodable, before any pane was closed: by what SCORE writes."""
    from stream_app.stages.pipeline import Pipeline

    config = small_config()
    pipeline = Pipeline(config, 1, [])
    pipeline.open_score(0)
    made = list(pipeline.score(raw(0, [b"<event/>"] * 40, 0)).points)
    sink = SQLiteSink(tmp_path / "store.sqlite")
    sink.write(made)
    sink.close()
    handle = start_in_thread(Store(tmp_path / "store.sqlite", config.stream))
    try:
        found = httpx.get(f"{handle.url}/api/overview", trust_env=False).json()["overview"]
        assert found["verdict"]["tone"] == "critical"
        assert "are rejected as not_json" in found["open"][0]["summary"]
    finally:
        handle.stop()


@pytest.mark.parametrize(
    ("rejected", "received", "tone"), [(4, 4, "critical"), (40, 200, "warning"), (1, 3, "ok"), (2, 2_000, "ok")]
)
def test_dropped_events_are_told_by_evidence(rejected: int, received: int, tone: str) -> None:
    assert arriving.tone_of(rejected, received) == tone


def test_a_partition_is_judged_by_its_last_events() -> None:
    """A break after a year that went well is no small share of all."""
    good = {"partition": "0", "time_ms": 1, "received": 10**6, "windowed": 10**6, "late": 0, "rejected": 0}
    good |= {"duplicate": 0, "held": 0}
    bad = good | {"time_ms": 2, "received": 10**6 + 1_000, "rejected": 1_000}
    other = good | {"partition": "1"}
    found = arriving.partitions([bad, other, good])
    assert [(row["partition"], row["events"], row["rejected"], row["tone"]) for row in found] == [
        ("0", 1_000, 1_000, "critical"),
        ("1", 10**6, 0, "ok"),
    ]
