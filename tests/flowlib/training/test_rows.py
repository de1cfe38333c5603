"""Rows of training: noise where it belongs, cells, and one set after the other."""

from __future__ import annotations

import torch

from flowlib.training import TrainingRows

FEATURES = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
CONTEXT = torch.tensor([[0.0], [1.0], [2.0]])
MISSING = torch.tensor([[False, False], [False, True], [False, False]])
CELLS = torch.stack((FEATURES - 0.5, FEATURES + 0.5))
CODES = torch.tensor([0, 1, 2])


def test_observed_values_are_blurred_and_gaps_are_filled() -> None:
    rows = TrainingRows(FEATURES, CONTEXT, MISSING)
    normal = torch.tensor([[1.0, -1.0], [2.0, 7.0]])
    noisy = rows.noisy(torch.tensor([0, 1]), 0.1, normal, None)
    torch.testing.assert_close(noisy, torch.tensor([[0.1, 0.9], [2.2, 7.0]]))
    assert rows.draws(2, torch.Generator().manual_seed(0))[1] is None


def test_rounded_values_lie_anywhere_in_their_cells() -> None:
    rows = TrainingRows(FEATURES, CONTEXT, MISSING, CELLS)
    normal, uniform = rows.draws(3, torch.Generator().manual_seed(0))
    assert uniform is not None
    noisy = rows.noisy(slice(None), 0.0, normal, uniform)
    expected = torch.where(MISSING, normal, FEATURES - 0.5 + uniform)
    torch.testing.assert_close(noisy, expected)


def test_sets_are_joined_in_every_part() -> None:
    whole = TrainingRows(FEATURES, CONTEXT, MISSING, CELLS, CODES)
    first, last = (
        TrainingRows(FEATURES[part], CONTEXT[part], MISSING[part], CELLS[:, part], CODES[part])
        for part in (slice(0, 1), slice(1, 3))
    )
    joined = first.joined(last)
    assert len(joined) == 3
    for name, part in vars(whole).items():
        assert torch.equal(getattr(joined, name), part), name
    plain = TrainingRows(FEATURES, CONTEXT, MISSING)
    assert plain.joined(plain).cells is plain.joined(plain).codes is None
