"""Where people can look at what they are told."""

from __future__ import annotations

from urllib.parse import urlencode

from flowlib.table import DAY_MS
from stream_app.config import Config


def links(config: Config, incident_id: str, from_ms: int, to_ms: int) -> dict[str, str]:
    """Where to look at an incident, as far as the configuration says where that is."""
    alerts, links = config.alerts, {}
    if alerts.console_url:
        links["console"] = f"{alerts.console_url.rstrip('/')}/#incident={incident_id}"
    if alerts.grafana_url:
        query = urlencode({"var-stream": config.stream, "from": max(from_ms - DAY_MS, 0), "to": to_ms})
        links["grafana"] = f"{alerts.grafana_url}?{query}"
    return links
