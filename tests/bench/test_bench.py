"""What the quality benchmarks rest on: true densities, fair cases, intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.bench import carry, evasion, peers, quality
from tests.bench.adbench import ANOMALIES_MIN, ROWS_MAX, Case, load_case, set_names
from tests.bench.density_sets import KNOWN
from tests.bench.injected import JOINS, anomalies, injected_scores
from tests.bench.quality import half_width


@pytest.mark.parametrize("name", ["banana", "ring"])
def test_known_densities_integrate_to_one(name: str) -> None:
    grid = np.linspace(-7, 14, 1_201)
    x = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2) + 1e-9
    mass = np.exp(KNOWN[name]().log_prob(x)).sum() * (grid[1] - grid[0]) ** 2
    assert abs(mass - 1) < 1e-3


def test_known_densities_are_those_of_scipy() -> None:
    for name, law in (
        ("heavy_tails", stats.multivariate_t(np.zeros(4), np.eye(4), 3).logpdf),
        ("lognormal", lambda x: stats.lognorm(1.2).logpdf(x).sum(axis=1)),
        (
            "gaussian",
            stats.multivariate_normal(np.zeros(8), 0.9 ** np.abs(np.subtract.outer(range(8), range(8)))).logpdf,
        ),
    ):
        known = KNOWN[name]()
        x = known.draw(50, np.random.default_rng(3))
        np.testing.assert_allclose(known.log_prob(x), law(x), atol=1e-8)


@pytest.mark.parametrize("name", KNOWN)
def test_draws_follow_their_density(name: str) -> None:
    """Mean of q/p over draws from p is 1 for any density q: here p itself moved by a tenth of a deviation."""
    known = KNOWN[name]()
    x = known.draw(20_000, np.random.default_rng(4))
    assert np.isfinite(known.log_prob(x)).all()
    if name in ("rounded", "lognormal"):  # a moved one has other support
        return
    moved = x + 0.1 * np.minimum(x.std(axis=0), 1.0) * (0.3 if name in ("mixture", "ring") else 1.0)
    ratio = np.exp(known.log_prob(moved) - known.log_prob(x))
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(len(x)) + 0.01


def stored(folder: Path, n: int, anomalies: int) -> Path:
    (folder / "adbench").mkdir()
    g = np.random.default_rng(0)
    y = np.zeros(n, int)
    y[:anomalies] = 1
    np.savez(folder / "adbench" / "7_toy.npz", X=g.normal(3, 2, (n, 2)) + 5 * y[:, None], y=y)
    return folder


def test_cases_are_cut_split_and_repeated(tmp_path: Path) -> None:
    folder = stored(tmp_path, 12_000, 50)
    assert set_names(folder) == ["toy"]
    clean, again = (load_case(folder, "toy", "normals", 1) for _ in range(2))
    np.testing.assert_array_equal(clean.test, again.test)
    assert len(clean.train) + len(clean.test) == ROWS_MAX
    assert clean.anomalous.sum() == max(ANOMALIES_MIN, 42)
    assert abs(clean.train.mean()) < 1e-9
    assert clean.train.max() < clean.test[clean.anomalous].max()
    everything = load_case(folder, "toy", "unsupervised", 1)
    assert everything.train is everything.test
    with pytest.raises(ValueError, match="unknown setting"):
        load_case(folder, "toy", "both", 1)
    with pytest.raises(FileNotFoundError, match="adbench"):
        set_names(folder / "nowhere")


def test_intervals_are_those_of_student() -> None:
    values = np.array([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2)
    assert half_width(values[:1]) is None


def test_evasion_is_measured_by_kind_flow_and_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evasion, "BUDGETS", (0.25, 0.5))
    monkeypatch.setattr(evasion, "_STEPS_MAX", 30)
    monkeypatch.setattr(evasion, "_ROWS_MAX", 30)
    found = evasion.measure(stored(tmp_path, 600, 30), sets=["toy"], flows=["maf"], progress=lambda _: None)
    assert [(row["kind"], row["budget"]) for row in found["means"]] == [
        (kind, budget) for kind in (evasion.LABELLED, evasion.FAULTY) for budget in (0.25, 0.5)
    ]
    for row in found["means"]:
        assert row["before"] <= row["after"] <= 1.0
    assert evasion.markdown(found).count("\n") == 3 + len(found["means"])


def test_injected_anomalies_are_of_their_kinds_and_found() -> None:
    g = np.random.default_rng(0)
    x = g.standard_normal((900, 1)) + 0.3 * g.standard_normal((900, 3))
    made = anomalies(x, np.random.default_rng(1), 200)
    assert all(rows.shape == (200, 3) and np.isfinite(rows).all() for rows in made.values())
    here = {column.tobytes() for column in x.T[:, :, None].reshape(3, -1, 1)[0]}
    assert all(value.tobytes() in here for value in made["dependency"][:, :1]), "each column alone is as it was"
    assert abs(np.corrcoef(made["dependency"].T)[0, 1]) < 0.3 < np.corrcoef(x.T)[0, 1]
    found = injected_scores(x, ("standard",), 0)
    assert found == injected_scores(x, ("standard",), 0)
    assert list(found) == list(JOINS)
    assert all(0.8 < score < 1.0 for score in found.values())


def test_what_carries_over_is_measured_on_sets_that_chose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, 400, 40)
    (tmp_path / "adbench" / "8_other.npz").write_bytes((tmp_path / "adbench" / "7_toy.npz").read_bytes())
    monkeypatch.setattr(carry, "CANDIDATES", {"standard": ("standard",), "asinh": ("asinh",)})
    monkeypatch.setattr(carry, "SHARES", (0.0, 0.1))
    monkeypatch.setattr(carry, "PEERS", ("gmm",))
    found = carry.measure(tmp_path, lambda _: None)
    assert len(found["left out"]["all sets"]) == 2 * len(JOINS)
    assert sum(found["left out"]["picks"].values()) == carry.SPLITS
    assert found["contamination"].keys() == {"0%", "10%"}
    assert all(0.5 < of["ours"][0] <= 1.0 for of in found["contamination"].values())
    case = load_case(tmp_path, "toy", "normals", 0)
    mixed = carry.contaminated(case, 0.1)
    assert len(mixed.train) - len(case.train) == len(case.test) - len(mixed.test) == case.anomalous.sum() // 2
    assert "rank correlation" in carry.markdown(found)


def test_what_is_best_on_half_of_the_sets_is_judged_on_the_others() -> None:
    names, keys = [f"s{i}" for i in range(6)], ["other", carry.DEFAULT, "best"]
    truth = {s: {n: {k: (0.5 + 0.1 * i, 0.1 * i) for i, k in enumerate(keys)} for n in names} for s in carry.SETTINGS}
    injected = {s: {n: {k: float(k == "other") for k in keys} for n in names} for s in carry.SETTINGS}
    beside = {s: {n: {"gmm": (0.55, 0.2)} for n in names} for s in carry.SETTINGS}
    found = carry._left_out(truth, injected, beside, names)
    assert found["picks"] == {"best": carry.SPLITS}
    means = {name: row["mean"][0] for name, row in found["rows"].items()}
    assert means["chosen on the others"] == pytest.approx([0.7, 0.2])
    assert means["the default"] == pytest.approx([0.6, 0.1])
    assert means["chosen by injected anomalies"] == pytest.approx([0.5, 0.0])
    assert means["gmm"] == pytest.approx([0.55, 0.2])


def test_dte_np_is_the_mode_of_its_law_and_takes_rows_as_the_paper_does() -> None:
    """Held to scipy's inverse gamma law, and to the order of the mean squared distance to five neighbours."""
    g = np.random.default_rng(5)
    train, test = g.standard_normal((300, 3)), np.vstack([g.standard_normal((40, 3)), np.full((1, 3), 9.0)])
    case = Case("toy", "normals", 0, train, test, np.arange(41) == 40)
    m = np.sort(((test[:, None] - train[None]) ** 2).sum(axis=2), axis=1)[:, :5].mean(axis=1)
    variance = 1 - np.cumprod(1 - np.linspace(1e-4, 0.01, 300))
    wanted = [stats.invgamma.logpdf(variance, a=0.5, scale=one / 2).argmax() for one in m]
    found = peers.PEERS["dte_np"](case)
    np.testing.assert_array_equal(found, wanted)
    assert found[-1] == 299
    assert (np.diff(found[np.argsort(m)]) >= 0).all()


def test_a_fit_and_its_scores_are_timed_apart_and_kept(tmp_path: Path) -> None:
    folder = stored(tmp_path, 400, 40)
    found = [
        quality.measure(folder, seeds=2, contenders=["gmm", "dte_np", "icl"], cache=tmp_path, progress=lambda _: None)
        for _ in range(2)
    ]
    assert found[0] == found[1], "the second run takes scores and times from the cache"
    for cell in found[0]["cells"]:
        assert all(cell[key] >= 0 for key in quality.TIMES)
    for sets in found[0]["sets"].values():
        assert sets["toy"]["gmm"]["fit_s"] > 0
    assert set(found[0]["missing"]) <= {"icl"}
    text = quality.markdown(found[0])
    assert "processor seconds of a fit" in text
    assert text.count("| dte_np |") == 4
