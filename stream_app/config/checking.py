"""What the types of the configuration cannot say: settings that must fit each other."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from stream_app.config.event import EventConfig
from stream_app.config.field_names import literal
from stream_app.config.formats import format_faults
from stream_app.config.model import ModelConfig
from stream_app.config.monitor import MonitorConfig
from stream_app.config.notify_checking import notify_faults
from stream_app.config.registries import DETECTOR_KINDS, DETECTOR_OPTIONS, EPOCHS, PRIVATE_FLOWS
from stream_app.config.settings import Config, KafkaConfig, RuleConfig, SinkConfig, WorkerConfig

_UNIT_MAX = 40
_UNREAD = re.compile(r'["\\\x00-\x1f]')
"""What typed readers of JSON take in no name."""


def faults_of(config: Config) -> list[str]:
    """Every fault, each with its key and what would be right."""
    return [
        *_event_faults(config.event),
        *format_faults(config),
        *_kafka_faults(config.kafka),
        *_topic_faults(config),
        *_window_faults(config),
        *_rule_faults(config),
        *_map_faults(config.model),
        *_context_faults(config),
        *_privacy_faults(config),
        *_worker_faults(config.worker),
        *_sink_faults(config.sink),
        *_monitor_faults(config.monitor),
        *notify_faults(config.notify, [literal(name) for fields in config.event.slicings for name in fields]),
    ]


def _event_faults(event: EventConfig) -> list[str]:
    faults = []
    if event.time_format not in ("iso8601", *EPOCHS) and "%" not in event.time_format:
        known = ", ".join(("iso8601", *EPOCHS))
        faults.append(f"event.time_format: {known} or a strptime pattern, got {event.time_format!r}")
    elif "%" in event.time_format and (why := _pattern_fault(event.time_format)):
        faults.append(f"event.time_format: {why}")
    faults += _field_faults(event)
    try:
        ZoneInfo(event.timezone)
    except (KeyError, ValueError, OSError):
        faults.append(f"event.timezone: expected a zone such as 'Europe/Berlin', got {event.timezone!r}")
    return faults


def _field_faults(event: EventConfig) -> list[str]:
    """Two names are of one field where an event would have it under the same name: ``a.b`` and, escaped, ``a\\.b``."""
    faults, features = [], [literal(name) for name in (*event.numeric, *event.categorical)]
    slicing_fields = [name for fields in event.slicings for name in fields]
    named = [event.time_field, *event.numeric, *event.categorical, *slicing_fields, *event.key]
    if "" in named:
        faults.append("event: the name of a field is empty")
    for name in sorted({name for name in features if features.count(name) > 1}):
        faults.append(f"event.numeric / event.categorical: {name!r} is listed twice")
    read = dict.fromkeys(filter(None, [*event.numeric, *event.categorical, *slicing_fields, event.id_field]))
    for name, other in _of_one_field(read):
        faults.append(f"event: {name!r} and {other!r} are of one field: write its name in one way")
    for name in (event.time_field, *read):
        if _UNREAD.search(literal(name)):
            faults.append(f"event: {name!r} holds a quote, a backslash or a control character, which no name may")
    if literal(event.time_field) in {*features, *map(literal, slicing_fields)}:
        faults.append(f"event.time_field: {event.time_field!r} is also a feature or a slicing field")
    if event.id_field and event.id_field in (event.time_field, *event.numeric):
        faults.append(f"event.id_field: {event.id_field!r} is also the time field or a number; use a field of its own")
    if event.label_field and event.label_field not in event.categorical:
        faults.append(f"event.label_field: {event.label_field!r} is none of event.categorical")
    if len(set(map(tuple, event.slicings))) < len(event.slicings):
        faults.append("event.slicings: each slicing once")
    known = {*named, event.id_field, "*"} - {""}
    for name in sorted(event.policy.keys() - known):
        faults.append(f"event.policy: {name!r} is no field named here; known are {', '.join(sorted(known))}")
    numbers = {*event.numeric, "*"} | ({event.time_field} if event.time_format.startswith("epoch") else set())
    for name in sorted(name for name, policy in event.policy.items() if policy == "text" and name in known - numbers):
        faults.append(f"event.policy: {name!r} is no number, and only of numbers can it be said that they come as text")
    return faults + _telling_faults(event, known - {"*"})


def _of_one_field(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names that differ and mean the same, each with the first one of its field."""
    first: dict[str, str] = {}
    return [(first[literal(name)], name) for name in names if first.setdefault(literal(name), name) != name]


