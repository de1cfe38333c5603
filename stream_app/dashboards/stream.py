"""The dashboard of one stream: what is open, what was told, how far the model is right, which features moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from schemas.pane_layout import ALPHAS
from stream_app.config import Config
from stream_app.dashboards.influxql import MOST_LINES, Queries
from stream_app.dashboards.names import influx_uid, stream_uid
from stream_app.dashboards.panels import (
    INK,
    AnyPanel,
    Note,
    bars,
    board,
    coloured,
    figures,
    gauges,
    influx,
    lines,
    linked,
    placed,
    rows,
    shown,
)
from stream_app.stages.points import ALPHA_FIELDS
from stream_app.stages.windows import span_name

SEVERITIES = ("critical", "warning", "info")

_WHEN = {"Time": shown("when", width=180)}
_WORDS = shown(width=640)
_SINCE = {"since_ms": shown("since", "dateTimeAsIso", 180)}
_SHARE = {"share": shown("share of events", "percentunit", 130)}
_MOST = f" The first {MOST_LINES} of the slices that are chosen above."
_OUTCOMES = {"windowed": "scored", "late": "late", "rejected": "rejected", "duplicate": "duplicate"}


def stream_dashboard(config: Config) -> dashboard.Dashboard:
    """Of the configuration's stream, in the bucket of its sink."""
    source = DataSourceRef("influxdb", influx_uid(config))
    about = _About(config, source, Queries(config.stream))
    panels = [*about.incidents(), *about.slices(), *about.events(), *about.models()]
    made = board(f"driftflow: {config.stream}", stream_uid(config), panels, f"now-{_range(config)}", "30s")
    return made.variables(list(_variables(config, source))).annotations(list(about.notes()))


def _range(config: Config) -> str:
    """The longest span twice: what it was at the beginning of the newest one is seen too."""
    return span_name(2 * max(config.windows.spans))


