"""Hour, weekday, season and slice: in the right columns, learnt, and with a place for slices never seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from flowlib.density import Density
from flowlib.encoder.context import SLICE_ROWS_MIN, SLICES_MAX, clock_columns, frequent_slices, is_year, seen_days
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.encoder.zones import local
from flowlib.fit_config import FitConfig, MaximumLikelihood
from flowlib.flows import FLOWS
from flowlib.table import DAY_MS, Table
from flowlib.training import TrainConfig
from flowlib.training.slice_table import HIDDEN_SHARE, attach, conditioned, detach, hidden
from tests.flowlib.conftest import trained

HOUR_MS = 3_600_000
SPEC = FeatureSpec(("x", "y"))
LEVEL = {"low": -3.0, "middle": 0.0, "high": 3.0}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def draw(n: int, seed: int) -> Table:
    """Each slice has a level of its own; y follows the hour."""
    g = np.random.default_rng(seed)
    slices = g.choice(list(LEVEL), n).astype(object)
    time_ms = g.integers(0, 60 * 24, n) * HOUR_MS
    x = np.array([LEVEL[name] for name in slices]) + 0.3 * g.standard_normal(n)
    y = 2 * np.sin(2 * np.pi * (time_ms % DAY_MS) / DAY_MS) + 0.3 * g.standard_normal(n)
    return Table.of(np.column_stack([x, y]), None, slices, time_ms)


def fit(*context: str, steps: int = 250) -> Density:
    config = EncoderConfig(context=context, embedding=4)
    parts = [draw(n, seed) for seed, n in enumerate((4_000, 800, 2_000), 1)]
    return Density.fit(SPEC, *parts, 0, replace(trained(max_steps=steps), encoder=config))


@pytest.fixture(scope="module")
def told() -> Density:
    return fit("hour", "slice")


def test_the_clock_is_in_utc_unless_told_otherwise_and_starts_its_week_on_monday() -> None:
    at = {"1970-01-01T06:00": 6 * HOUR_MS, "1970-01-05T00:00": 4 * DAY_MS, "1969-12-29T00:00": -3 * DAY_MS}
    hour, weekday = clock_columns(("hour", "weekday"), np.array([*at.values()], dtype=np.int64))
    np.testing.assert_allclose(hour[0], [1, 0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(hour[1:], [[0, 1, 0, 1]] * 2, atol=1e-6)
    np.testing.assert_allclose(weekday[1:], [[0, 1, 0, 1]] * 2, atol=1e-6)
    assert clock_columns((), np.zeros(3, np.int64)) == []


def test_local_hours_keep_their_place_over_a_clock_change() -> None:
    """08:30 in Berlin, the week before and after the clocks go forward and back, and half an hour of Lord Howe's."""
    for zone, hour, minute in (("Europe/Berlin", 8, 30), ("Australia/Lord_Howe", 12, 0)):
        days = [datetime(2021, 3, 20, hour, minute) + timedelta(days=i) for i in range(300)]
        times = np.array([int(day.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000) for day in days])
        assert len(np.unique(times % DAY_MS)) == 2
        told, weekday = clock_columns(("hour", "weekday"), times, zone)
        assert len(np.unique(told, axis=0)) == 1
        expected = np.array([DAY_MS * day.weekday() for day in days]) + 4 * DAY_MS
        np.testing.assert_array_equal(weekday, clock_columns(("weekday",), expected)[0])


def test_offsets_do_not_depend_on_the_batch_and_stand_any_time() -> None:
    times = np.random.default_rng(0).integers(-(10**13), 10**13, 500)
    whole = local("America/New_York", times)
    np.testing.assert_array_equal(whole, [local("America/New_York", times[i : i + 1])[0] for i in range(500)])
    ends = np.array([-(2**62), 2**62])
    assert (np.abs(local("America/New_York", ends) - ends) < DAY_MS).all()


def test_the_season_is_slow_and_comes_again() -> None:
    days = np.arange(0, 40 * 365) * DAY_MS
    season = clock_columns(("season",), days)[0]
    assert np.abs(np.diff(season, axis=0)).max() < 0.08
    years = np.array([int(datetime(year, 7, 1, tzinfo=UTC).timestamp()) * 1_000 for year in range(1970, 2070)])
    assert np.ptp(clock_columns(("season",), years)[0], axis=0).max() < 0.1
    assert Encoder.fit(SPEC, draw(100, 1), EncoderConfig(context=("season",))).context_width == 4


