"""The configuration: what may be set, how ``driftflow.toml`` is read, and what is refused."""

from stream_app.config.alerts import AlertsConfig
from stream_app.config.event import EventConfig
from stream_app.config.loading import load, parse, with_rules
from stream_app.config.model import ModelConfig, PrivacyConfig
from stream_app.config.monitor import MonitorConfig
from stream_app.config.notify import NotifyConfig
from stream_app.config.schema_registry import SchemaRegistryConfig
from stream_app.config.settings import (
    Config,
    ConsoleConfig,
    EventRuleConfig,
    KafkaConfig,
    RetrainConfig,
    RuleConfig,
    SinkConfig,
    StateConfig,
    TopicsConfig,
    WorkerConfig,
)
from stream_app.config.trainer import TrainerConfig
from stream_app.config.types import Duration
from stream_app.config.windows import WindowsConfig

__all__ = [
    "AlertsConfig",
    "Config",
    "ConsoleConfig",
    "Duration",
    "EventConfig",
    "EventRuleConfig",
    "KafkaConfig",
    "ModelConfig",
    "MonitorConfig",
    "NotifyConfig",
    "PrivacyConfig",
    "RetrainConfig",
    "RuleConfig",
    "SchemaRegistryConfig",
    "SinkConfig",
    "StateConfig",
    "TopicsConfig",
    "TrainerConfig",
    "WindowsConfig",
    "WorkerConfig",
    "load",
    "parse",
    "with_rules",
]
