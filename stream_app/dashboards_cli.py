"""The command that writes what Grafana is provisioned from: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stream_app.command_line import NEW_FOLDER, offline, out, plain
from stream_app.config import Config


@click.command(short_help="Write Grafana's dashboards and alerts.")
@click.option("--out", "folder", type=NEW_FOLDER, required=True, help="Write dashboards/ and provisioning/ here.")
@click.option("--influx", metavar="URL", default="", help="InfluxDB as Grafana reaches it (default: sink.url).")
@click.option(
    "--prometheus", metavar="URL", default="http://prometheus:9090", show_default=True, help="The same of it."
)
@click.option(
    "--alerts-to",
    metavar="WHOM",
    default="$DRIFTFLOW_ALERTS_TO",
    show_default=True,
    help="E-mail addresses, or an URL that takes a POST; $NAME is of Grafana's environment.",
)
@click.option(
    "--boards",
    metavar="FOLDER",
    default="/var/lib/grafana/dashboards",
    show_default=True,
    help="Where Grafana finds dashboards/.",
)
@click.option(
    "--language",
    type=click.Choice(["influxql", "metricsql"]),
    default="influxql",
    show_default=True,
    help="metricsql where the points are in VictoriaMetrics, which keeps no texts.",
)
@offline
def dashboards(config: Config, folder: Path, **options: Any) -> None:
    """Write dashboards of this stream and of the monitor itself, alert rules, a contact point and data sources: the
    files that Grafana is provisioned from. Those of other streams in the folder stay.
    """
    from stream_app.dashboards.files import Options, write_dashboards

    for path in write_dashboards(config, folder, Options(**options)):
        out.print(f"[bold]{plain(path)}[/]", soft_wrap=True)
    if config.sink.kind != "influx":
        out.print(
            "There is no dashboard of the stream: sink.kind is "
            f"{config.sink.kind}, which Grafana does not read, and `driftflow console` shows."
        )


COMMANDS = (dashboards,)
