"""Panels as Grafana's own types have them (grafana-foundation-sdk), and InfluxQL's, which those leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from stream_app.dashboards.influxql import Shape

INK = {"critical": "#c2341d", "warning": "#b07708", "info": "#0f6e84", "well": "#2f7d4f", "people": "#6b4fa0"}
"""Colours that mean something."""

AnyPanel = timeseries.Panel | table.Panel | stat.Panel | bargauge.Panel
P = TypeVar("P", timeseries.Panel, table.Panel, stat.Panel, bargauge.Panel)


class InfluxQL(Dataquery, Builder[Dataquery]):
    """A query of the data source ``influxdb``, in InfluxQL.

    Args:
        source: the data source.
        text: the query.
        alias: how a line is called; ``$tag_NAME`` is a tag's value.
        shape: rows of a table, or lines.
        ref: its letter in the panel.
    """

    def __init__(
        self, source: DataSourceRef, text: str, alias: str = "", shape: Shape = "time_series", ref: str = "A"
    ) -> None:
        self._said: dict[str, object] = {"refId": ref, "rawQuery": True, "query": text, "resultFormat": shape}
        self._said |= {"alias": alias} if alias else {}
        self._said["datasource"] = source

    def build(self) -> Dataquery:
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana has it in files."""
        return self._said


class _Note(AnnotationQuery):
    """Marks of InfluxDB on every panel."""

    def __init__(self, name: str, colour: str, source: DataSourceRef, query: str, text: str) -> None:
        super().__init__(name=name, datasource=source, icon_color=colour, hide=None, built_in=None)
        self._said = {"query": query, "textColumn": text}

    def to_json(self) -> dict[str, object]:
        """As Grafana has it: the query as what it shows, and once more as a target, which newer ones take."""
        target = {"refId": "Anno", "name": self.name, "fromAnnotations": True, "textEditor": True}
        return {**super().to_json(), **self._said, "target": target | self._said}


class Note(Builder[AnnotationQuery]):
    """Marks of InfluxDB on every panel: a moment for each row of a query, with the text of a column."""

    def __init__(self, name: str, colour: str, source: DataSourceRef, query: str, text: str) -> None:
        self._made = _Note(name, colour, source, query, text)

    def build(self) -> AnnotationQuery:
        """What is to be shown."""
        return self._made


def influx(source: DataSourceRef, texts: Mapping[str, str], shape: Shape = "time_series") -> list[Builder[Dataquery]]:
    """Queries of a panel, by how their lines are called."""
    return [
        InfluxQL(source, text, alias, shape, ref=chr(ord("A") + k)) for k, (alias, text) in enumerate(texts.items())
    ]


def promql(texts: Mapping[str, str], instant: bool = False, as_table: bool = False) -> list[Builder[Dataquery]]:
    """Queries of Prometheus, by how their lines are called."""
    made: list[Builder[Dataquery]] = []
    for k, (legend, text) in enumerate(texts.items()):
        query = prometheus.Dataquery().expr(text).legend_format(legend).ref_id(chr(ord("A") + k))
        query = query.editor_mode(QueryEditorMode.CODE)
        query = query.format(PromQueryFormat.TABLE) if as_table else query
        made.append(query.instant() if instant or as_table else query.range())
    return made


def placed(panel: P, source: DataSourceRef, what: tuple[str, str], size: tuple[int, int], of: list[Builder[Any]]) -> P:
    """A panel with what every one has.

    Args:
        panel: of some kind.
        source: where its queries go.
        what: its title, and what it says.
        size: columns of 24, and rows.
        of: its queries.
    """
    title, says = what
    return panel.title(title).description(says).datasource(source).span(size[0]).height(size[1]).targets(of)


def lines(unit: str = "short", fill: int = 0, width: int = 1) -> timeseries.Panel:
    """Lines over the time, in a unit of Grafana's."""
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    panel = timeseries.Panel().unit(unit).line_width(width).fill_opacity(fill).show_points(VisibilityMode.AUTO)
    return panel.span_nulls(True).legend(legend.show_legend(True)).tooltip(tooltip)


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Each line on top of the one before."""
    return panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))


def bars(unit: str = "short") -> timeseries.Panel:
    """Stacked bars over the time."""
    return stacked(lines(unit, fill=70).draw_style(GraphDrawStyle.BARS))


def rows(columns: Mapping[str, Sequence[DynamicConfigValue]], sort: str = "Time") -> table.Panel:
    """A table, sorted by a column as it is shown, the largest first.

    Args:
        columns: what is special about some columns, by their names.
        sort: the column as it is shown; none where empty.
    """
    panel = table.Panel().show_header(True)
    for name, special in columns.items():
        panel.override_by_name(name, list(special))
    return panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)]) if sort else panel


def shown(name: str = "", unit: str = "", width: int = 0, hidden: bool = False) -> list[DynamicConfigValue]:
    """What is special about a column: how it is called, its unit, its width in pixels, whether it is left out."""
    special = {"displayName": name, "unit": unit, "custom.width": width, "custom.hidden": hidden}
    return [DynamicConfigValue(key, value) for key, value in special.items() if value]


def linked(name: str, url: str) -> list[DynamicConfigValue]:
    """A column whose values lead somewhere: ``${__value.text}`` is the value; nowhere where there is no address."""
    link = [DynamicConfigValue("links", [{"title": "Open", "url": url, "targetBlank": True}])] if url else []
    return [*shown(name), *link]


def coloured(colour: str) -> list[DynamicConfigValue]:
    """One colour for a series."""
    return [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]


def figures(steps: Iterable[tuple[float | None, str]] = ()) -> stat.Panel:
    """Large figures, the newest of each query, on a ground whose colour says how it stands.

    Args:
        steps: from which value on it has which colour, ascending; the first value is None.
    """
    newest = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)
    panel = stat.Panel().color_mode(BigValueColorMode.BACKGROUND).graph_mode(BigValueGraphMode.NONE)
    levels = dashboard.ThresholdsConfig().steps([Threshold(value, colour) for value, colour in steps])
    return panel.reduce_options(newest).thresholds(levels) if steps else panel.reduce_options(newest)


def gauges(unit: str) -> bargauge.Panel:
    """A bar for each query."""
    newest = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)
    panel = bargauge.Panel().orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC)
    return panel.unit(unit).min(0.0).reduce_options(newest)


def board(title: str, uid: str, panels: Sequence[AnyPanel], since: str, refresh: str) -> dashboard.Dashboard:
    """A dashboard of panels in reading order, over the time from ``since`` to now."""
    made = dashboard.Dashboard(title).uid(uid).tags(["driftflow"]).timezone("utc").editable()
    made = made.time(since, "now").refresh(refresh).tooltip(DashboardCursorSync.CROSSHAIR)
    for number, panel in enumerate(panels, 1):
        made.with_panel(panel.id(number))
    return made