def test_a_zone_travels_with_the_encoder_and_a_wrong_one_is_refused() -> None:
    encoder = Encoder.fit(SPEC, draw(100, 1), EncoderConfig(context=("hour",), zone="Asia/Kolkata"))
    meta, arrays = encoder.to_state()
    assert Encoder.from_state(meta, arrays).config.zone == "Asia/Kolkata"
    for zone in ("Nowhere/Town", "Europe", "../../etc/passwd", "/etc/passwd", "", "x" * 5_000, 3, None):
        with pytest.raises(ValueError, match=r"encoder zone: expected a time zone such as 'Europe/Berlin'"):
            Encoder.from_state(meta | {"config": meta["config"] | {"zone": zone}}, arrays)


def test_the_same_hour_and_weekday_look_the_same() -> None:
    base = np.arange(0, 7 * DAY_MS, 60_000, dtype=np.int64)
    for kind in ("hour", "weekday"):
        np.testing.assert_array_equal(*(clock_columns((kind,), base + shift)[0] for shift in (0, 520 * 7 * DAY_MS)))
    assert len(np.unique(clock_columns(("weekday",), base)[0].round(5), axis=0)) == 7


def test_rare_slices_share_a_code_and_there_is_a_bound() -> None:
    names = ["big"] * 100 + ["small"] * SLICE_ROWS_MIN + ["rare"] * (SLICE_ROWS_MIN - 1)
    assert frequent_slices(np.array(names, dtype=object)) == ("big", "small")
    many = np.array([f"s{i:05}" for i in range(SLICES_MAX + 10)] * SLICE_ROWS_MIN, dtype=object)
    assert len(frequent_slices(many)) == SLICES_MAX


def test_the_table_is_trained_with_the_flow_and_taken_off_again() -> None:
    generator = torch.Generator().manual_seed(0)
    flow = FLOWS["maf"](2, 6, generator)
    names = set(flow.state_dict())
    attach(flow, np.zeros((3, 4), np.float32), generator)
    context, codes = torch.randn(5, 6, generator=generator), torch.tensor([0, 1, 2, 1, 0])
    given = conditioned(flow, context, codes)
    assert torch.equal(given[:, :2], context[:, :2])
    assert torch.equal(given[0, 2:], given[4, 2:])
    given.sum().backward()
    assert flow.slice_table.weight.grad[:, 0].tolist() == [2, 2, 1]
    table = detach(flow)
    assert table.shape == (3, 4)
    assert table.any()
    assert set(flow.state_dict()) == names
    assert conditioned(flow, context, codes) is context


def test_a_few_slices_are_hidden() -> None:
    codes = torch.ones(20_000, dtype=torch.int64)
    share = float((hidden(codes, torch.Generator().manual_seed(0)) == 0).float().mean())
    assert share == pytest.approx(HIDDEN_SHARE, abs=0.01)


def test_what_is_known_of_a_row_makes_it_more_likely(told: Density) -> None:
    rows, plain = draw(2_000, 9), fit()
    assert told.score(rows).log_prob.mean() > plain.score(rows).log_prob.mean() + 1.0


def test_a_value_is_strange_in_one_slice_and_common_in_another(told: Density) -> None:
    n = 200
    noon = np.zeros(n, np.int64)
    x = np.column_stack([np.full(n, 3.0), np.zeros(n)])
    at = {name: told.score(Table.of(x, None, np.full(n, name, dtype=object), noon)) for name in (*LEVEL, "new")}
    assert at["high"].log_prob[0] > at["new"].log_prob[0] > at["low"].log_prob[0]
    assert at["low"].p_value[0] <= 0.01 < at["high"].p_value[0]
    assert at["new"].p_value[0] > at["low"].p_value[0], "a slice never seen may have any of the levels"
    assert at["new"].pooled.all()


def test_a_model_with_a_context_travels(told: Density) -> None:
    trusted = {artifact.key_id(KEY.public_key()): KEY.public_key()}
    loaded = artifact.load(artifact.pack(told, KEY), trusted)
    rows = draw(300, 11)
    np.testing.assert_array_equal(loaded.score(rows).log_prob, told.score(rows).log_prob)
    assert loaded.encoder.slices == told.encoder.slices
    wider = replace(told, encoder=replace(told.encoder, slice_table=np.zeros((4, 5), np.float32)))
    with pytest.raises(artifact.ArtifactError, match="slice_table"):
        artifact.load(artifact.pack(wider, KEY), trusted)


