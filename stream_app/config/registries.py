"""Names of the registries that a configuration may choose from.

They are written down here as well as in the registries, so that reading a configuration imports neither torch nor any
stage; ``tests/config/test_registries.py`` holds both to each other.
"""

from __future__ import annotations

from typing import Literal

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
IsolationLevel = Literal["read_committed", "read_uncommitted"]
SaslMechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
EventFormat = Literal["json", "float32", "msgpack", "avro"]
PolicyName = Literal["lenient", "strict", "text"]
UnicodeForm = Literal["NFC", "NFKC", ""]
DetectorName = Literal[
    "variation",
    "location",
    "dependence",
    "scale",
    "likelihood",
    "categories",
    "unit",
    "missing",
    "stuck",
    "intake",
    "silence",
    "volume",
    "adwin",
    "page_hinkley",
    "kswin",
]
FlowName = Literal["maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "mixture", "ensemble"]
EngineName = Literal["auto", "fused", "torchscript", "exported", "onnx", "int8", "cuda"]
DistanceName = Literal["columns", "mixture", "base"]
MapName = Literal["standard", "robust", "log", "asinh", "quantile"]
ContextKind = Literal["hour", "weekday", "season", "slice"]
LevelName = Literal["fixed", "adaptive"]
SinkName = Literal["sqlite", "influx"]
StoreName = Literal["files", "kafka"]

EPOCHS: dict[str, tuple[int, int]] = {
    "epoch_s": (1_000, 1),
    "epoch_ms": (1, 1),
    "epoch_us": (1, 1_000),
    "epoch_ns": (1, 1_000_000),
}
"""``event.time_format`` of times in numbers, since 1970, to what makes milliseconds of them: times, divided by."""

DETECTOR_KINDS: dict[str, Literal["drift", "fault"]] = {
    "location": "drift",
    "scale": "drift",
    "dependence": "drift",
    "likelihood": "drift",
    "categories": "drift",
    "variation": "drift",
    "unit": "fault",
    "missing": "fault",
    "stuck": "fault",
    "intake": "fault",
    "volume": "fault",
    "silence": "fault",
    "adwin": "drift",
    "page_hinkley": "drift",
    "kswin": "drift",
}
"""Detector name to what it finds: drift (the world has changed), or a fault of the data, which asks for no model."""

_HOLD = (1, 100_000)
SPOILING = frozenset({"unit", "missing", "stuck"})
"""Faults of values: while one is found on a slice, drift there asks for no model, which would learn the fault."""

DETECTOR_OPTIONS: dict[str, dict[str, tuple[float, float]]] = {
    "adwin": {"delta": (1e-9, 0.999), "hold": _HOLD},
    "page_hinkley": {"delta": (0, 1e6), "threshold": (1e-6, 1e9), "hold": _HOLD},
    "kswin": {"alpha": (1e-9, 0.999), "window": (10, 10_000), "hold": _HOLD},
}
"""Detectors that make no evidence, and stand alone in a rule, to what ``rules.*.options`` may hold, from and to."""

PRIVATE_FLOWS = frozenset({"maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "ensemble"})
"""Flows whose gradients of single rows are known: those that ``privacy.enabled`` can train."""
