"""The panels of a stream that numbers suffice for: what is open, how strange events are, which features moved."""

from __future__ import annotations

import re
from typing import Any

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import VisibilityMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from schemas.pane_layout import ALPHAS
from stream_app.config import Config
from stream_app.dashboards.influxql import MOST_LINES, Queries
from stream_app.dashboards.metricsql import Numbers
from stream_app.dashboards.panels import (
    INK,
    AnyPanel,
    bars,
    coloured,
    figures,
    gauges,
    influx,
    lines,
    linked,
    placed,
    promql,
    rows,
    shown,
)
from stream_app.stages.points import ALPHA_FIELDS
from stream_app.stages.windows import span_name

SEVERITIES = ("critical", "warning", "info")

WHEN = {"Time": shown("when", width=180)}
WORDS = shown(width=640)
SINCE = {"since_ms": shown("since", "dateTimeAsIso", 180)}
"""Columns of tables."""

_TAG = re.compile(r"\$tag_(\w+)")
_SHARE = {"share": shown("share of events", "percentunit", 130)}
_ONE = "The newest message of each, whatever the time above; what partitions tell of one fault is one."
_MOST = f" The first {MOST_LINES} of the slices that are chosen above."
_OUTCOMES = {"windowed": "scored", "late": "late", "rejected": "rejected", "duplicate": "duplicate"}


class About:
    """The panels of a stream that numbers suffice for.

    Args:
        config: the stream.
        source: where its points are.
        ask: the queries about it.

    Attributes:
        thread: the column that leads to an incident's page.
    """

    def __init__(self, config: Config, source: DataSourceRef, ask: Queries | Numbers) -> None:
        self.source, self.ask = source, ask
        console = config.alerts.console_url.rstrip("/")
        self.thread = {"id": linked("incident", console and f"{console}/#incident=${{__value.text}}")}
        self._pane, self._longest = span_name(int(config.windows.pane)), span_name(max(config.windows.spans))

    def panels(self) -> list[AnyPanel]:
        """All of them, in reading order."""
        return [*self.incidents(), *self.slices(), *self.events()]

    def incidents(self) -> list[AnyPanel]:
        """What is open, and when incidents opened."""
        ask = self.ask
        count = figures().no_value("0").unit("short")
        for severity in SEVERITIES:
            count.override_by_name(severity, coloured(INK[severity]))
        drift = "drift: the world has changed; fault: the data have."
        columns, by = {**WHEN, **SINCE, **_SHARE, "summary": WORDS}, "when"
        if isinstance(ask, Numbers):
            columns = {name: shown(hidden=True) for name in ("Time", "stream", "silenced", "thread")}
            columns["Value"], by = SINCE["since_ms"], "since"
        return [
            placed(
                count,
                self.source,
                ("Open now", f"Incidents that have not ended and are not silenced. {_ONE}"),
                (4, 8),
                self.asked({severity: ask.open_count(severity) for severity in SEVERITIES}, instant=True),
            ),
            placed(
                rows({**columns, **self.thread}, by),
                self.source,
                ("Open incidents", f"{_ONE} {drift}"),
                (20, 8),
                self.table(ask.open_incidents()),
            ),
            placed(
                bars(),
                self.source,
                ("Incidents opened", "By severity and kind; silenced ones aside."),
                (12 if isinstance(ask, Queries) else 24, 7),
                self.asked({"$tag_severity $tag_kind": ask.opened()}),
            ).interval(self._pane),
        ]

    def slices(self) -> list[AnyPanel]:
        """How strange and how likely events are, slice by slice."""
        ask = self.ask
        strange = "Share of events with p ≤ 0.01 in the span that is chosen above. About 1 % is normal."
        likely = "Mean log-likelihood of the span, nats. Not comparable from one model to the next."
        shift = "How far the mean of one feature has to move, in standard deviations of one event, to be found within "
        calibration = {
            f"α = {100 * alpha:g} %": ask.whole_share(field, "scored")
            for alpha, field in zip(ALPHAS, ALPHA_FIELDS, strict=True)
        }
        top = dict.fromkeys(("share", "Value"), shown("share of strange events", "percentunit"))
        top["Time"] = shown(hidden=True)
        return [
            self._lines("Strange events per slice", strange + _MOST, "percentunit", 16, ask.share("p_le_01", "scored")),
            placed(
                rows(top, "share of strange events"),
                self.source,
                ("Strangest slices", "Share of events with p ≤ 0.01 over the time above; about 1 % is normal."),
                (8, 9),
                self.table(ask.strangest()),
            ),
            self._lines("How likely events are", likely + _MOST, "none", 16, ask.level("log_prob_mean", "mean")),
            placed(
                gauges("percentunit"),
                self.source,
                (
                    "Calibration",
                    "How often p ≤ α happened, in all chosen slices and the time above. Each bar should be its own α.",
                ),
                (8, 9),
                self.asked(calibration, instant=True),
            ),
            self._lines("Missing values", "Of an event." + _MOST, "none", 12, ask.share("missing", "seen")),
            self._lines(
                "Smallest shift noticed in a week",
                f"{shift}a week at the slice's rate. Nothing: no shift would be.{_MOST}",
                "none",
                12,
                ask.level("smallest_shift_week", "min", self._longest),
            ),
            placed(
                lines().show_points(VisibilityMode.ALWAYS).min(0.0).max(1.0),
                self.source,
                (
                    "Which features moved",
                    "How far the histogram of each feature's place in the model's prediction is from flat, over each "
                    "span of the length that is chosen above (a day at least), of all slices together: 0 as predicted, "
                    "1 nothing in common.",
                ),
                (24, 9),
                self.asked({"$tag_feature": ask.moved()}),
            ),
        ]

    def events(self) -> list[AnyPanel]:
        """What became of events."""
        ask = self.ask
        went = {said: ask.counted(counter) for counter, said in _OUTCOMES.items()}
        return [
            placed(
                bars(),
                self.source,
                (
                    "What became of events",
                    "How many were scored, came too late, could not be read, or came twice; and how many wait now.",
                ),
                (12, 8),
                self.asked({**went, "held": ask.held()}),
            ).interval(self._pane),
            placed(
                bars(),
                self.source,
                ("Event anomalies", f"Events at or below the event rule.{_MOST}"),
                (12, 8),
                self.asked({"$tag_slice": ask.anomalies()}),
            ).interval(self._pane),
        ]

    def _lines(self, title: str, says: str, unit: str, width: int, query: str) -> AnyPanel:
        panel = placed(lines(unit), self.source, (title, says), (width, 9), self.asked({"$tag_slice": query}))
        return panel.interval(self._pane)

    def asked(self, texts: dict[str, str], instant: bool = False) -> list[Builder[Any]]:
        """Lines by how they are called, a tag's value as InfluxQL's aliases have it; or one figure each."""
        if isinstance(self.ask, Queries):
            return list(influx(self.source, texts))
        legends = {_TAG.sub(r"{{\1}}", alias): text for alias, text in texts.items()}
        return list(promql(legends, instant))

    def table(self, text: str) -> list[Builder[Any]]:
        if isinstance(self.ask, Queries):
            return list(influx(self.source, {"": text}, "table"))
        return list(promql({"": text}, as_table=True))
