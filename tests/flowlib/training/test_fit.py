"""Training: repeatable, stops early, keeps the best weights, reports progress, and learns known laws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.flows import FLOWS, Flow
from flowlib.table import Table
from flowlib.training import Progress, TrainConfig, TrainingRows, fit_flow
from flowlib.training.fit import far, one_cycle, trimmed
from flowlib.training.learners import upper_mean
from tests.flowlib.conftest import trained
from tests.flowlib.training.cases import SMALL, batch, fresh, weights

PARTS = ((0.6, (-2.0, 0.0), ((0.5, 0.2), (0.2, 0.5))), (0.4, (2.0, 1.0), ((0.6, -0.3), (-0.3, 0.4))))


def mean_log_prob(flow: Flow, rows: TrainingRows) -> float:
    with torch.no_grad():
        return float(flow.log_prob(rows.features, rows.context).mean())


def mixture(n: int, seed: int) -> Any:
    g = np.random.default_rng(seed)
    which = g.random(n) < PARTS[0][0]
    first, second = (g.multivariate_normal(mean, cov, n) for _, mean, cov in PARTS)
    return np.where(which[:, None], first, second).astype(np.float32)


def true_log_prob(rows: Any) -> Any:
    return np.log(sum(share * multivariate_normal(mean, cov).pdf(rows) for share, mean, cov in PARTS))


def test_a_known_mixture_is_learnt_to_a_tenth_of_a_nat() -> None:
    train, valid, held_out, new = (Table.of(mixture(n, seed)) for seed, n in enumerate((6_000, 1_000, 1_000, 6_000)))
    density = Density.fit(FeatureSpec(("x", "y")), train, valid, held_out, 0, trained(max_steps=800))
    got = density.score(new).log_prob
    lost = float(np.mean(true_log_prob(new.numeric) - got))
    assert -0.02 < lost < 0.1, "no model beats the truth by more than chance"
    single = multivariate_normal(new.numeric.mean(axis=0), np.cov(new.numeric.T)).logpdf(new.numeric)
    assert np.mean(got - single) > 0.2, "more than one Gaussian was learnt"


def test_the_same_seed_gives_the_same_weights_whatever_the_global_state() -> None:
    results = []
    for seed, outside in ((3, 1), (3, 2), (4, 1)):
        torch.manual_seed(outside)
        flow = fresh()
        best = fit_flow(flow, batch(200, 1, 2.0), batch(100, 2, 2.0), SMALL, seed)
        results.append((weights(flow), best))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert not torch.equal(results[0][0], results[2][0])


def test_it_stops_when_the_validation_rows_gain_nothing_and_keeps_the_best() -> None:
    """Training rows far from the validation rows: every step makes it worse."""
    flow, looks = fresh(), []
    start, valid = weights(flow), batch(200, 2)
    config = replace(SMALL, max_steps=400, patience=3, lr=1e-2)
    best = fit_flow(flow, batch(200, 1, centre=3.0, spread=0.1), valid, config, 0, looks.append)
    assert [p.step for p in looks] == [10, 20, 30]
    assert torch.equal(weights(flow), start)
    assert all(p.valid_log_prob < best for p in looks)
    with torch.no_grad():
        values = flow.log_prob(valid.features, valid.context)
    assert best == pytest.approx(float(upper_mean(values, 2)), abs=1e-6), "without the least likely 1 %"


def test_patience_starts_again_after_a_gain() -> None:
    flow, looks = fresh(), []
    best = fit_flow(flow, batch(500, 1, 2.0), batch(200, 2, 2.0), replace(SMALL, max_steps=200), 0, looks.append)
    assert len(looks) > SMALL.patience
    assert best == max(p.valid_log_prob for p in looks)
    assert best > mean_log_prob(fresh(), batch(200, 2, 2.0)) + 1.0


def test_one_row_far_out_does_not_throw_the_training_away() -> None:
    """Beyond all training rows a step that helps all others may cost it thousands of nats."""
    flow, valid = fresh(), batch(99, 2, 2.0)
    with_far = TrainingRows(
        torch.cat([valid.features, torch.tensor([[50.0, -50.0]])]), torch.zeros(100, 2), torch.zeros(100, 2) > 0
    )
    start = mean_log_prob(flow, valid)
    fit_flow(flow, batch(500, 1, 2.0, spread=0.3), with_far, replace(SMALL, max_steps=200, patience=3), 0)
    assert mean_log_prob(flow, valid) > start + 1.0
    assert [far(n) for n in (1, 19, 20, 100, 101)] == [0, 0, 1, 1, 2]


def test_progress_tells_step_bound_and_value() -> None:
    looks: list[Progress] = []
    fit_flow(fresh(), batch(200, 1), batch(100, 2), replace(SMALL, max_steps=25, patience=99), 0, looks.append)
    assert [(p.step, p.max_steps) for p in looks] == [(10, 25), (20, 25), (25, 25)]
    assert all(np.isfinite(p.valid_log_prob) for p in looks)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_any_number_of_steps_will_do(steps: int) -> None:
    looks: list[Progress] = []
    fit_flow(fresh(), batch(5, 1), batch(1, 2), replace(SMALL, max_steps=steps), 0, looks.append)
    assert [p.step for p in looks] == [steps]


def test_a_warm_start_begins_at_the_old_weights() -> None:
    """So a handful of steps on the same data cannot lose what was learnt, where a fresh flow has learnt nothing yet."""
    train, valid = batch(500, 1, 2.0), batch(200, 2, 2.0)
    old = fresh()
    learnt = fit_flow(old, train, valid, replace(SMALL, max_steps=200), 0)
    few = replace(TrainConfig.warm(max_steps=5), batch=64)
    assert fit_flow(old, train, valid, few, 1) >= learnt
    assert fit_flow(fresh(), train, valid, few, 1) < learnt - 0.5


def test_gaps_are_filled_with_noise_in_training() -> None:
    """Where a value is missing the features hold 0; a flow that trained on the zeros would make a spike of them."""
    rows = batch(500, 1)
    missing = torch.zeros(500, 2, dtype=torch.bool)
    missing[:, 1] = True
    rows = TrainingRows(torch.where(missing, 0.0, rows.features), missing.float(), missing)
    flow = fresh()
    fit_flow(flow, rows, rows, replace(SMALL, max_steps=200), 0)
    normal = batch(2_000, 7)
    lost = mean_log_prob(flow, TrainingRows(normal.features, missing[:1].float().expand(2_000, 2), normal.missing))
    assert lost == pytest.approx(-np.log(2 * np.pi) - 1, abs=0.1)


def test_only_a_solver_is_given_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise for every row, and a context of every slice, are memory that no step by gradients needs."""
    asked: list[int] = []
    plain = TrainingRows.draws

    def draws(self: TrainingRows, m: int, generator: torch.Generator) -> Any:
        asked.append(m)
        return plain(self, m, generator)

    monkeypatch.setattr(TrainingRows, "draws", draws)
    train, valid = batch(300, 1), batch(100, 2)
    fit_flow(fresh(), train, valid, SMALL, 0)
    assert max(asked) == len(valid)
    fit_flow(FLOWS["mixture"](2, 2, torch.Generator().manual_seed(0)), train, valid, SMALL, 0)
    assert asked.count(len(train)) == 1