def _telling_faults(event: EventConfig, known: set[str]) -> list[str]:
    """What messages may say of fields, and in which unit."""
    faults, told = [], {event.time_field, *(name for fields in event.slicings for name in fields)}
    for name in sorted(set(event.sensitive)):
        if name not in known:
            faults.append(f"event.sensitive: {name!r} is no field named here; known are {', '.join(sorted(known))}")
        elif literal(name) in set(map(literal, told)):
            remedy = "its values are in every message; let the producer put a pseudonym in its place"
            faults.append(f"event.sensitive: {name!r} is the time or names slices: {remedy}")
    for name, unit in sorted(event.units.items()):
        if name not in event.numeric:
            numbers = ", ".join(sorted(event.numeric))
            faults.append(f"event.units: {name!r} is none of event.numeric; known are {numbers}")
        elif not 0 < len(unit) <= _UNIT_MAX:
            faults.append(f"event.units: of {name!r} 1 to {_UNIT_MAX} letters expected, got {len(unit)}")
    return faults


def _kafka_faults(kafka: KafkaConfig) -> list[str]:
    faults = []
    for address in kafka.bootstrap:
        match = re.fullmatch(r"(.+):(\d{1,5})", address)
        if not match or not 0 < int(match[2]) <= 65_535:
            faults.append(f'kafka.bootstrap: expected "host:port", got {address!r}')
    if kafka.security_protocol.startswith("SASL"):
        if not kafka.sasl_mechanism:
            faults.append("kafka.sasl_mechanism: needed with a SASL protocol")
        if not kafka.sasl_username:
            faults.append("kafka.sasl_username: needed with a SASL protocol")
        if not (kafka.sasl_password_env or kafka.sasl_password_file):
            faults.append("kafka.sasl_password_env or kafka.sasl_password_file: needed with a SASL protocol")
    return faults


def topic_names(config: Config) -> dict[str, str]:
    """The name of each of the nine topics; those that are not set are named after the stream."""
    kinds = ("events", "partials", "evidence", "signals", "actions", "models", "dead_letters", "decisions", "state")
    return {kind: getattr(config.topics, kind) or f"{config.stream}.{kind.replace('_', '-')}" for kind in kinds}


def _topic_faults(config: Config) -> list[str]:
    """Readers take all that stands on a topic for one kind of record."""
    first: dict[str, str] = {}
    return [
        f"topics.{kind}: a topic of its own, {name!r} is topics.{first[name]} already"
        for kind, name in topic_names(config).items()
        if first.setdefault(name, kind) != kind
    ]


def _pattern_fault(pattern: str) -> str:
    """What is wrong with a strptime pattern, or ""."""
    try:
        datetime.strptime("", pattern)
    except ValueError as error:
        if "does not match" not in str(error):
            return f"{error}, see strptime's directives"
    return ""


def _window_faults(config: Config) -> list[str]:
    windows, faults = config.windows, []
    if windows.pane < 1_000:
        faults.append(f'windows.pane: at least "1s", got {int(windows.pane)} ms')
    for span in windows.spans:
        if windows.pane and (span % windows.pane or not span):
            faults.append(f"windows.spans: {int(span)} ms is not a whole number of panes of {int(windows.pane)} ms")
    if list(windows.spans) != sorted(set(windows.spans)):
        faults.append("windows.spans: list them shortest first, each once")
    return faults


def _rule_faults(config: Config) -> list[str]:
    faults = []
    if "intake" in config.rules:
        faults.append("rules.intake: the rule of what becomes of events, see event.tolerated; use another name")
    if "model" in config.rules:
        faults.append("rules.model: the rule of what models in service do; use another name")
    if "log" in config.rules:
        faults.append("rules.log: the rule of what a topic has lost; use another name")
    for name, rule in config.rules.items():
        faults += _detector_faults(name, rule)
        if rule.slicing is not None and rule.slicing not in config.event.slicings:
            faults.append(f"rules.{name}.slicing: {rule.slicing} is not one of event.slicings")
    return faults


