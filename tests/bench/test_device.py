"""What a device needs is counted as PyTorch's own operations count it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from flowlib.flows import FLOWS, Flow
from tests.bench import device

CONTEXT = 3


class Called(TorchDispatchMode):
    """Numbers that come out of each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.numbers[name] = self.numbers.get(name, 0) + (out.numel() if isinstance(out, torch.Tensor) else 0)
        return out


def flow_of(family: str, d: int) -> Flow:
    flow = FLOWS[family](d, CONTEXT, torch.Generator().manual_seed(0)).eval()
    for parameter in flow.parameters():
        parameter.data.fill_(1.0)
    return flow


@pytest.mark.parametrize("d", [5, 20])
@pytest.mark.parametrize("family", device.FAMILIES)
def test_counts_are_those_of_pytorch(family: str, d: int) -> None:
    flow = flow_of(family, d)
    found, row = device.counts(flow), (torch.zeros(1, d), torch.zeros(1, CONTEXT))
    with torch.no_grad(), FlopCounterMode(display=False) as flops, Called() as called:
        for one in flow.each or [flow]:
            one(*row)
    assert found["products"] == flops.get_total_flops() // 2
    assert found["weights"] == 4 * sum(parameter.numel() for parameter in flow.parameters())
    baked = [layer for layer in flow.bake().modules() if isinstance(layer, torch.nn.Linear)]
    assert found["seen"] == sum(int(torch.count_nonzero(layer.weight)) for layer in baked)
    widest = max(layer.in_features + layer.out_features for layer in baked)
    assert found["arrays"] == 4 * (2 * d + CONTEXT + widest)
    numbers = called.numbers
    affine, in_splits = numbers["tanh"], numbers.get("softplus", 0)
    # PyTorch takes the softplus of all inner slopes and three logs, the kernel two softplus and one log of a feature.
    transformed = in_splits // 7
    assert numbers.get("_softmax", 0) == 16 * transformed
    assert found["calls"] == 2 * affine + 16 * transformed + (2 * 2 + 1) * transformed


def test_a_device_is_told_what_int8_costs() -> None:
    shares = {"share": 0.012, "share_low": 0.008, "share_high": 0.017, "share_model": 0.01, "p_worst": 0.04}
    prices = {
        "of": {"bytes": 50_000, "one_us": 30.0, "many_us": 30.0},
        "beside": {"bytes": 100_000, "one_us": 20.0, "many_us": 1.0},
        "beside_us": {"fused": [3.0, 0.2]},
    }
    what = {"dataset": "toy", "family": "maf", "d": 3}
    rows = [
        {**what, "nats_mean": 0.03, "nats_worst": 0.4, **shares, **prices},
        {**what, "refused": "int8 is 0.2 nats off on average"},
    ]
    flow = flow_of("maf", 5)
    table = [{"family": "maf", "d": 5, **device.counts(flow), "one_us": 3.0, "many_us": 0.2}]
    text = device.markdown({"table": table, "int8": rows})
    cells = (
        "| 50 (100) | 0.030 (0.40) | 1.2% (0.8%–1.7%), 1.0% | 0.040 | int8 30 (30.0); ONNX 20 (1.0); fused 3 (0.2) |"
    )
    assert cells in text
    assert "| maf, toy (D = 3) | int8 is 0.2 nats off on average |" in text
