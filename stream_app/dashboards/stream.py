"""The dashboard of one stream. Its points are in InfluxDB, or in VictoriaMetrics, which keeps numbers only: there are
no panels of texts then.
"""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from stream_app.config import Config
from stream_app.dashboards.influxql import Queries
from stream_app.dashboards.metricsql import Numbers
from stream_app.dashboards.names import influx_uid, stream_uid
from stream_app.dashboards.panels import board
from stream_app.dashboards.stream_panels import About
from stream_app.dashboards.stream_texts import Texts
from stream_app.stages.windows import span_name

_TOLD_AT = 3
"""Panels of texts stand behind so many others."""


def stream_dashboard(config: Config, numbers_only: bool = False) -> dashboard.Dashboard:
    """Of the configuration's stream, in the bucket of its sink.

    Args:
        config: the stream.
        numbers_only: its points are in VictoriaMetrics.
    """
    source = DataSourceRef("prometheus" if numbers_only else "influxdb", influx_uid(config))
    title, since = f"driftflow: {config.stream}", f"now-{_range(config)}"
    if numbers_only:
        numbers = Numbers(config.stream)
        about = About(config, source, numbers)
        made = board(title, stream_uid(config), about.panels(), since, "30s")
        return made.variables(list(_variables(config, source, numbers)))
    ask = Queries(config.stream)
    texts = Texts(config, source, ask)
    panels = texts.panels()
    panels = [*panels[:_TOLD_AT], *texts.told(), *panels[_TOLD_AT:], *texts.models()]
    made = board(title, stream_uid(config), panels, since, "30s")
    return made.variables(list(_variables(config, source, ask))).annotations(list(texts.notes()))


def _range(config: Config) -> str:
    """The longest span twice: what it was at the beginning of the newest one is seen too."""
    return span_name(2 * max(config.windows.spans))


def _variables(config: Config, source: DataSourceRef, ask: Queries | Numbers) -> Iterable[Builder[VariableModel]]:
    first = config.slicing_names[0]
    every = VariableOption(text=["All"], value=["$__all"])
    tags = (
        ("slicing", ask.values_of("slicing"), VariableOption(text=first, value=first), False),
        ("slice", ask.values_of("slice", "slicing"), every, True),
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
