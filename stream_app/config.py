"""One frozen configuration, parsed once from ``driftflow.toml``.

A bad file is refused with all its faults at once, each with its key and what would be right.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from stream_app.config_checks import faults_of
from stream_app.errors import ConfigError

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_NAME = r"^[a-zA-Z0-9._-]{1,200}$"

Name = Annotated[str, Meta(pattern=_NAME)]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]
Positive = Annotated[int, Meta(ge=1)]


class Duration(int):
    """A length of time in milliseconds, written ``"90s"``, ``"6h"`` or ``"7d"``."""

    @classmethod
    def parse(cls, text: object) -> Duration:
        """Parse ``"6h"``; raises ValueError with what would be right."""
        match = re.fullmatch(r"(\d+)\s*(ms|s|m|h|d|w)", text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'expected a duration such as "90s", "6h" or "7d", got {text!r}')
        return cls(int(match[1]) * _UNITS_MS[match[2]])

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self / 1000


def _secret(file: str, variable: str, root: str | Path) -> str:
    if file:
        return (Path(root) / file).read_text().strip()
    return os.environ.get(variable, "") if variable else ""


def _days(n: int) -> Duration:
    return Duration(n * _UNITS_MS["d"])


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections."""


class KafkaConfig(_Section, frozen=True):
    """How to reach the broker. Secrets come from the environment or a file, never from this file."""

    bootstrap: Annotated[list[str], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["127.0.0.1:9092"])
    group: Name = "driftflow"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password_env: str = ""
    sasl_password_file: str = ""
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    session_timeout: Duration = Duration(10_000)
    metadata_max_age: Duration = Duration(30_000)
    max_poll_records: Positive = 4_000

    def password(self, root: str | Path = ".") -> str:
        """The SASL password from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return _secret(self.sasl_password_file, self.sasl_password_env, root)


class TopicsConfig(_Section, frozen=True):
    """Topic names; the empty ones are named after the stream."""

    events: Name
    partials: str = ""
    signals: str = ""
    models: str = ""
    dead_letters: str = ""
    partitions: Positive = 4
    """Partitions of the events and partials topics where driftflow creates them."""
    replication: Positive = 1


class EventConfig(_Section, frozen=True):
    """What an event looks like."""

    time_field: str
    numeric: Annotated[list[str], Meta(min_length=1)]
    format: str = "json"
    time_format: str = "iso8601"
    """``iso8601``, ``epoch_ms``, ``epoch_s`` or a strptime pattern."""
    timezone: str = "UTC"
    """Zone of times that carry none."""
    categorical: list[str] = []
    id_field: str = ""
    slicings: Annotated[list[list[str]], Meta(min_length=1)] = msgspec.field(default_factory=lambda: [[]])
    """Lists of fields; an event belongs to one slice of each. The empty list is everything."""
    key: list[str] = []
    """Fields that ``driftflow produce`` keys events by (default: the first slicing)."""
    max_bytes: Positive = 1_000_000


class WindowsConfig(_Section, frozen=True):
    """Panes, rolling spans and lateness, all in event time."""

    pane: Duration = Duration(3_600_000)
    spans: Annotated[list[Duration], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [_days(1), _days(7), _days(28)]
    )
    lateness: Duration = Duration(0)
    max_future: Duration = _days(30)
    """An event this far ahead of the newest one is rejected, unless many in a row say the same."""
    idle_after: Duration = Duration(30_000)
    """Wall-clock silence after which a source partition is passed over."""
    max_slices: Positive = 10_000
    max_open_panes: Positive = 64


class RuleConfig(_Section, frozen=True):
    """Detector plus policy. A rule opens at ``open``, resolves below ``resolve``; larger is worse for every detector."""

    detector: str
    open: float
    resolve: float
    slicing: list[str] | None = None
    """Only on this slicing; None is all of them."""
    span: Duration | None = None
    """Rolling span the detector looks at, where it looks at one (default: the second span)."""
    min_duration: Duration = Duration(0)
    cooldown: Duration = _days(7)
    retrain: bool = False
    options: dict[str, float] = {}


class EventRuleConfig(_Section, frozen=True):
    """When one event is reported by itself."""

    alpha: Share = 0.0025


class RetrainConfig(_Section, frozen=True):
    """When the trainer is asked, and for what."""

    enabled: bool = True
    min_slices: Positive = 1
    """Slices with an open alert of a ``retrain`` rule before it is asked."""
    cooldown: Duration = _days(28)
    reference: Duration = _days(400)
    """How far back training rows may lie."""
    calibration: Duration = _days(28)
    """The newest part, of which whole days are held out for calibration and gates."""


class ModelConfig(_Section, frozen=True):
    """The flow and its training."""

    flow: str = "maf"
    engine: str = "auto"
    """What runs the flow: ``auto`` measures at load; or one of :data:`flowlib.engines.ENGINES`."""
    seed: int = 0
    max_steps: Positive = 1_500
    warm_steps: Positive = 400
    max_rows: Positive = 200_000
    context: list[str] = []
    """What the flow is told beside the values: of ``hour``, ``weekday`` (of the event time, UTC) and ``slice``."""
    embedding: Positive = 8
    """Width of the learnt row of each slice, with the context ``slice``."""
    distance: str = "base"
    """What joins the likelihood in an event's score: ``base``, how far out it is in the model, so that a model trained anew
    takes what a stream has become as ordinary; ``columns``, how far out in its columns, which no training can bend."""
    noise: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    """Blur of the training rows, in scale units. More of it finds hidden anomalies in tables a little better (the library's
    own default is 0.15); of the example's month after a retrain in December 0.16 was strange with it, 0.11 with this."""
    contamination: Annotated[float, Meta(ge=0.0, lt=0.5)] = 0.0
    """Share of the training rows that may be anything: so many, the least likely, do not count."""


