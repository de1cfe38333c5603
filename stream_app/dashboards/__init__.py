"""Grafana for a stream: dashboards, alert rules and data sources as files, generated with types."""

from __future__ import annotations

from stream_app.dashboards.files import Options, write_dashboards

__all__ = ["Options", "write_dashboards"]
