"""What the types of the configuration cannot say: names that must exist, numbers that must fit each other."""

from __future__ import annotations

import importlib.util
import math
import re
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from stream_app.config.settings import Config, EventConfig, KafkaConfig, RuleConfig

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def faults_of(config: Config) -> list[str]:
    """Every fault, each with its key and what would be right."""
    return [
        *_kafka_faults(config.kafka),
        *_event_faults(config.event),
        *_window_faults(config),
        *_rule_faults(config),
        *_privacy_faults(config),
        *_other_faults(config),
    ]


def _kafka_faults(kafka: KafkaConfig) -> list[str]:
    faults = []
    if kafka.security_protocol not in _PROTOCOLS:
        faults.append(f"kafka.security_protocol: one of {', '.join(_PROTOCOLS)}, got {kafka.security_protocol!r}")
    if kafka.security_protocol.startswith("SASL"):
        if kafka.sasl_mechanism not in _MECHANISMS:
            faults.append(f"kafka.sasl_mechanism: one of {', '.join(_MECHANISMS)}, got {kafka.sasl_mechanism!r}")
        if not kafka.sasl_username:
            faults.append("kafka.sasl_username: needed with a SASL protocol")
        if not (kafka.sasl_password_env or kafka.sasl_password_file):
            faults.append("kafka.sasl_password_env or kafka.sasl_password_file: needed with a SASL protocol")
    for address in kafka.bootstrap:
        if not re.fullmatch(r"(.+):(\d{1,5})", address):
            faults.append(f'kafka.bootstrap: expected "host:port", got {address!r}')
    return faults


def _event_faults(event: EventConfig) -> list[str]:
    from stream_app.stages.score.decoding import FORMATS

    faults = []
    if event.format not in FORMATS:
        faults.append(f"event.format: one of {', '.join(sorted(FORMATS))}, got {event.format!r}")
    if event.time_format not in ("iso8601", "epoch_ms", "epoch_s") and "%" not in event.time_format:
        faults.append(f"event.time_format: iso8601, epoch_ms, epoch_s or a strptime pattern, got {event.time_format!r}")
    names = [*event.numeric, *event.categorical]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(f"event.numeric / event.categorical: {name!r} is listed twice")
    if event.time_field in {*names, *(name for fields in event.slicings for name in fields)}:
        faults.append(f"event.time_field: {event.time_field!r} is also a feature or a slicing field")
    if event.id_field and event.id_field in (event.time_field, *event.numeric):
        faults.append(f"event.id_field: {event.id_field!r} is also the time field or a number; use a field of its own")
    if len({"+".join(fields) for fields in event.slicings}) < len(event.slicings):
        faults.append("event.slicings: each slicing once")
    try:
        ZoneInfo(event.timezone)
    except (KeyError, ValueError, OSError):
        faults.append(f"event.timezone: expected a zone such as 'Europe/Berlin', got {event.timezone!r}")
    return faults


def _window_faults(config: Config) -> list[str]:
    windows, faults = config.windows, []
    if windows.pane < 1_000:
        faults.append(f'windows.pane: at least "1s", got {int(windows.pane)} ms')
    for span in windows.spans:
        if windows.pane and (span % windows.pane or not span):
            faults.append(f"windows.spans: {int(span)} ms is not a whole number of panes of {int(windows.pane)} ms")
    if list(windows.spans) != sorted(set(windows.spans)):
        faults.append("windows.spans: list them shortest first, each once")
    most = int(windows.max_open_panes)
    if windows.pane and windows.lateness // windows.pane + 2 > most:
        faults.append(
            f"windows.lateness: keeps more than windows.max_open_panes ({most}) panes open; shorten it or raise that"
        )
    return faults


