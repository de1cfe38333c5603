"""Every setting of ``driftflow.toml``, with its default and what it does; :mod:`stream_app.config.loading` reads the file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

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
    """``host:port`` of some brokers; the others are found from there."""
    group: Name = "driftflow"
    """Consumer group of the workers; the trainer's is this with ``-trainer``."""
    security_protocol: str = "PLAINTEXT"
    """``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``."""
    sasl_mechanism: str = ""
    """``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``."""
    sasl_username: str = ""
    sasl_password_env: str = ""
    """Environment variable that holds the password; or give a file."""
    sasl_password_file: str = ""
    ssl_cafile: str = ""
    """Authorities that the broker's certificate is checked against (default: the system's)."""
    ssl_certfile: str = ""
    """Client certificate, where the broker wants one."""
    ssl_keyfile: str = ""
    session_timeout: Duration = Duration(10_000)
    """Silence after which the broker gives a dead worker's partitions to others."""
    metadata_max_age: Duration = Duration(30_000)
    """How often clients look for new partitions and brokers."""
    max_poll_records: Positive = 4_000
    """Most records that are scored at once."""

    def password(self, root: str | Path = ".") -> str:
        """The SASL password from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return _secret(self.sasl_password_file, self.sasl_password_env, root)


class TopicsConfig(_Section, frozen=True):
    """Topic names; the empty ones are named after the stream."""

    events: Name
    """The topic that is watched."""
    partials: str = ""
    """From SCORE to WATCH: panes by slice."""
    signals: str = ""
    """Alerts, event anomalies, retrain requests, model notices, activations."""
    models: str = ""
    """Signed models; compacted."""
    dead_letters: str = ""
    """Events that could not be decoded or scored, and why."""
    partitions: Positive = 4
    """Partitions of the events and partials topics where driftflow creates them."""
    replication: Positive = 1
    """Copies of the topics that driftflow creates."""


class EventConfig(_Section, frozen=True):
    """What an event looks like."""

    time_field: str
    """Field that says when the event happened."""
    numeric: Annotated[list[str], Meta(min_length=1)]
    """Fields that hold numbers; null and absent are missing values."""
    format: str = "json"
    """Decoder of the bodies, one of ``FORMATS`` in ``core/decoding.py``."""
    time_format: str = "iso8601"
    """``iso8601``, ``epoch_ms``, ``epoch_s`` or a strptime pattern."""
    timezone: str = "UTC"
    """Zone of times that carry none."""
    categorical: list[str] = []
    """Fields that hold one of some texts, or booleans."""
    id_field: str = ""
    """Field that tells events apart: one that comes again is a duplicate."""
    slicings: Annotated[list[list[str]], Meta(min_length=1)] = msgspec.field(default_factory=lambda: [[]])
    """Lists of fields; an event belongs to one slice of each. The empty list is everything."""
    key: list[str] = []
    """Fields that ``driftflow produce`` keys events by (default: the first slicing)."""
    max_bytes: Positive = 1_000_000
    """Larger bodies go to the dead letters undecoded."""


class WindowsConfig(_Section, frozen=True):
    """Panes, rolling spans and lateness, all in event time."""

    pane: Duration = Duration(3_600_000)
    """The step of all statistics: panes are counted, merged, and looked at by the detectors."""
    spans: Annotated[list[Duration], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [_days(1), _days(7), _days(28)]
    )
    """Rolling windows, whole numbers of panes, ascending."""
    lateness: Duration = Duration(0)
    """A pane stays open so long after the newest event of its source partition; what comes later is counted as late."""
    max_future: Duration = _days(30)
    """An event this far ahead of the newest one is rejected, unless many in a row say the same."""
    idle_after: Duration = Duration(30_000)
    """Wall-clock silence after which a source partition is passed over."""
    max_slices: Positive = 10_000
    """Slices of a slicing in one pane; those beyond share the slice ``__other__``."""
    max_open_panes: Positive = 64


class RuleConfig(_Section, frozen=True):
    """Detector plus policy. A rule opens at ``open``, resolves below ``resolve``; larger is worse for every detector."""

    detector: str
    """``likelihood``, ``pit``, ``adwin`` or ``missing``."""
    open: float
    """Statistic from which on an alert opens."""
    resolve: float
    """Statistic below which it resolves."""
    slicing: list[str] | None = None
    """Only on this slicing; None is all of them."""
    span: Duration | None = None
    """Rolling span the detector looks at, where it looks at one (default: the second span)."""
    min_duration: Duration = Duration(0)
    """How long the statistic must have been at or above ``open`` before an alert opens."""
    cooldown: Duration = _days(7)
    """An open alert says so again this often; resolved, the same rule opens none on the same slice for so long."""
    retrain: bool = False
    """Whether an open alert asks for a better model."""
    options: dict[str, float] = {}
    """The detector's own settings; its class names them."""


