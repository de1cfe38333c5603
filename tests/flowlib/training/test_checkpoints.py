"""Checkpoints: a run that goes on from one ends in the same weights; others are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from flowlib.training import Checkpoint, OtherRun, fit_flow
from tests.flowlib.training.cases import SMALL, batch, fresh, weights


@pytest.mark.parametrize("contamination", [0.0, 0.1])
def test_a_run_resumed_from_any_checkpoint_ends_in_the_same_weights(contamination: float) -> None:
    config = replace(SMALL, contamination=contamination, max_steps=60)
    rows = batch(300, 1), batch(100, 2)
    blobs: list[bytes] = []
    whole = fresh()
    best = fit_flow(whole, *rows, config, 0, keep=lambda checkpoint: blobs.append(checkpoint.to_bytes()))
    assert len(blobs) == 6
    for blob in blobs:
        again = fresh()
        assert fit_flow(again, *rows, config, 0, resume=Checkpoint.from_bytes(blob)) == best
        assert torch.equal(weights(again), weights(whole))


def test_a_checkpoint_of_another_run_is_refused() -> None:
    checkpoints: list[Checkpoint] = []
    fit_flow(fresh(), batch(200, 1), batch(100, 2), SMALL, 0, keep=checkpoints.append)
    for flow, train, config, seed in (
        (fresh(1), batch(200, 1), SMALL, 0),
        (fresh(), batch(200, 9), SMALL, 0),
        (fresh(), batch(200, 1), replace(SMALL, lr=1e-4), 0),
        (fresh(), batch(200, 1), SMALL, 1),
    ):
        start = weights(flow)
        with pytest.raises(OtherRun, match="start afresh"):
            fit_flow(flow, train, batch(100, 2), config, seed, resume=checkpoints[0])
        assert torch.equal(weights(flow), start)


def test_bytes_that_are_no_checkpoint_are_refused() -> None:
    checkpoints: list[Checkpoint] = []
    fit_flow(fresh(), batch(200, 1), batch(100, 2), SMALL, 0, keep=checkpoints.append)
    blob = checkpoints[-1].to_bytes()
    assert Checkpoint.from_bytes(blob).to_bytes() == blob
    altered = bytearray(blob)
    altered[len(blob) // 2] ^= 1
    for bad in (b"", blob[:10], blob[:-1], bytes(altered), b"XXXX" + blob[4:]):
        with pytest.raises(ValueError, match="start the training afresh"):
            Checkpoint.from_bytes(bad)
