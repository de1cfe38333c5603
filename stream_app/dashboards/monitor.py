"""The dashboard of the monitor itself: what its processes tell Prometheus (``infra/METRICS.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import BigValueTextMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from stream_app.dashboards.names import MONITOR_UID
from stream_app.dashboards.panels import INK, AnyPanel, board, figures, lines, placed, promql, rows, shown, stacked

SOURCE = DataSourceRef("prometheus", MONITOR_UID)

OF = 'job=~"$job", instance=~"$instance"'
"""The processes that are chosen."""

_RATE = "$__rate_interval"
_FROM_ONE = ((None, INK["well"]), (1.0, INK["critical"]))


def monitor_dashboard() -> dashboard.Dashboard:
    """Of every stream's processes that Prometheus asks."""
    panels = [*_now(), *_flow(), *_steps(), *_ways_out(), *_processes()]
    made = board("driftflow: the monitor itself", MONITOR_UID, panels, "now-6h", "15s")
    restarts = dashboard.AnnotationQuery().name("Restart").datasource(SOURCE).icon_color(INK["people"])
    changed = 'changes(process_start_time_seconds{job=~"$job"}[1m]) > 0'
    names = (
        ("job", "label_values(driftflow_info, job)"),
        ("instance", 'label_values(driftflow_info{job=~"$job"}, instance)'),
    )
    return made.variables([_variable(*of) for of in names]).annotation(restarts.enable(True).expr(changed))


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    of = dashboard.QueryVariable(name).query(query).datasource(SOURCE).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    of = of.sort(VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*")
    return of.current(VariableOption(text="All", value="$__all"))


def _now() -> list[AnyPanel]:
    words = {"0": ValueMappingResult(text="not ready", index=0), "1": ValueMappingResult(text="ready", index=1)}
    ready = figures(((None, INK["critical"]), (1.0, INK["well"]))).mappings([ValueMap(words)])
    hidden = {name: shown(hidden=True) for name in ("Time", "Value", "__name__")}
    return [
        _put(
            ready.text_mode(BigValueTextMode.AUTO),
            ("Processes", "What /readyz of each process says; its page gives the reasons."),
            (8, 5),
            promql({"{{job}} {{instance}}": f"min by (job, instance) (driftflow_ready{{{OF}}})"}, instant=True),
        ),
        _put(
            rows(hidden, sort=""),
            (
                "What fails and tries again",
                "Parts of a worker, as ARCHITECTURE.md names them, and what it has noticed of its partitions. Empty "
                "when all is well.",
            ),
            (10, 5),
            promql({"": f"driftflow_failing{{{OF}}} == 1"}, as_table=True),
        ),
        _put(
            figures(_FROM_ONE),
            ("Not scraped", "Processes that do not answer Prometheus."),
            (3, 5),
            promql({"": 'count(up{job=~"worker|trainer|console|notify"} == 0) or vector(0)'}, instant=True),
        ),
        _put(
            figures(_FROM_ONE).decimals(0.0),
            ("Dead letters in a day", "driftflow dead-letters list tells which."),
            (3, 5),
            promql({"": f"sum(increase(driftflow_dead_letters_total{{{OF}}}[1d])) or vector(0)"}, instant=True),
        ),
    ]


def _flow() -> list[AnyPanel]:
    received = f'driftflow_events_total{{outcome!="received", {OF}}}'
    return [
        _lines(
            ("Events", "Events a second by what became of them."),
            12,
            {"{{outcome}}": f"sum by (outcome) (rate({received}[{_RATE}]))"},
            unit="eps",
        ),
        _lines(
            ("Lag", "Records that are not settled, by partition; held: events that wait until the stream comes near."),
            12,
            {
                "{{topic}} {{partition}}": f"driftflow_lag_records{{{OF}}}",
                "held": f"sum(driftflow_events_held{{{OF}}})",
            },
        ),
    ]


def _steps() -> list[AnyPanel]:
    def rate(of: str, by: str = "step") -> str:
        return f"sum by ({by}) (rate(driftflow_step_{of}{{{OF}}}[{_RATE}]))"

    return [
        stacked(
            _lines(
                (
                    "Where the time goes",
                    "Share of one core's time that each step takes; waiting for the broker's acknowledgement is part "
                    "of a checkpoint.",
                ),
                12,
                {"{{step}}": rate("seconds_sum")},
                unit="percentunit",
                fill=25,
            )
        ),
        _lines(
            ("The slowest of a hundred steps", "99th percentile by step."),
            12,
            {"{{step}}": f"histogram_quantile(0.99, {rate('seconds_bucket', 'step, le')})"},
            unit="s",
        ),
        _lines(
            ("Messages a step", "How many messages a step takes in at once: few where there is no lag."),
            8,
            {"{{step}}": f"{rate('messages_sum')} / {rate('messages_count')}"},
        ),
        _lines(
            ("State written", "Bases and heads of the partitions' states."),
            8,
            {"{{stage}}": f"sum by (stage) (rate(driftflow_state_written_bytes_total{{{OF}}}[{_RATE}]))"},
            unit="Bps",
        ),
        stacked(
            _lines(
                ("Dead letters", "A minute, by reason."),
                8,
                {"{{reason}}": f"60 * sum by (reason) (rate(driftflow_dead_letters_total{{{OF}}}[{_RATE}]))"},
                unit="cpm",
                fill=25,
            )
        ),
    ]


def _ways_out() -> list[AnyPanel]:
    ahead = f"max(driftflow_event_time_seconds{{{OF}}}) - max(driftflow_judged_time_seconds{{{OF}}})"
    return [
        _lines(
            ("On the way to the sink", "Points in the spool, and those that the sink will never take."),
            6,
            {
                "wait": f"max(driftflow_spool_points{{{OF}}})",
                "set aside": f"max(driftflow_spool_set_aside_points{{{OF}}})",
            },
        ),
        _lines(
            ("Tries of the sink that failed", "They are made again, and what they hold is kept."),
            6,
            {"tries": f"sum(increase(driftflow_sink_errors_total{{{OF}}}[{_RATE}]))"},
        ),
        stacked(
            _lines(
                ("Open incidents", "Of the worker that has JUDGE."),
                6,
                {"{{severity}} {{kind}}": f"sum by (severity, kind) (driftflow_incidents_open{{{OF}}})"},
                fill=25,
            )
        ),
        _lines(
            (
                "Event time",
                "How far JUDGE is behind the newest events, and these beyond the data of the model in service.",
            ),
            6,
            {
                "not judged yet": ahead,
                "age of model {{model_id}}": f"max by (model_id) (driftflow_model_age_seconds{{{OF}}})",
            },
            unit="s",
        ),
    ]


def _processes() -> list[AnyPanel]:
    process = "{{job}} {{instance}}"
    requests = f"driftflow_trainer_requests_total{{{OF}}}"
    pages = f"driftflow_console_requests_total{{{OF}}}"
    delivered = f"driftflow_notify_messages_total{{{OF}}}"
    channels = {
        "{{channel}} {{outcome}}": f"sum by (channel, outcome) (increase({delivered}[{_RATE}]))",
        "{{channel}} wait": f"max by (channel) (driftflow_notify_waiting_messages{{{OF}}})",
    }
    signs = {
        "trainer: since it came round": f"max(driftflow_trainer_sign_seconds{{{OF}}})",
        "console: since the store was written": f"max(driftflow_console_store_age_seconds{{{OF}}})",
    }
    return [
        _lines(("Memory", "In RAM."), 8, {process: f"process_resident_memory_bytes{{{OF}}}"}, unit="bytes"),
        _lines(
            ("CPU", "Of one core."),
            8,
            {process: f"rate(process_cpu_seconds_total{{{OF}}}[{_RATE}])"},
            unit="percentunit",
        ),
        _lines(("Signs of life", "How long ago."), 8, signs, unit="s"),
        _lines(
            ("Trainer", "Requests that were decided."),
            8,
            {"{{outcome}}": f"sum by (outcome) (increase({requests}[{_RATE}]))"},
        ),
        _lines(
            ("Console", "Requests of the page a second."),
            8,
            {"{{path}} {{status}}": f"sum by (path, status) (rate({pages}[{_RATE}]))"},
            unit="reqps",
        ),
        _lines(("Notify", "Messages that a channel has taken or refused, and how many wait for it."), 8, channels),
    ]


def _lines(what: tuple[str, str], width: int, texts: Mapping[str, str], unit: str = "short", fill: int = 5) -> Any:
    return _put(lines(unit, fill), what, (width, 7), promql(texts))


def _put(panel: Any, what: tuple[str, str], size: tuple[int, int], of: list[Builder[Any]]) -> Any:
    return placed(panel, SOURCE, what, size, of)
