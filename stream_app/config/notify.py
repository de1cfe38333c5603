"""Where incidents are delivered: the ``[notify]`` section, for ``driftflow notify``.

Each channel is a table of its own, ``[notify.KIND.NAME]``. Secrets come from the environment or a file, never from this
file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from stream_app.config.types import Duration, Positive, Section, read_secret

SeverityName = Literal["info", "warning", "critical"]
"""How grave an incident is, the least first."""
ToldName = Literal["incidents", "strange", "health"]
"""What there is to tell."""
MailTls = Literal["starttls", "tls", "none"]
"""How a mail server is spoken to."""


class ChannelConfig(Section, frozen=True):
    """What every kind of channel has: what it is told of."""

    severity: SeverityName = "info"
    """Incidents from this severity on. One that was told goes on being told, whatever becomes of its severity."""
    slices: list[str] = msgspec.field(default_factory=list)
    """Only incidents with a slice like one of these: ``country=DE``, a name, or ``Dong*``; all of them without any.
    Those of no slice, which are about events as they arrive or about a topic, are always told."""
    tell: list[ToldName] = msgspec.field(default_factory=lambda: ["incidents"])
    """``incidents``; ``strange``, messages about single strange events; ``health``, what processes say that fails."""
    reminders: bool = True
    """Whether reminders of incidents that go on are told too; see ``alerts.reminders``."""
    cafile: str = ""
    """Authorities that the server's certificate is checked against (default: the system's)."""


class AlertmanagerConfig(ChannelConfig, frozen=True):
    """An Alertmanager, by its API v2."""

    url: str = ""
    """Its address, such as ``http://alertmanager:9093``; of a cluster each member is a channel of its own."""
    username: str = ""
    """Who logs in (basic authentication)."""
    password_env: str = ""
    """Environment variable that holds the password; or give ``password_file``."""
    password_file: str = ""
    """File that holds the password; where both are given, the file counts."""
    token_env: str = ""
    """Environment variable that holds a bearer token, in the place of a user; or give ``token_file``."""
    token_file: str = ""
    """File that holds the token; where both are given, the file counts."""
    resend: Duration = Duration(60_000)
    """Open incidents are sent again this often: an Alertmanager that was started again has forgotten them."""

    def password(self, root: str | Path = ".") -> str:
        """The password from its file or environment variable, or ""."""
        return read_secret(self.password_file, self.password_env, root)

    def token(self, root: str | Path = ".") -> str:
        """The token from its file or environment variable, or ""."""
        return read_secret(self.token_file, self.token_env, root)


class WebhookConfig(ChannelConfig, frozen=True):
    """An own receiver: each message is a POST of the CloudEvent as JSON, signed as Standard Webhooks are."""

    url: str = ""
    """Address that takes the POST; where it holds a secret, give ``url_env`` or ``url_file``."""
    url_env: str = ""
    """Environment variable that holds the address."""
    url_file: str = ""
    """File that holds the address; it counts before ``url_env``, and that before ``url``."""
    secret_env: str = ""
    """Environment variable that holds the secret that bodies are signed with (HMAC-SHA256); ``whsec_`` and base64, or
    any text; or give ``secret_file``. Without, nothing is signed."""
    secret_file: str = ""
    """File that holds this secret; where both are given, the file counts."""
    token_env: str = ""
    """Environment variable that holds a bearer token for the receiver; or give ``token_file``."""
    token_file: str = ""
    """File that holds the token; where both are given, the file counts."""

    def address(self, root: str | Path = ".") -> str:
        """The address from its file, environment variable or setting."""
        return read_secret(self.url_file, self.url_env, root) or self.url

    def secret(self, root: str | Path = ".") -> str:
        """The secret from its file or environment variable, or ""."""
        return read_secret(self.secret_file, self.secret_env, root)

    def token(self, root: str | Path = ".") -> str:
        """The token from its file or environment variable, or ""."""
        return read_secret(self.token_file, self.token_env, root)


