"""What Grafana alerts about: open incidents of a stream, one alert for each; and the monitor itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import alerting, expr
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.alerting import RelativeTimeRange
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from stream_app.config import Config
from stream_app.dashboards.influxql import Queries
from stream_app.dashboards.metricsql import Numbers
from stream_app.dashboards.names import CONTACT, MONITOR_UID, influx_uid, stream_uid, uid_of
from stream_app.dashboards.panels import InfluxQL, promql

Beyond = Literal["gt", "lt"]

EVERY = "1m"
"""How often Grafana asks."""

_EXPRESSION = "__expr__"
_LATELY_S = 600
_TOLD = ("critical", "warning")
_OF_US = 'job=~"worker|trainer|console|notify"'


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: of it, for its uid.
        title: what people read first.
        says: one or two sentences, with what to do; Grafana fills in ``{{ .Labels.NAME }}``.
        query: one series for each alert.
        source: uid of the data source.
        severity: a label.
        beyond: it alerts where the newest value is greater than the bound (``gt``), or less (``lt``).
        pending: for how long it has to be so.
        grouped: labels beside the title that make one message.
    """

    name: str
    title: str
    says: str
    query: Builder[Dataquery]
    source: str
    severity: str
    beyond: Beyond = "gt"
    bound: float = 0.0
    pending: str = "5m"
    grouped: tuple[str, ...] = ()

    def built(self, labels: dict[str, str]) -> alerting.Rule:
        """As Grafana has it: the query, its newest value, and whether that is beyond the bound."""
        made = alerting.Rule(self.title).condition("C").for_val(self.pending).uid(self.name)
        made = made.with_query(_asked("A", self.query, self.source))
        made = made.with_query(_asked("B", _newest("A"), _EXPRESSION))
        made = made.with_query(_asked("C", _beyond("B", self.beyond, self.bound), _EXPRESSION))
        told = alerting.NotificationSettings().receiver(CONTACT)
        told = told.group_by(["grafana_folder", "alertname", *self.grouped])
        made = made.no_data_state("OK").exec_err_state("Error").notification_settings(told)
        return made.annotations({"summary": self.says}).labels({"severity": self.severity} | labels)


def _asked(ref: str, model: Builder[Dataquery], source: str) -> alerting.Query:
    times = RelativeTimeRange(from_val=_LATELY_S, to=0)
    return alerting.Query(ref).datasource_uid(source).model(model).relative_time_range(times)


def _newest(of: str) -> Builder[Any]:
    return expr.TypeReduce().ref_id("B").expression(of).reducer("last")


def _beyond(of: str, beyond: Beyond, bound: float) -> Builder[Any]:
    limit = expr.ExprTypeThresholdConditionsEvaluator().params([bound]).type(beyond)
    conditions = [expr.ExprTypeThresholdConditions().evaluator(limit)]
    return expr.TypeThreshold().ref_id("C").expression(of).conditions(list(conditions))


def incident_rules(config: Config, numbers_only: bool = False) -> Iterable[Rule]:
    """Of a stream: one alert for each open incident, which ends with it. Where points are in the embedded store one for
    each kind, from what the worker tells Prometheus.

    Args:
        config: the stream.
        numbers_only: its points are in VictoriaMetrics.
    """
    stream = config.stream
    for severity in _TOLD:
        name, title = uid_of("driftflow", severity, stream), f"{severity.capitalize()} incident on {stream}"
        if config.sink.kind == "influx":
            says = "Incident {{ .Labels.id }} is open: `driftflow incidents` and the dashboard say what it is about."
            source = influx_uid(config)
            query = _prometheus(Numbers(stream).open_each(severity))
            if not numbers_only:
                query = InfluxQL(DataSourceRef("influxdb", source), Queries(stream).open_each(severity))
        else:
            says = "One of kind {{ .Labels.kind }} is open: `driftflow incidents` and the console say which."
            opened = f'driftflow_incidents_open{{severity="{severity}"}}'
            of = f'on (job, instance) group_left (stream) driftflow_info{{stream="{stream}"}}'
            source, query = MONITOR_UID, _prometheus(f"sum by (kind) ({opened} * {of})")
        yield Rule(name, title, says, query, source, severity, pending="0s", grouped=("thread", "kind"))


def monitor_rules(config: Config) -> Iterable[Rule]:
    """Of every process that Prometheus asks."""
    received = 'sum(rate(driftflow_events_total{outcome="received"}[15m]))'
    rejected = 'sum(rate(driftflow_events_total{outcome="rejected"}[15m]))'
    full = config.sink.spool_max_points // 2
    where = "{{ .Labels.job }} {{ .Labels.instance }}"
    yield _rule(
        "silent",
        "A process does not answer",
        f"{where} answers no scrape: is it running, and may Prometheus reach its port?",
        f"up{{{_OF_US}}}",
        "critical",
        beyond="lt",
        bound=1.0,
    )
    yield _rule(
        "not-ready",
        "A process is not ready",
        f"{where} does no work: its page /readyz says why.",
        "min by (job, instance) (driftflow_ready)",
        "warning",
        beyond="lt",
        bound=1.0,
        pending="10m",
    )
    yield _rule(
        "failing",
        "A part fails and tries again",
        f"{{{{ .Labels.part }}}} of {where}: `driftflow status` says why.",
        "max by (job, instance, part) (driftflow_failing)",
        "warning",
    )
    yield _rule(
        "unreadable",
        "Events cannot be read",
        "More than 3 % of the events of a quarter of an hour were rejected: `driftflow dead-letters list` says why.",
        f"{rejected} / {received}",
        "critical",
        bound=0.03,
    )
    yield _rule(
        "behind",
        "Scoring is behind",
        "What waits would take a quarter of an hour to arrive: more workers, up to one for each partition, or faster "
        "ones (infra/README.md).",
        f'sum(driftflow_lag_records{{topic="events"}}) / clamp_min({received}, 0.1)',
        "warning",
        bound=900.0,
        pending="15m",
    )
    yield _rule(
        "set-aside",
        "The sink refuses points",
        "Points are set aside: `driftflow sink list` says why, `driftflow sink retry` sends them again.",
        "max(driftflow_spool_set_aside_points)",
        "warning",
    )
    yield _rule(
        "notify",
        "A channel takes no incidents",
        "{{ .Labels.channel }}: `driftflow notify --list` says what waits and why, `driftflow notify --test` tries it.",
        "max by (channel) (driftflow_notify_failing)",
        "critical",
    )
    yield _rule(
        "spool",
        "The spool fills",
        f"More than {full:,} points wait for the sink; beyond twice as many the oldest are given up.",
        "max(driftflow_spool_points)",
        "critical",
        bound=float(full),
    )


def _rule(name: str, title: str, says: str, query: str, severity: str, **bounds: Any) -> Rule:
    return Rule(uid_of("driftflow", name), title, says, _prometheus(query), MONITOR_UID, severity, **bounds)


def _prometheus(query: str) -> Builder[Dataquery]:
    (made,) = promql({"": query}, instant=True)
    return made


def place_of(config: Config) -> dict[str, str]:
    """Labels of a stream's alerts."""
    return {"stream": config.stream, "dashboard": stream_uid(config)}
