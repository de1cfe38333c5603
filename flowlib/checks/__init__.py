"""Checks for flow families and engines: flowlib's own pass them, and a new one should.

::

    check_flow(MyFlow)                       # a class, or another callable of (d, context, generator)
    check_engine(make_engine, flow.eval())   # make_engine(flow) -> Engine

Each raises AssertionError with a sentence on the first fault. Their parts, :data:`FLOW_CHECKS` and
:data:`ENGINE_CHECKS`, can be run one by one, as a parametrised test does.
"""

from flowlib.checks.engines import ENGINE_CHECKS, check_engine
from flowlib.checks.examples import FlowMaker, example_batch, example_flow, loosened
from flowlib.checks.flows import FLOW_CHECKS, check_flow

__all__ = [
    "ENGINE_CHECKS",
    "FLOW_CHECKS",
    "FlowMaker",
    "check_engine",
    "check_flow",
    "example_batch",
    "example_flow",
    "loosened",
]
