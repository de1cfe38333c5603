"""The pane layout of a stream."""

from __future__ import annotations

from schemas.pane_layout import PaneLayout
from stream_app.config import Config


def layout_of(config: Config) -> PaneLayout:
    """The columns of a stream's panes."""
    return PaneLayout(len(config.event.numeric), len(config.event.categorical))