class PrivacyConfig(_Section, frozen=True):
    """Differentially private training. What it covers, and what not, stands in each model's manifest under ``privacy``."""

    enabled: bool = False
    epsilon: Annotated[float, Meta(ge=0.01, le=100.0)] = 3.0
    """ε of one training. Below 1 the promise is strong and the model poor, above 10 it says little."""
    delta: Annotated[float, Meta(ge=1e-12, le=1e-2)] = 1e-5
    """δ; well below one over the number of events."""
    clip: Annotated[float, Meta(gt=0.0)] = 1.0
    """Bound on the norm of one event's gradient."""
    epsilon_budget: Annotated[float, Meta(gt=0.0)] = 10.0
    """ε that all trainings of the stream may cost together; a retrain beyond it is refused."""


class TrainerConfig(_Section, frozen=True):
    """Gates and where models are kept."""

    registry: str = "models"
    signing_key: str = "keys/signing.pem"
    min_gain_nats: float = -0.05
    """The candidate's held-out log-likelihood may be this much below that of the model in service."""
    max_alarm_ratio: float = 5.0
    """The candidate's held-out share of p <= 0.01 may be this many times 0.01."""
    trim: Annotated[float, Meta(ge=0.0, lt=0.5)] = 0.005
    """Share of the rows of drifted weeks, the least likely ones, that is left out of training."""
    membership_gate: bool = False
    """Attack each candidate: guess which rows it was trained on. Always done where ``privacy.enabled``; otherwise no promise
    is made, and the rows held back for it (a tenth, at most 2,000) are worth more in training."""
    max_membership_advantage: Share = 0.1
    """The candidate fails where the attack's advantage is above this with 95 % confidence."""
    min_rows: Positive = 500
    budget_per_day: Positive = 24


class SinkConfig(_Section, frozen=True):
    """Where windows, alerts and counters go."""

    kind: str = "sqlite"
    path: str = "driftflow.sqlite"
    spool: str = "spool.sqlite"
    spool_max_points: Positive = 5_000_000
    url: str = "http://127.0.0.1:8086"
    org: str = "driftflow"
    bucket: str = "driftflow"
    token_env: str = ""
    token_file: str = ""

    def token(self, root: str | Path = ".") -> str:
        """The token from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return _secret(self.token_file, self.token_env, root)


class StateConfig(_Section, frozen=True):
    """Snapshots and decisions. Shared by the workers of one group."""

    dir: str = "state"
    trusted_keys: list[str] = msgspec.field(default_factory=lambda: ["keys/signing.pub"])


class ConsoleConfig(_Section, frozen=True):
    """The built-in web page; localhost unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = 8765
    names: list[str] = []
    """Host names that the page may be asked for by, beside localhost and the machine's own; addresses always may."""


