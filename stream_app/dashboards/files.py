"""``driftflow dashboards``: the folder that Grafana is provisioned from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stream_app.config import Config
from stream_app.dashboards.names import CONTACT, FOLDER, MONITOR_UID, influx_uid
from stream_app.disk import write_durably, writing
from stream_app.errors import DriftflowError

if TYPE_CHECKING:
    from stream_app.dashboards.rules import Rule

MONITOR = "monitor"
"""Name of the files about the processes; those of a stream begin with ``stream-``."""

Language = Literal["influxql", "metricsql"]

_HEAD = "# Written by `driftflow dashboards`: give it again where the configuration changes.\n"
_BOARDS = "/var/lib/grafana/dashboards"


@dataclass(frozen=True, slots=True)
class Options:
    """What Grafana needs to know that the configuration does not say.

    Attributes:
        influx: address of InfluxDB as Grafana reaches it; ``sink.url`` where empty.
        prometheus: address of Prometheus as Grafana reaches it.
        alerts_to: whom alerts go to: addresses of e-mail, or an URL that takes a POST. ``$NAME`` is taken from
            Grafana's environment, ``$__file{PATH}`` from a file.
        boards: folder of the dashboards as Grafana sees it.
        language: in which the points are asked for: ``influxql``, or ``metricsql`` where they are in VictoriaMetrics.
    """

    influx: str = ""
    prometheus: str = "http://prometheus:9090"
    alerts_to: str = "$DRIFTFLOW_ALERTS_TO"
    boards: str = _BOARDS
    language: Language = "influxql"


def write_dashboards(config: Config, folder: Path, options: Options) -> list[Path]:
    """Write dashboards, data sources, alert rules and the contact point for a stream and for the monitor itself.

    Files of other streams in the folder stay.

    Args:
        config: the stream. Where its sink is not InfluxDB there is no dashboard of the stream, since Grafana does not
            read the embedded store.
        folder: where to; it is made.
        options: where Grafana finds what.

    Returns:
        What was written.

    Raises:
        DriftflowError: the extra is not installed, or a file cannot be written.
    """
    texts = {**_of_stream(config, options), **_of_monitor(config, options)}
    paths = []
    for name, text in texts.items():
        path = folder / name
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, text.encode())
        paths.append(path)
    return paths


def _of_stream(config: Config, options: Options) -> dict[str, str]:
    _needs_extra()
    from stream_app.dashboards.rules import incident_rules, place_of
    from stream_app.dashboards.stream import stream_dashboard

    name = f"stream-{config.stream}"
    numbers_only = options.language == "metricsql"
    rules = _rules(config.stream, incident_rules(config, numbers_only), place_of(config))
    files = {f"provisioning/alerting/{name}.yaml": _yaml({"apiVersion": 1, "groups": [rules]})}
    if config.sink.kind != "influx":
        return files
    return files | {
        f"dashboards/{name}.json": _json(stream_dashboard(config, numbers_only).build()),
        f"provisioning/datasources/{name}.yaml": _sources(_influx_source(config, options)),
    }


def _of_monitor(config: Config, options: Options) -> dict[str, str]:
    from stream_app.dashboards.monitor import monitor_dashboard
    from stream_app.dashboards.rules import monitor_rules

    alerts = {"apiVersion": 1, "contactPoints": [_contact(options.alerts_to)]}
    alerts["groups"] = [_rules("the monitor itself", monitor_rules(config), {})]
    source = {"name": MONITOR_UID, "uid": MONITOR_UID, "type": "prometheus", "access": "proxy"}
    boards = {"name": "driftflow", "type": "file", "allowUiUpdates": False, "options": {"path": options.boards}}
    return {
        f"dashboards/{MONITOR}.json": _json(monitor_dashboard().build()),
        f"provisioning/alerting/{MONITOR}.yaml": _yaml(alerts),
        f"provisioning/datasources/{MONITOR}.yaml": _sources(
            source | {"url": options.prometheus, "jsonData": {"timeInterval": "15s"}}
        ),
        "provisioning/dashboards/driftflow.yaml": _yaml({"apiVersion": 1, "providers": [boards]}),
    }


def _influx_source(config: Config, options: Options) -> dict[str, Any]:
    """A bucket is a database to InfluxQL. 1.8 takes ``Token USER:PASSWORD`` in the same header."""
    sink, uid = config.sink, influx_uid(config)
    token = f"$__file{{{sink.token_file}}}" if sink.token_file else f"${sink.token_env}" if sink.token_env else ""
    source = {"name": uid, "uid": uid, "access": "proxy", "url": options.influx or sink.url}
    if options.language == "metricsql":
        return source | {"type": "prometheus", "jsonData": {"httpMethod": "POST"}}
    login = {"httpHeaderName1": "Authorization"} if token else {}
    secret = {"secureJsonData": {"httpHeaderValue1": f"Token {token}"}} if token else {}
    return source | {"type": "influxdb", "jsonData": {"dbName": sink.bucket, "httpMode": "GET", **login}} | secret


def _contact(to: str) -> dict[str, Any]:
    """By what is given: an URL, or addresses."""
    is_url = to.startswith(("http://", "https://"))
    kind, settings = ("webhook", {"url": to, "httpMethod": "POST"}) if is_url else ("email", {"addresses": to})
    receiver = {"uid": f"{CONTACT}-{kind}", "type": kind, "settings": settings}
    return {"orgId": 1, "name": CONTACT, "receivers": [receiver]}


def _rules(group: str, rules: Iterable[Rule], labels: dict[str, str]) -> dict[str, Any]:
    """A group, without what only Grafana's other interfaces have."""
    from stream_app.dashboards.rules import EVERY

    made = [json.loads(_json(rule.built(labels).build())) for rule in rules]
    kept = [{key: of for key, of in one.items() if key not in ("folderUID", "orgID", "ruleGroup")} for one in made]
    return {"orgId": 1, "name": group, "folder": FOLDER, "interval": EVERY, "rules": kept}


def _sources(*sources: dict[str, Any]) -> str:
    return _yaml({"apiVersion": 1, "datasources": list(sources)})


def _yaml(document: dict[str, Any]) -> str:
    import yaml  # with the extra

    return _HEAD + str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110))


def _json(made: Any) -> str:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made) + "\n"


def _needs_extra() -> None:
    """Raises DriftflowError where the types are not installed."""
    try:
        import grafana_foundation_sdk  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as missing:
        raise DriftflowError(
            f"dashboards are made with Grafana's own types ({missing}): pip install 'driftflow[grafana]'"
        ) from missing
