"""What a rule may say: every fault with its key, and what would be right."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from stream_app.config import Config, parse
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS, DetectorName
from tests.config.test_loading import MINIMAL, faults, merged

ONE_FAULT: list[tuple[dict[str, Any], str]] = [
    ({"rules": {"r": {"detectors": ["nope"]}}}, "rules.r.detectors"),
    ({"rules": {"r": {"detectors": []}}}, "rules.r.detectors"),
    ({"rules": {"r": {"detectors": ["scale", "scale"]}}}, "rules.r.detectors: each at most once"),
    ({"rules": {"r": {"detectors": ["scale", "missing"]}}}, "rules.r.detectors: drift and data faults in rules of"),
    ({"rules": {"r": {"detectors": ["scale", "adwin"]}}}, "rules.r.detectors: adwin makes no evidence"),
    ({"rules": {"r": {"detectors": ["stuck"], "retrain": True}}}, "rules.r.retrain: not with detectors of data faults"),
    ({"rules": {"r": {"resolve": 0.5}}}, "rules.r.detectors"),
    ({"rules": {"r": {"detectors": ["scale"], "resolve": 2.0}}}, "rules.r.resolve"),
    ({"rules": {"r": {"detectors": ["scale"], "resolve": 0.0}}}, "rules.r.resolve"),
    ({"rules": {"r": {"detectors": ["scale"], "resolve": float("nan")}}}, "rules.r.resolve"),
    ({"rules": {"r": {"detectors": ["scale"], "open": 20_000.0}}}, "rules.r.open: only of adwin and the like"),
    ({"rules": {"r": {"detectors": ["scale"], "open": "high"}}}, "rules.r.open"),
    ({"rules": {"r": {"detectors": ["scale"], "span": "2d"}}}, "rules.r.span"),
    ({"rules": {"r": {"detectors": ["scale"], "slicing": ["zz"]}}}, "rules.r.slicing"),
    ({"rules": {"r": 1}}, "rules.r"),
    ({"rules": {"intake": {"detectors": ["scale"]}}}, "rules.intake: the rule of what becomes of events"),
    ({"rules": {"log": {"detectors": ["scale"]}}}, "rules.log: the rule of what a topic has lost"),
    ({"rules": {"r": {"detectors": ["scale"], "options": {"hold": 3}}}}, "rules.r.options.hold: unknown option"),
    ({"rules": {"r": {"detectors": ["adwin"], "options": {"x": 3}}}}, "rules.r.options.x"),
    (
        {"rules": {"r": {"detectors": ["kswin"], "options": {"window": 3}}}},
        "rules.r.options.window: a number from 10 to 10000, got 3",
    ),
    (
        {"rules": {"r": {"detectors": ["adwin"], "options": {"delta": float("nan")}}}},
        "rules.r.options.delta: a number from",
    ),
    ({"rules": {"r": {"detectors": ["scale"], "open": float("nan")}}}, "rules.r.open"),
    ({"rules": {"r": {"detectors": ["kswin"], "open": 1.5}}}, "rules.r.open: with kswin above 0 and 1 at most"),
    ({"rules": {"r": {"detectors": ["kswin"], "open": float("nan")}}}, "rules.r.open: with kswin above 0"),
]


@pytest.mark.parametrize(("change", "fault"), ONE_FAULT, ids=[f"{i}-{fault}" for i, (_, fault) in enumerate(ONE_FAULT)])
def test_a_fault_is_reported_with_its_key(change: dict[str, Any], fault: str) -> None:
    (found,) = faults(change)
    assert found.startswith(fault)


def rules(**rules: Any) -> Config:
    return parse(merged(MINIMAL, {"rules": rules}))


def test_the_default_rules_look_for_everything_and_ask_for_models_of_drift_alone() -> None:
    config = parse(MINIMAL)
    assert set(config.rules) == {"drift", "fault"}
    used = [name for rule in config.rules.values() for name in rule.detectors]
    assert sorted(used) == sorted(set(get_args(DetectorName)) - DETECTOR_OPTIONS.keys())
    for name, rule in config.rules.items():
        assert {DETECTOR_KINDS[detector] for detector in rule.detectors} == {name}
        assert rule.retrain == (name == "drift")
        assert (rule.open, rule.resolve) == (1.0, 1e-4)


@pytest.mark.parametrize("name", get_args(DetectorName))
def test_every_detector_may_stand_alone(name: str) -> None:
    made = rules(r={"detectors": [name]})
    assert made.rules["r"].detectors == [name]


def test_every_kind_of_drift_or_of_fault_may_stand_together() -> None:
    for kind in ("drift", "fault"):
        together = [name for name, of in DETECTOR_KINDS.items() if of == kind and name not in DETECTOR_OPTIONS]
        assert rules(r={"detectors": together}).rules["r"].detectors == together