def _default_rules() -> dict[str, RuleConfig]:
    return {
        "drift": RuleConfig(detector="likelihood", open=1000.0, resolve=10.0, min_duration=_days(2), retrain=True),
        "feature": RuleConfig(detector="pit", open=0.25, resolve=0.15, min_duration=_days(3)),
        "step": RuleConfig(detector="adwin", open=1.0, resolve=0.5),
        "missing": RuleConfig(detector="missing", open=0.5, resolve=0.2, min_duration=_days(1)),
    }


class Config(_Section, frozen=True):
    """The whole of ``driftflow.toml``; paths in it are relative to its folder (:meth:`path`)."""

    stream: Name
    topics: TopicsConfig
    event: EventConfig
    kafka: KafkaConfig = KafkaConfig()
    windows: WindowsConfig = WindowsConfig()
    event_rule: EventRuleConfig = EventRuleConfig()
    rules: dict[str, RuleConfig] = msgspec.field(default_factory=_default_rules)
    retrain: RetrainConfig = RetrainConfig()
    model: ModelConfig = ModelConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    trainer: TrainerConfig = TrainerConfig()
    sink: SinkConfig = SinkConfig()
    state: StateConfig = StateConfig()
    console: ConsoleConfig = ConsoleConfig()
    root: str = "."

    def path(self, relative: str) -> Path:
        """A path of the file, taken from the file's own folder."""
        return Path(self.root) / relative

    @property
    def slicing_names(self) -> list[str]:
        """Names of the slicings: the fields joined with ``+``, or ``all``."""
        return ["+".join(fields) or "all" for fields in self.event.slicings]


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read and check a configuration file.

    Args:
        path: the TOML file.
        overrides: values by dotted key (``{"kafka.bootstrap": [...]}``) that win over the file.

    Raises:
        ConfigError: with every fault of the file, one line each.
    """
    try:
        raw = tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(str(path), ["the file does not exist: write one, or name it with --config"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from None
    for key, value in (overrides or {}).items():
        section, _, field = key.rpartition(".")
        (raw.setdefault(section, {}) if section else raw)[field] = value
    raw.setdefault("root", str(Path(path).resolve().parent))
    return parse(raw, str(path))


def parse(raw: dict[str, Any], path: str = "configuration") -> Config:
    """Build a checked configuration from plain values; raises ConfigError with every fault."""
    faults: list[str] = []
    values = _convert_section(Config, raw, "", faults)
    if faults:
        raise ConfigError(path, faults)
    config = Config(**values)
    faults = faults_of(config)
    if faults:
        raise ConfigError(path, faults)
    return _fill_names(config)


def _convert_section(kind: type[Struct], raw: dict[str, Any], prefix: str, faults: list[str]) -> dict[str, Any]:
    """Convert what can be converted and add a fault for each key that cannot."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key in raw:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(sorted(fields))}"
            faults.append(f"{prefix}{key}: unknown key{hint}")
    for name, field in fields.items():
        if name in raw:
            values[name] = _convert(hints[name], raw[name], f"{prefix}{name}", faults)
        elif field.required:
            faults.append(f"{prefix}{name}: missing; it has no default")
    return values


def _convert(hint: Any, value: Any, key: str, faults: list[str]) -> Any:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _convert_struct(hint, value, key, faults)
    if get_origin(hint) is dict and isinstance(value, dict) and isinstance(get_args(hint)[1], type):
        inner = get_args(hint)[1]
        if issubclass(inner, Struct):
            return {name: _convert_struct(inner, item, f"{key}.{name}", faults) for name, item in value.items()}
    try:
        return msgspec.convert(value, hint, dec_hook=_decode_hook)
    except (msgspec.ValidationError, ValueError) as error:
        faults.append(f"{key}: {str(error).replace(' - at `$', ' - at `' + key)}")
        return None


def _convert_struct(kind: type[Struct], value: Any, key: str, faults: list[str]) -> Any:
    if not isinstance(value, dict):
        faults.append(f"{key}: expected a table ([{key}]), got {type(value).__name__}")
        return None
    before = len(faults)
    values = _convert_section(kind, value, f"{key}.", faults)
    return kind(**values) if len(faults) == before else None


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(kind)


def _fill_names(config: Config) -> Config:
    kinds = ("partials", "signals", "models", "dead_letters")
    names = {kind: getattr(config.topics, kind) or f"{config.stream}.{kind.replace('_', '-')}" for kind in kinds}
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, **names))