class _About:
    """The panels of a stream.

    Args:
        config: the stream.
        source: where its points are.
        ask: the queries about it.
    """

    def __init__(self, config: Config, source: DataSourceRef, ask: Queries) -> None:
        self._source, self._ask = source, ask
        console = config.alerts.console_url.rstrip("/")
        self._thread = {"id": linked("incident", console and f"{console}/#incident=${{__value.text}}")}
        self._pane, self._longest = span_name(int(config.windows.pane)), span_name(max(config.windows.spans))

    def incidents(self) -> list[AnyPanel]:
        """What people are told, and what they answered."""
        ask, influx_of = self._ask, self._influx
        count = figures().no_value("0").unit("short")
        for severity in SEVERITIES:
            count.override_by_name(severity, coloured(INK[severity]))
        drift = "drift: the world has changed; fault: the data have."
        how = "resolve: as before; handover: a newer model takes it for normal; accepted: a person does."
        single = {**_WHEN, "count": shown("events", width=90), "summary": _WORDS}
        said = {**_WHEN, "incident_id": shown("incident", width=220), "why": shown(width=420)}
        return [
            placed(
                count,
                self._source,
                ("Open now", "Incidents that have not ended and are not silenced, whatever the time above."),
                (4, 8),
                influx_of({severity: ask.open_count(severity) for severity in SEVERITIES}),
            ),
            placed(
                rows({**_WHEN, **_SINCE, **_SHARE, **self._thread, "summary": _WORDS}, "when"),
                self._source,
                ("Open incidents", f"The newest message of each, the newest first, whatever the time above. {drift}"),
                (20, 8),
                self._table(ask.open_incidents()),
            ),
            placed(
                bars(),
                self._source,
                ("Incidents opened", "By severity and kind; silenced ones aside."),
                (12, 7),
                influx_of({"$tag_severity $tag_kind": ask.opened()}),
            ).interval(self._pane),
            placed(
                rows(single, "when"),
                self._source,
                ("Single strange events", "Strange one by one, in no incident: a message, and how many it counts."),
                (12, 7),
                self._table(ask.newest("strange_events", ("count", "summary"))),
            ),
            placed(
                rows({**_WHEN, **_SINCE, **self._thread, "summary": _WORDS}, "when"),
                self._source,
                ("All incidents", f"The newest message of each, the newest first. {how} silenced 1: kept from people."),
                (24, 8),
                self._table(ask.all_incidents()),
            ),
            placed(
                rows(said, "when"),
                self._source,
                ("What people said", "Acknowledged, accepted, silenced, marked, useful or noise; the newest first."),
                (24, 6),
                self._table(ask.newest("actions", ("verb", "by", "why", "verdict", "incident_id"))),
            ),
        ]

    def slices(self) -> list[AnyPanel]:
        """How strange and how likely events are, slice by slice."""
        ask = self._ask
        strange = "Share of events with p ≤ 0.01 in the span that is chosen above. About 1 % is normal."
        likely = "Mean log-likelihood of the span, nats. Not comparable from one model to the next."
        shift = "How far the mean of one feature has to move, in standard deviations of one event, to be found within "
        calibration = {
            f"α = {100 * alpha:g} %": ask.whole_share(field, "scored")
            for alpha, field in zip(ALPHAS, ALPHA_FIELDS, strict=True)
        }
        top = {"Time": shown(hidden=True), "share": shown("share of strange events", "percentunit")}
        return [
            self._lines("Strange events per slice", strange + _MOST, "percentunit", 16, ask.share("p_le_01", "scored")),
            placed(
                rows(top, "share of strange events"),
                self._source,
                ("Strangest slices", "Share of events with p ≤ 0.01 over the time above; about 1 % is normal."),
                (8, 9),
                self._table(ask.strangest()),
            ),
            self._lines("How likely events are", likely + _MOST, "none", 16, ask.level("log_prob_mean", "mean")),
            placed(
                gauges("percentunit"),
                self._source,
                (
                    "Calibration",
                    "How often p ≤ α happened, in all chosen slices and the time above. Each bar should be its own α.",
                ),
                (8, 9),
                self._influx(calibration),
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
                self._source,
                (
                    "Which features moved",
                    "How far the histogram of each feature's place in the model's prediction is from flat, over each "
                    "span of the length that is chosen above (a day at least), of all slices together: 0 as predicted, "
                    "1 nothing in common.",
                ),
                (24, 9),
                self._influx({"$tag_feature": ask.moved()}),
            ),
        ]

    def events(self) -> list[AnyPanel]:
        """What became of events."""
        ask = self._ask
        went = {said: ask.counted(counter) for counter, said in _OUTCOMES.items()}
        return [
            placed(
                bars(),
                self._source,
                (
                    "What became of events",
                    "How many were scored, came too late, could not be read, or came twice; and how many wait now.",
                ),
                (12, 8),
                self._influx({**went, "held": ask.held()}),
            ).interval(self._pane),
            placed(
                bars(),
                self._source,
                ("Event anomalies", f"Events at or below the event rule.{_MOST}"),
                (12, 8),
                self._influx({"$tag_slice": ask.anomalies()}),
            ).interval(self._pane),
        ]

    def models(self) -> list[AnyPanel]:
        """Every candidate."""
        columns = {**_WHEN, "reason": _WORDS, "train_rows": shown("rows trained on", width=130)}
        return [
            placed(
                rows(columns, "when"),
                self._source,
                ("Models", "Every candidate with what the gates said, the newest first."),
                (24, 8),
                self._table(self._ask.newest("models", ("status", "model_id", "train_rows", "reason", "parent_id"))),
            )
        ]

    def notes(self) -> Iterable[Note]:
        """What is marked on every panel over the time."""
        opened = """"state" = 'open' AND "silenced" = '0' AND "severity" """
        marks = (
            ("New model", INK["info"], "activations", "model_id", """"partition" = '0'"""),
            ("Critical incident", INK["critical"], "incidents", "summary", opened + "= 'critical'"),
            ("Other incident", INK["warning"], "incidents", "summary", opened + "!= 'critical'"),
            ("What people did", INK["people"], "actions", "why", """"verb" = 'mark'"""),
        )
        for name, colour, measurement, field, condition in marks:
            query = self._ask.notes(measurement, field, condition)
            yield Note(name, colour, self._source, query, field)

    def _lines(self, title: str, says: str, unit: str, width: int, query: str) -> AnyPanel:
        panel = placed(lines(unit), self._source, (title, says), (width, 9), self._influx({"$tag_slice": query}))
        return panel.interval(self._pane)

    def _influx(self, texts: dict[str, str]) -> list[Builder[Any]]:
        return list(influx(self._source, texts))

    def _table(self, text: str) -> list[Builder[Any]]:
        return list(influx(self._source, {"": text}, "table"))


def _variables(config: Config, source: DataSourceRef) -> Iterable[Builder[VariableModel]]:
    ask, first = Queries(config.stream), config.slicing_names[0]
    every = VariableOption(text=["All"], value=["$__all"])
    tags = (
        ("slicing", ask.values_of("slicing"), VariableOption(text=first, value=first), False),
        ("slice", ask.values_of("slice", '"slicing" =~ /^$slicing$/'), every, True),
    )
    for name, query, current, several in tags:
        of = dashboard.QueryVariable(name).query(query).datasource(source).current(current).multi(several)
        of = of.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
        yield of.include_all(True).all_value(".*") if several else of.include_all(False)
    yield _span(config)
    features = ",".join(name.replace(",", "\\,") for name in config.event.numeric)
    feature = dashboard.CustomVariable("feature").values(features).multi(True).include_all(True).all_value(".*")
    yield feature.current(every)


def _span(config: Config) -> Builder[VariableModel]:
    """Its text is a length of time, its value what the windows' tag has, which calls a pane so."""
    lengths = [int(config.windows.pane), *map(int, config.windows.spans)]
    tags = {span_name(length): "pane" if k == 0 else span_name(length) for k, length in enumerate(lengths)}
    middle = list(tags)[len(tags) // 2]
    of = dashboard.CustomVariable("span").values(",".join(f"{text} : {tag}" for text, tag in tags.items()))
    return of.current(VariableOption(text=middle, value=tags[middle]))