def _detector_faults(name: str, rule: RuleConfig) -> list[str]:
    detectors, faults = rule.detectors, []
    known = [detector for detector in detectors if detector in DETECTOR_KINDS]  # another one is a fault of its own
    kinds = {DETECTOR_KINDS[detector] for detector in known}
    if len(set(detectors)) < len(detectors):
        faults.append(f"rules.{name}.detectors: each at most once, got {', '.join(detectors)}")
    alone = [detector for detector in known if detector in DETECTOR_OPTIONS]
    if alone and len(detectors) > 1:
        faults.append(f"rules.{name}.detectors: {alone[0]} makes no evidence, give it a rule of its own")
    elif len(kinds) > 1:
        faults.append(f"rules.{name}.detectors: drift and data faults in rules of their own, got {', '.join(known)}")
    if alone == detectors and not 0.0 < rule.open <= 1.0:
        faults.append(f"rules.{name}.open: with {alone[0]} above 0 and 1 at most (its statistic is 0 or 1)")
    elif known and not alone and rule.open != 1.0:
        faults.append(f"rules.{name}.open: only of adwin and the like; see alerts.false_incidents_per_month")
    if rule.retrain and "fault" in kinds:
        faults.append(f"rules.{name}.retrain: not with detectors of data faults: a model would learn the fault")
    options = DETECTOR_OPTIONS[alone[0]] if alone else {}
    for option, value in rule.options.items():
        if known and option not in options:
            remedy = f"known here: {', '.join(sorted(options))}" if options else f"{known[0]} has none"
            faults.append(f"rules.{name}.options.{option}: unknown option; {remedy}")
        elif known and not options[option][0] <= value <= options[option][1]:
            low, high = options[option]
            faults.append(f"rules.{name}.options.{option}: a number from {low:g} to {high:g}, got {value}")
    return faults


def _map_faults(model: ModelConfig) -> list[str]:
    if not model.maps or len(set(model.maps)) < len(model.maps):
        return [f"model.maps: each kind at most once and one at least, got {', '.join(model.maps) or 'none'}"]
    return []


def _context_faults(config: Config) -> list[str]:
    kinds, faults = config.model.context, []
    if len(set(kinds)) < len(kinds):
        faults.append(f"model.context: each kind at most once, got {', '.join(kinds)}")
    if "slice" in kinds and not config.event.slicings[0]:
        faults.append(
            'model.context: "slice" needs fields in the first of event.slicings; without them all are one slice'
        )
    return faults


def _privacy_faults(config: Config) -> list[str]:
    privacy = config.privacy
    if not privacy.enabled:
        return []
    faults = _private_model_faults(config.model)
    if privacy.epsilon > privacy.epsilon_budget:
        faults.append(
            f"privacy.epsilon: above privacy.epsilon_budget ({privacy.epsilon_budget:g}), no training would fit it"
        )
    if importlib.util.find_spec("dp_accounting") is None:
        faults.append("privacy.enabled: needs an accountant: pip install 'driftflow[private]'")
    return faults


def _private_model_faults(model: ModelConfig) -> list[str]:
    faults = []
    if model.contamination:
        faults.append(
            "model.contamination: must be 0 with privacy.enabled: which rows are trimmed depends on all others"
        )
    if "slice" in model.context:
        faults.append(
            'model.context: without "slice" with privacy.enabled: the table of slices is trained on their rows'
        )
    if model.distance == "mixture":
        faults.append(
            "model.distance: columns or base with privacy.enabled, got 'mixture': means and covariances of few events "
            "would tell what these were"
        )
    if model.flow not in PRIVATE_FLOWS:
        faults.append(
            f"model.flow: one of {', '.join(sorted(PRIVATE_FLOWS))} with privacy.enabled, got {model.flow!r}: of "
            "others the gradients of single rows are not known"
        )
    return faults


def _worker_faults(worker: WorkerConfig) -> list[str]:
    if worker.stop_within >= 1_000:
        return []
    return [f'worker.stop_within: at least "1s", a checkpoint takes its time, got {int(worker.stop_within)} ms']


def _monitor_faults(monitor: MonitorConfig) -> list[str]:
    if not monitor.traces or re.fullmatch(r"https?://[^/\s]+(/\S*)?", monitor.traces):
        return []
    return [f"monitor.traces: expected a URL such as 'http://127.0.0.1:4318/v1/traces', got {monitor.traces!r}"]


def _sink_faults(sink: SinkConfig) -> list[str]:
    if 100 <= sink.timeout <= 3_600_000:
        return []
    return [f'sink.timeout: from "100ms" to "1h", got {int(sink.timeout)} ms']
