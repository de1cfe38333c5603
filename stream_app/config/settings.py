"""Every setting of ``driftflow.toml``, with its default and what it does; more in the files beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.config.alerts import AlertsConfig
from stream_app.config.event import EventConfig
from stream_app.config.model import ModelConfig, PrivacyConfig
from stream_app.config.monitor import MonitorConfig
from stream_app.config.notify import NotifyConfig
from stream_app.config.registries import (
    DetectorName,
    IsolationLevel,
    LevelName,
    SaslMechanism,
    SecurityProtocol,
    SinkName,
    StoreName,
)
from stream_app.config.schema_registry import SchemaRegistryConfig
from stream_app.config.trainer import TrainerConfig
from stream_app.config.types import Duration, Name, OptionalName, Positive, Section, Share, days, read_secret
from stream_app.config.windows import WindowsConfig


class KafkaConfig(Section, frozen=True):
    """How to reach the broker. Secrets come from the environment or a file, never from this file."""

    bootstrap: Annotated[list[str], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["127.0.0.1:9092"])
    """``host:port`` of some brokers; the others are found from there."""
    group: OptionalName = ""
    """Consumer group of the workers (default: ``driftflow-`` and the stream's name, so that two streams of one cluster
    do not disturb each other); the trainer's is this with ``-trainer``."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    """Whether the connection is encrypted (``SSL``) and whether the client logs in (``SASL``)."""
    sasl_mechanism: SaslMechanism = ""
    """How the client logs in; needed with a SASL protocol, without effect otherwise."""
    sasl_username: str = ""
    """Who logs in; needed with a SASL protocol."""
    sasl_password_env: str = ""
    """Environment variable that holds the password; or give ``sasl_password_file``."""
    sasl_password_file: str = ""
    """File that holds the password; where both are given, the file counts."""
    ssl_cafile: str = ""
    """Authorities that the broker's certificate is checked against (default: the system's)."""
    ssl_certfile: str = ""
    """Client certificate, where the broker wants one."""
    ssl_keyfile: str = ""
    """Private key of the client certificate, not encrypted (default: it stands in the file of the certificate)."""
    session_timeout: Duration = Duration(10_000)
    """Silence after which the broker gives a dead worker's partitions to others."""
    instance_env: str = ""
    """Environment variable that names each worker in its group, such as ``HOSTNAME`` of a StatefulSet. Started again
    under its name, a worker has its partitions back at once; until then they are nobody's for ``session_timeout``,
    after an orderly end too. Without, the broker waits that long before it gives them to the one that is started."""
    metadata_max_age: Duration = Duration(30_000)
    """How often clients look for new partitions and brokers."""
    isolation: IsolationLevel = "read_committed"
    """``read_committed``: records of aborted transactions are nothing, those of an open one wait for its end, which lag
    and idleness do not count. ``read_uncommitted``: every record counts as soon as it is written."""
    max_poll_records: Positive = 16_000
    """Most records that are scored at once. More cost less each; other work of the worker waits for them meanwhile."""

    def password(self, root: str | Path = ".") -> str:
        """The SASL password from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return read_secret(self.sasl_password_file, self.sasl_password_env, root)


class TopicsConfig(Section, frozen=True):
    """Topic names; the empty ones are named after the stream."""

    events: OptionalName = ""
    """The topic that is watched."""
    partials: str = ""
    """From SCORE to WATCH: panes by slice."""
    evidence: str = ""
    """From WATCH to JUDGE: what speaks for a change; one partition."""
    actions: str = ""
    """From people to JUDGE: what they accept, acknowledge, silence; one partition, kept for good."""
    signals: str = ""
    """Alerts, event anomalies, retrain requests, model notices, activations."""
    models: str = ""
    """Signed models; compacted."""
    dead_letters: str = ""
    """Events that could not be decoded or scored, messages of the other topics that could not be used, and why."""
    decisions: str = ""
    """Where the state of a group is kept; with ``state.store = "kafka"`` the decisions too; one partition, kept for
    good."""
    state: str = ""
    """The state of partitions, with ``state.store = "kafka"``; compacted."""
    partitions: Positive = 4
    """Partitions of the events and partials topics where driftflow creates them."""
    replication: Positive = 1
    """Copies of the topics that driftflow creates."""


class RuleConfig(Section, frozen=True):
    """Detectors whose evidence is looked at together, slice by slice: what opens an incident, and what ends it."""

    detectors: Annotated[list[DetectorName], Meta(min_length=1)]
    """What looks at the statistics. Drift: ``location``, ``scale``, ``dependence`` (of two columns), ``likelihood``,
    ``categories``, ``variation`` (a constant or absent column begins to vary). Data faults: ``unit`` (values far from
    all there ever were), ``missing``, ``stuck``, ``intake`` (events that come late, cannot be scored or were read
    leniently), ``volume``, ``silence``. Their evidence is mixed, so that a rule has
    one promise however many it has; drift and data faults need rules of their own. ``adwin``, ``page_hinkley`` and
    ``kswin`` are river's, each alone in a rule: the statistic is 1 from a detection on, else 0."""
    open: float = 1.0
    """Only of ``adwin`` and the like: the statistic from which on an incident opens, 1 at most. What evidence opens one
    follows from ``alerts.false_incidents_per_month``."""
    resolve: Annotated[float, Meta(gt=0.0, le=1.0)] = 1e-4
    """A change is over on a slice where what remains of its evidence, since that was largest, is below this share: as
    likely as ``1 / resolve`` to 1 it is as it was before."""
    slicing: list[str] | None = None
    """Only on this slicing; None is all of them."""
    together: bool = True
    """Whether the sum of all slices is looked at as well, for changes that no slice shows alone."""
    retrain: bool = False
    """Whether an open incident asks for a better model; never one of data faults: a model would learn the fault."""
    options: dict[str, float] = msgspec.field(default_factory=dict)
    """Settings of ``adwin`` and the like; :data:`~stream_app.config.registries.DETECTOR_OPTIONS` names them."""