class SlackConfig(ChannelConfig, frozen=True):
    """Slack, or what takes the same: an incoming webhook, or with a bot's token threads."""

    url_env: str = ""
    """Environment variable that holds an incoming webhook's address, which is a secret; or give ``url_file``. A webhook
    cannot make threads: each message names its incident."""
    url_file: str = ""
    """File that holds the webhook's address; where both are given, the file counts."""
    token_env: str = ""
    """Environment variable that holds a bot's token (``chat:write``): an incident is then one thread; or give
    ``token_file``, and always ``channel``."""
    token_file: str = ""
    """File that holds the token; where both are given, the file counts."""
    channel: str = ""
    """Id of the channel that the bot writes to, such as ``C0123456789``."""
    api: str = "https://slack.com/api"
    """Address of the API that takes ``chat.postMessage``."""

    def address(self, root: str | Path = ".") -> str:
        """The webhook's address from its file or environment variable, or ""."""
        return read_secret(self.url_file, self.url_env, root)

    def token(self, root: str | Path = ".") -> str:
        """The token from its file or environment variable, or ""."""
        return read_secret(self.token_file, self.token_env, root)


class PagerDutyConfig(ChannelConfig, frozen=True):
    """PagerDuty, or what takes its Events API v2."""

    key_env: str = ""
    """Environment variable that holds the routing key of an integration "Events API v2"; or give ``key_file``."""
    key_file: str = ""
    """File that holds the routing key; where both are given, the file counts."""
    url: str = "https://events.pagerduty.com/v2/enqueue"
    """Address that events are sent to."""

    def key(self, root: str | Path = ".") -> str:
        """The routing key from its file or environment variable, or ""."""
        return read_secret(self.key_file, self.key_env, root)


class MailConfig(ChannelConfig, frozen=True):
    """E-mail, by a server that takes it from here (SMTP)."""

    host: str = ""
    """Name of the server."""
    port: int = 587
    """Its port: 587 for mail that is handed in, 465 with ``tls = "tls"``, 25 between servers."""
    tls: MailTls = "starttls"
    """``starttls``, refused where the server has none; ``tls`` from the first byte on; ``none``, without a password
    unless the server is this machine."""
    username: str = ""
    """Who logs in; nobody does without."""
    password_env: str = ""
    """Environment variable that holds the password; or give ``password_file``."""
    password_file: str = ""
    """File that holds the password; where both are given, the file counts."""
    sender: str = ""
    """Address that mail is from, such as ``driftflow@example.com``."""
    to: list[str] = msgspec.field(default_factory=list)
    """Addresses that mail goes to."""

    def password(self, root: str | Path = ".") -> str:
        """The password from its file or environment variable, or ""."""
        return read_secret(self.password_file, self.password_env, root)


class NotifyConfig(Section, frozen=True):
    """What ``driftflow notify`` delivers, and where to: ``[notify.slack.team]`` is a channel of the kind slack."""

    spool: str = "notify.sqlite"
    """Messages wait here, durably, until their channel has taken them; threads are kept here too."""
    spool_max_messages: Positive = 100_000
    """Messages that may wait for a channel; beyond it the oldest are given up, and said."""
    timeout: Duration = Duration(10_000)
    """Longest time of one delivery in all, whatever the server does; 100ms to 5m."""
    alertmanager: dict[str, AlertmanagerConfig] = msgspec.field(default_factory=dict)
    """Name to an Alertmanager."""
    webhook: dict[str, WebhookConfig] = msgspec.field(default_factory=dict)
    """Name to a receiver of your own."""
    slack: dict[str, SlackConfig] = msgspec.field(default_factory=dict)
    """Name to a webhook or a channel of Slack."""
    pagerduty: dict[str, PagerDutyConfig] = msgspec.field(default_factory=dict)
    """Name to a service of PagerDuty."""
    mail: dict[str, MailConfig] = msgspec.field(default_factory=dict)
    """Name to those who get mail."""

    def channels(self) -> dict[str, ChannelConfig]:
        """All channels, by ``kind.name``."""
        kinds = ("alertmanager", "webhook", "slack", "pagerduty", "mail")
        return {f"{kind}.{name}": channel for kind in kinds for name, channel in getattr(self, kind).items()}
