"""Flows to test on: of every family, with weights away from their start."""

from __future__ import annotations

from functools import partial

from flowlib.checks import FlowMaker, example_flow
from flowlib.checks.examples import SPREAD
from flowlib.flows import FLOWS, Flow

NAMES = sorted(FLOWS)


def small(name: str, blocks: int = 3, hidden: int = 16) -> dict[str, int]:
    """Settings that keep a test short."""
    return {} if name == "mixture" else {"blocks": blocks, "hidden": hidden}


def family(name: str) -> FlowMaker:
    """A family with those settings."""
    return partial(FLOWS[name], **small(name))


def a_flow(name: str, d: int = 4, context: int = 3, spread: float = SPREAD) -> Flow:
    """A small, loosened flow in double precision."""
    return example_flow(family(name), d, context, spread)