class EventRuleConfig(Section, frozen=True):
    """When one event is reported by itself."""

    alpha: Share = 0.0025
    """An event with a p-value at or below this is reported; so is this share of the events while nothing changes."""
    follow: LevelName = "fixed"
    """What a p-value is compared with. ``fixed``: alpha. ``adaptive``: a level of the slice's own that follows its
    events, so that in the long run a share alpha of them is reported, after a drift too. Rules never follow it."""
    publish: bool = False
    """Whether each such event is a message of its own (``event-anomaly``) on the signals topic; the store and console
    have them all the same, and incidents and messages of strange events name the strangest."""


class RetrainConfig(Section, frozen=True):
    """When the trainer is asked, and for what."""

    enabled: bool = True
    """Whether JUDGE asks for new models at all."""
    min_slices: Positive = 1
    """Slices with an open incident of a ``retrain`` rule before a model is asked for; one about all slices together
    counts as one."""
    cooldown: Duration = days(28)
    """Time between two requests."""
    reference: Duration = days(400)
    """How far back training rows may lie."""
    calibration: Duration = days(28)
    """The newest part, which does not train: its older half calibrates, its newer half judges at the gates. It is 40 %
    of the days at most, and never less than ``trainer.min_blocks`` of them for each half."""


class WorkerConfig(Section, frozen=True):
    """The worker process."""

    stop_within: Duration = Duration(8_000)
    """From the signal to stop on, the process ends within this time; what is not delivered stays in the spool."""
    signing_key: str = "keys/worker.pem"
    """Private Ed25519 key that retrain requests are signed with, made on first use."""
    passphrase_env: str = ""
    """Environment variable with the passphrase of this key, which is then made encrypted; or ``passphrase_file``."""
    passphrase_file: str = ""
    """File that holds the passphrase of this key; where both are given, the file counts."""


class SinkConfig(Section, frozen=True):
    """Where windows, alerts and counters go."""

    kind: SinkName = "sqlite"
    """``sqlite``, the embedded store that the console reads, or ``influx``, an InfluxDB 2 server, or what takes its
    write API: InfluxDB 1.8 and newer 1.x, 3 (``infra/influxdb``)."""
    path: str = "driftflow.sqlite"
    """The file of the embedded store."""
    spool: str = "spool.sqlite"
    """Points wait here, durably, until the sink has taken them."""
    spool_max_points: Positive = 5_000_000
    """Points that may wait, and as many may be set aside; beyond it the oldest are given up, and counted."""
    timeout: Duration = Duration(15_000)
    """Longest time of one write to InfluxDB in all, whatever the server does; 100ms to 1h."""
    url: str = "http://127.0.0.1:8086"
    """InfluxDB's address."""
    org: str = "driftflow"
    """InfluxDB's organisation; without effect on 1.x and 3."""
    bucket: str = "driftflow"
    """InfluxDB's bucket; it must exist. Of 1.x a database, or ``DATABASE/POLICY``; of 3 a database."""
    token_env: str = ""
    """Environment variable that holds InfluxDB's token, of 1.x ``USER:PASSWORD``; or give ``token_file``."""
    token_file: str = ""
    """File that holds InfluxDB's token; where both are given, the file counts."""

    def token(self, root: str | Path = ".") -> str:
        """The token from its file (a relative one is taken from ``root``) or environment variable, or ""."""
        return read_secret(self.token_file, self.token_env, root)


