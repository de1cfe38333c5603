"""Names of the registries that a configuration may choose from.

They are written down here as well as in the registries, so that reading a configuration imports neither torch nor any
stage; ``tests/config/test_registries.py`` holds both to each other.
"""

from __future__ import annotations

from typing import Literal

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
EventFormat = Literal["json"]
DetectorName = Literal["adwin", "likelihood", "missing", "pit"]
FlowName = Literal["maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "mixture", "ensemble"]
EngineName = Literal["auto", "fused", "torchscript", "exported", "onnx", "int8", "cuda"]
DistanceName = Literal["columns", "base"]
ContextKind = Literal["hour", "weekday", "slice"]
SinkName = Literal["sqlite", "influx"]

DETECTOR_OPTIONS: dict[str, frozenset[str]] = {
    "adwin": frozenset({"delta", "hold"}),
    "likelihood": frozenset({"block_hours", "tail"}),
    "missing": frozenset(),
    "pit": frozenset({"dependence"}),
}
"""Detector name to what ``rules.*.options`` may hold."""

PRIVATE_FLOWS = frozenset({"maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "ensemble"})
"""Flows whose gradients of single rows are known: those that ``privacy.enabled`` can train."""
