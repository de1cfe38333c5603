"""The configuration: what may be set, how ``driftflow.toml`` is read, and what is refused."""

from stream_app.config.alerts import AlertsConfig
from stream_app.config.loading import load, parse, with_rules
from stream_app.config.model import ModelConfig, PrivacyConfig
from stream_app.config.settings import (
    Config,
    ConsoleConfig,
    EventConfig,
    EventRuleConfig,
    KafkaConfig,
    RetrainConfig,
    RuleConfig,
    SinkConfig,
    StateConfig,
    TopicsConfig,
    TrainerConfig,
    WorkerConfig,
)
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
    "PrivacyConfig",
    "RetrainConfig",
    "RuleConfig",
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