class StateConfig(Section, frozen=True):
    """Where the state of partitions and the decisions are kept. Shared by the workers of one group."""

    store: StoreName = "files"
    """``files``: in ``dir``, and every worker of the group must see the same folder: a partition that moves takes its
    state along. ``kafka``: on ``topics.state`` and ``topics.decisions``, so that workers share no file system."""
    dir: str = "state"
    """Folder of the state, or with ``kafka`` of what concerns one machine: status, shape of the stream."""
    trusted_keys: list[str] = msgspec.field(default_factory=lambda: ["keys/signing.pub"])
    """Public Ed25519 keys; models and notices signed with any other are refused."""


class ConsoleConfig(Section, frozen=True):
    """The built-in web page."""

    host: str = "127.0.0.1"
    """Address that the page listens at; the default is reached from this machine only."""
    port: Annotated[int, Meta(ge=0, lt=65_536)] = 8765
    """Port that the page listens at; 0 is any free one."""
    names: list[str] = msgspec.field(default_factory=list)
    """Host names that the page may be asked for by, beside localhost and the machine's own; addresses always may."""
    token_file: str = ""
    """File with the token that answers on the page need, 20 characters or more; without one the console prints another
    at each start."""


def _default_rules() -> dict[str, RuleConfig]:
    drift: list[DetectorName] = ["location", "scale", "dependence", "likelihood", "categories", "variation"]
    return {
        "drift": RuleConfig(detectors=drift, retrain=True),
        "fault": RuleConfig(detectors=["unit", "missing", "stuck", "intake", "volume", "silence"]),
    }


class Config(Section, frozen=True, kw_only=True):
    """The whole of ``driftflow.toml``; paths in it are relative to its folder (:meth:`path`)."""

    stream: Name
    """Name of the stream; its topics, models and files are named after it."""
    topics: TopicsConfig = TopicsConfig()
    """Names of the topics."""
    event: EventConfig
    """What an event looks like."""
    kafka: KafkaConfig = KafkaConfig()
    """How to reach the broker."""
    schema_registry: SchemaRegistryConfig = SchemaRegistryConfig()
    """Where Avro's schemas are."""
    windows: WindowsConfig = WindowsConfig()
    """Panes, rolling spans and lateness."""
    event_rule: EventRuleConfig = EventRuleConfig()
    """When one event is reported by itself."""
    alerts: AlertsConfig = AlertsConfig()
    """Incidents: their promise, and how often they speak."""
    rules: dict[str, RuleConfig] = msgspec.field(default_factory=_default_rules)
    """Rule name to rule. A file that has rules has only those: the defaults are then left out."""
    retrain: RetrainConfig = RetrainConfig()
    """When the trainer is asked for a model."""
    model: ModelConfig = ModelConfig()
    """The flow and its training."""
    privacy: PrivacyConfig = PrivacyConfig()
    """Differentially private training."""
    worker: WorkerConfig = WorkerConfig()
    """The worker process."""
    trainer: TrainerConfig = TrainerConfig()
    """Gates, and where models are kept."""
    sink: SinkConfig = SinkConfig()
    """Where windows, alerts and counters go."""
    state: StateConfig = StateConfig()
    """Snapshots, decisions, trusted keys."""
    console: ConsoleConfig = ConsoleConfig()
    """The built-in web page."""
    monitor: MonitorConfig = MonitorConfig()
    """Probes, metrics and traces."""
    notify: NotifyConfig = NotifyConfig()
    """Where incidents are delivered."""
    root: str = "."
    """Folder that relative paths are taken from (default: that of the file)."""

    def path(self, relative: str) -> Path:
        """A path of the file, taken from the file's own folder."""
        return Path(self.root) / relative

    @property
    def slicing_names(self) -> list[str]:
        """Names of the slicings: the fields joined with ``+``, or ``all``."""
        from schemas.names import slicing_name  # NumPy comes with the records: a configuration is read without

        return [slicing_name(fields) for fields in self.event.slicings]