def _rule_faults(config: Config) -> list[str]:
    faults = []
    for name, rule in config.rules.items():
        faults += _detector_faults(name, rule)
        if not (math.isfinite(rule.open) and math.isfinite(rule.resolve)):
            faults.append(f"rules.{name}.open and .resolve: finite numbers, got {rule.open} and {rule.resolve}")
        elif rule.resolve > rule.open:
            faults.append(f"rules.{name}.resolve: must not be above open ({rule.open}), got {rule.resolve}")
        if rule.span is not None and rule.span not in config.windows.spans:
            faults.append(f"rules.{name}.span: must be one of windows.spans")
        if rule.slicing is not None and rule.slicing not in config.event.slicings:
            faults.append(f"rules.{name}.slicing: {rule.slicing} is not one of event.slicings")
    return faults


def _detector_faults(name: str, rule: RuleConfig) -> list[str]:
    from stream_app.stages.watch.detectors import DETECTORS

    if rule.detector not in DETECTORS:
        return [f"rules.{name}.detector: one of {', '.join(sorted(DETECTORS))}, got {rule.detector!r}"]
    known, faults = DETECTORS[rule.detector].options, []
    for option, value in rule.options.items():
        if option not in known:
            says = f"known here: {', '.join(sorted(known))}" if known else f"{rule.detector} has none"
            faults.append(f"rules.{name}.options.{option}: unknown option; {says}")
        elif not math.isfinite(value):
            faults.append(f"rules.{name}.options.{option}: a finite number, got {value}")
    return faults


def _privacy_faults(config: Config) -> list[str]:
    privacy, faults = config.privacy, []
    if not privacy.enabled:
        return []
    if privacy.epsilon > privacy.epsilon_budget:
        faults.append(
            f"privacy.epsilon: above privacy.epsilon_budget ({privacy.epsilon_budget:g}), no training would fit it"
        )
    if importlib.util.find_spec("dp_accounting") is None:
        faults.append("privacy.enabled: needs an accountant: pip install 'driftflow[private]'")
    if config.model.contamination:
        faults.append(
            "model.contamination: must be 0 with privacy.enabled: which rows are trimmed depends on all others"
        )
    if "slice" in config.model.context:
        faults.append(
            'model.context: without "slice" with privacy.enabled: the table of slices is trained on their rows'
        )
    return faults + _private_flow_faults(config.model.flow)


def _private_flow_faults(name: str) -> list[str]:
    """A flow whose gradients of single rows are not known is found at the start, not at the first retrain."""
    import torch

    from flowlib.flows import FLOWS
    from flowlib.privacy.clipping import layers_of

    try:
        if name in FLOWS:
            layers_of(FLOWS[name](2, 2, torch.Generator().manual_seed(0)))
    except ValueError as error:
        return [f"model.flow: {error}"]
    return []


def _other_faults(config: Config) -> list[str]:
    from flowlib.density import DISTANCES
    from flowlib.engines import ENGINES
    from flowlib.flows import FLOWS
    from stream_app.sinks import SINKS

    faults = []
    if config.sink.kind not in SINKS:
        faults.append(f"sink.kind: one of {', '.join(sorted(SINKS))}, got {config.sink.kind!r}")
    if config.model.flow not in FLOWS:
        faults.append(f"model.flow: one of {', '.join(sorted(FLOWS))}, got {config.model.flow!r}")
    if config.model.engine not in ("auto", *ENGINES):
        faults.append(f"model.engine: one of auto, {', '.join(ENGINES)}, got {config.model.engine!r}")
    if config.model.distance not in DISTANCES:
        faults.append(f"model.distance: one of {', '.join(DISTANCES)}, got {config.model.distance!r}")
    faults += _encoder_faults(config)
    if not 0 <= config.console.port < 65_536:
        faults.append(f"console.port: 0 to 65535, got {config.console.port}")
    return faults


def _encoder_faults(config: Config) -> list[str]:
    from flowlib.encoder.context import KINDS

    model, faults = config.model, []
    if set(model.context) - set(KINDS) or len(set(model.context)) < len(model.context):
        faults.append(f"model.context: each of {', '.join(KINDS)} at most once, got {', '.join(model.context)}")
    if "slice" in model.context and not config.event.slicings[0]:
        faults.append(
            'model.context: "slice" needs fields in the first of event.slicings; without them all are one slice'
        )
    if model.embedding > 64:
        faults.append(f"model.embedding: 1 to 64, got {model.embedding}")
    return faults