class EventRuleConfig(_Section, frozen=True):
    """When one event is reported by itself."""

    alpha: Share = 0.0025


class RetrainConfig(_Section, frozen=True):
    """When the trainer is asked, and for what."""

    enabled: bool = True
    min_slices: Positive = 1
    """Slices of one partials partition with an open alert of a ``retrain`` rule before it is asked."""
    cooldown: Duration = _days(28)
    """Time between two requests of a partials partition."""
    reference: Duration = _days(400)
    """How far back training rows may lie."""
    calibration: Duration = _days(28)
    """The newest part, of which whole days are held out for calibration and gates."""


class ModelConfig(_Section, frozen=True):
    """The flow and its training."""

    flow: str = "maf"
    """Family, one of :data:`flowlib.flows.FLOWS`."""
    engine: str = "auto"
    """What runs the flow: ``auto`` takes the fused kernel or TorchScript, whichever is faster at load; or one of
    :data:`flowlib.engines.ENGINES`."""
    seed: int = 0
    """Of training: the same rows and seed give the same model."""
    max_steps: Positive = 1_500
    """Training steps of a new model at most."""
    warm_steps: Positive = 400
    """Training steps of one that goes on from the model in service at most."""
    max_rows: Positive = 200_000
    """Rows that train at most; of more, an even share over time is taken."""
    context: list[str] = []
    """What the flow is told beside the values: of ``hour``, ``weekday`` (of the event time, UTC) and ``slice``."""
    embedding: Positive = 8
    """Width of the learnt row of each slice, with the context ``slice``."""
    distance: str = "base"
    """What joins the likelihood in an event's score: ``base``, how far out it is in the model, so that a model trained anew
    takes what a stream has become as ordinary; ``columns``, how far out in its columns, which no training can bend."""
    noise: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    """Blur of the training rows, in scale units. More of it finds hidden anomalies in tables a little better (the library's
    own default is 0.15); of the example's month after a retrain in December 16 % of events had p ≤ 0.01
    with it, 11 % with this."""
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
    """Folder of all models and of what was decided about them."""
    signing_key: str = "keys/signing.pem"
    """Private Ed25519 key, made on first use; keep it where only the trainer can read it."""
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
    """Fewer rows than this train no model."""
    budget_per_day: Positive = 24
    """Models promoted within a day of event time; requests beyond are not answered."""


class SinkConfig(_Section, frozen=True):
    """Where windows, alerts and counters go."""

    kind: str = "sqlite"
    """``sqlite`` (embedded) or ``influx``."""
    path: str = "driftflow.sqlite"
    """The embedded store."""
    spool: str = "spool.sqlite"
    """Points wait here, durably, until the sink has taken them."""
    spool_max_points: Positive = 5_000_000
    """Points that may wait; beyond it the oldest are given up, and counted."""
    url: str = "http://127.0.0.1:8086"
    """InfluxDB's address."""
    org: str = "driftflow"
    bucket: str = "driftflow"
    token_env: str = ""
    """Environment variable that holds the token; or give a file."""
    token_file: str = ""

    def token(self, root: str | Path = ".") -> str:
        """The token from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return _secret(self.token_file, self.token_env, root)


class StateConfig(_Section, frozen=True):
    """Snapshots and decisions. Shared by the workers of one group."""

    dir: str = "state"
    """Every worker of the group must see the same folder: a partition that moves takes its state along."""
    trusted_keys: list[str] = msgspec.field(default_factory=lambda: ["keys/signing.pub"])
    """Public Ed25519 keys; models signed with any other are refused."""


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
