"""What a smaller form of a model costs: figures, and when it is said not to pay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowlib.cost import Price, cost_of, seconds
from flowlib.engines.onnx import graph_of, quantize
from flowlib.errors import EngineError
from flowlib.intervals import wilson
from tests.conftest import need

MODEL = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.005, 0.5, 0.6, 0.7])
FORM = np.array([0.1, 1.0, 2.0, 2.7]), np.array([0.005, 0.009, 0.6, 0.7])
SMALL, LARGE = Price(100, 5.0, 5.0), Price(300, 5.0, 5.0)


def test_nats_and_p_values_are_compared_row_by_row() -> None:
    cost = cost_of(MODEL, FORM, SMALL, LARGE)
    assert (cost.rows, cost.nats_mean, cost.nats_worst) == (4, pytest.approx(0.1), pytest.approx(0.3))
    assert (cost.share, cost.share_model, cost.p_worst) == (0.5, 0.25, pytest.approx(0.491))
    assert (cost.share_low, cost.share_high) == tuple(map(float, wilson(2, 4)))
    with pytest.raises(ValueError, match="no row"):
        cost_of((MODEL[0][:0], MODEL[1][:0]), (FORM[0][:0], FORM[1][:0]), SMALL, LARGE)


def test_what_does_not_pay_is_said_with_each_reason() -> None:
    fair = cost_of(MODEL, FORM, SMALL, LARGE)
    assert fair.against == []
    assert fair.says[-1] == "it pays where bytes are short"
    slow = replace(fair, of=Price(250, 10.0, 20.0), share_model=0.01)
    assert slow.says[-1] == (
        "it hardly pays: it is not 1.5 times smaller; a row alone takes 2.0 times as long; rows that come together "
        "take 4.0 times as long; its p-values are not what they were calibrated to be"
    )
    assert slow.to_state()["against"] == slow.against


def test_the_fastest_block_counts() -> None:
    now, calls = [0.0], iter(range(10_000))

    def call() -> None:
        now[0] += 0.004 if next(calls) % 3 else 0.002

    assert seconds(call, lambda: now[0]) == pytest.approx(0.002)


def test_a_graph_without_matrix_products_is_refused_in_int8() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package)
    import torch

    graph = graph_of(torch.nn.ReLU(), (torch.zeros(1, 2),), ("x",), ("y",), fixed=True)
    with pytest.raises(EngineError, match="this flow has none: leave int8 out"):
        quantize(graph)