def test_a_warm_start_goes_on_with_the_slices_it_knew(told: Density) -> None:
    parts = [draw(n, seed) for seed, n in enumerate((2_000, 500, 1_000), 31)]
    settings = FitConfig(learn=MaximumLikelihood(TrainConfig.warm(max_steps=50)), encoder=told.encoder.config)
    warm = Density.fit(SPEC, *parts, 1, settings, told)
    rows = draw(1_000, 41)
    assert warm.encoder.slices == told.encoder.slices
    assert warm.score(rows).log_prob.mean() > told.score(rows).log_prob.mean() - 0.1
    other = Density.fit(SPEC, *parts, 1, replace(settings, encoder=EncoderConfig()), told)
    assert other.encoder.context_width == 2, "with another context it starts afresh"


def test_the_width_does_not_grow_with_the_slices() -> None:
    widths = set()
    for n in (2, 50):
        names = np.array([f"s{i % n}" for i in range(3_000)], dtype=object)
        table = Table.of(np.random.default_rng(0).standard_normal((3_000, 2)), None, names)
        widths.add(Encoder.fit(SPEC, table, EncoderConfig(context=("slice",))).context_width)
    assert widths == {2 + 8}


@pytest.mark.parametrize("bad", [{"context": ("moon",)}, {"context": ("hour", "hour")}, {"embedding": 0}, {"maps": ()}])
def test_a_senseless_configuration_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="encoder"):
        EncoderConfig(**bad)  # type: ignore[arg-type]


def office(zone: str, first_day: datetime, days: int, seed: int) -> Table:
    """Events at every quarter of an hour; the second column is high in the office hours of a zone."""
    g = np.random.default_rng(seed)
    start = int(first_day.timestamp() * 1_000)
    time_ms = start + np.arange(days * 96, dtype=np.int64) * 900_000
    at = local(zone, time_ms) % DAY_MS / HOUR_MS
    load = 5.0 * np.exp(-(((at - 13.0) / 3.0) ** 2)) + 0.2 * g.standard_normal(len(time_ms))
    return Table.of(np.column_stack([g.standard_normal(len(time_ms)), load]), time_ms=time_ms)


def test_local_office_hours_with_context_hour_are_as_usual_after_a_clock_change() -> None:
    """Berlin's clocks went forward on 28 March. With the hours of UTC 1 % strange events became several times that."""
    parts = [office("Europe/Berlin", datetime(2021, 1, day, tzinfo=UTC), 14, day) for day in (4, 11, 18)]
    config = replace(trained(max_steps=200), encoder=EncoderConfig(context=("hour",), zone="Europe/Berlin"))
    model = Density.fit(SPEC, *parts, 0, config)
    after = office("Europe/Berlin", datetime(2021, 3, 29, tzinfo=UTC), 14, 9)
    an_hour_off = replace(after, time_ms=after.time_ms + HOUR_MS)
    usual, off = ((model.score(rows).p_value <= 0.01).mean() for rows in (after, an_hour_off))
    assert usual < 0.02
    assert off > 3 * usual


def of_days(days: np.ndarray) -> Table:
    return Table.of(np.ones((len(days), 2)), None, None, days.astype(np.int64) * DAY_MS)


def test_a_season_is_told_once_the_year_was_seen() -> None:
    config = EncoderConfig(context=("season",))
    half, whole = (Encoder.fit(SPEC, of_days(np.arange(n)), config) for n in (180, 340))
    assert (half.knows_season, whole.knows_season) == (False, True)
    days = of_days(np.arange(0, 365, 30))
    assert not half.encode(days).context.any(), "it would make up the other half"
    assert np.ptp(whole.encode(days).context[:, 2:], axis=0).min() > 1.9
    later = half.told(of_days(np.arange(200, 350)))
    assert later.knows_season, "days of before are still known"
    again = Encoder.from_state(*later.to_state())
    np.testing.assert_array_equal(again.encode(days).context, later.encode(days).context)


def test_a_stray_row_makes_no_season_known() -> None:
    days = np.concatenate([np.repeat(np.arange(180), 100), np.arange(180, 366, 20)])
    assert not is_year(seen_days(days * DAY_MS, "UTC"))
    assert not is_year(seen_days(np.arange(0), "UTC"))
    assert is_year(seen_days(np.arange(800) * DAY_MS, "UTC"))


def test_days_that_make_no_sense_are_refused() -> None:
    meta, arrays = Encoder.fit(SPEC, draw(100, 1), EncoderConfig(context=("season",))).to_state()
    for wrong in (np.ones(365, dtype=bool), np.ones(366)):
        with pytest.raises(ValueError, match="days must be bool"):
            Encoder.from_state(meta, arrays | {"days": wrong})