def test_batches_that_are_not_finite_change_nothing() -> None:
    bad = batch(100, 1)
    flow = fresh()
    start = weights(flow)
    poisoned = TrainingRows(torch.full_like(bad.features, torch.inf), bad.context, bad.missing)
    fit_flow(flow, poisoned, bad, SMALL, 0)
    assert torch.equal(weights(flow), start)


def contaminated(n: int, seed: int, share: float) -> TrainingRows:
    """The known mixture in two dimensions, and a tight cluster beside it in place of a share of the rows."""
    rows, g = mixture(n, seed), np.random.default_rng(seed + 100)
    bad = g.random(n) < share
    rows[bad] = np.array([3.5, -2.5]) + 0.1 * g.standard_normal((int(bad.sum()), 2))
    features = torch.from_numpy(rows / 2.0)
    return TrainingRows(features, torch.zeros(n, 2), torch.zeros(n, 2, dtype=torch.bool))


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_a_stated_share_of_contamination_is_not_learnt(share: float) -> None:
    train, valid = contaminated(4_000, 1, share), contaminated(800, 2, share)
    clean, cluster = contaminated(3_000, 3, 0.0), contaminated(500, 4, 1.0)
    likely, clean_nats = {}, {}
    for stated in (0.0, share):
        flow = FLOWS["maf"](2, 2, torch.Generator().manual_seed(0), blocks=3, hidden=32)
        fit_flow(flow, train, valid, TrainConfig(max_steps=800, check_every=50, contamination=stated), 0)
        with torch.no_grad():
            normal, odd = (flow.log_prob(part.features, part.context) for part in (clean, cluster))
        clean_nats[stated], likely[stated] = (
            float(normal.mean()),
            float((odd > torch.quantile(normal, 0.01)).float().mean()),
        )
    assert likely[0.0] > 0.9, "untrimmed, the cluster is as likely as anything"
    assert likely[share] < 0.05
    assert clean_nats[share] > clean_nats[0.0] - 0.05, "held-out nats of clean rows, at no cost"


def test_trimming_counts_what_chance_may_put_into_a_batch() -> None:
    assert [trimmed(256, share) for share in (0.0, 0.05, 0.1)] == [0, 20, 36]
    values = torch.tensor([1.0, float("nan"), 3.0, -50.0])
    assert float(upper_mean(values, 2)) == 2.0
    with pytest.raises(ValueError, match=r"contamination is 0\.5"):
        TrainConfig(contamination=0.5)


def test_the_schedule_rises_and_falls_whatever_its_length() -> None:
    for steps in (1, 2, 3, 4, 10, 1_500):
        rates = [one_cycle(step, steps) for step in range(steps)]
        assert all(0 < rate <= 1 for rate in rates)
        assert steps < 10 or (max(rates) > 0.9 and rates[-1] < 1e-3)
