"""The ``driftflow`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from stream_app import __version__
from stream_app.config import Config, load
from stream_app.errors import DriftflowError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

CONFIG = click.option(
    "-c",
    "--config",
    "config_path",
    default="driftflow.toml",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The stream's configuration.",
)
BOOTSTRAP = click.option("--bootstrap", metavar="HOST:PORT", help="Broker to use instead of kafka.bootstrap.")


class _Group(click.Group):
    """Prints operating errors as a sentence, without a traceback, and exits 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DriftflowError as error:
            err.print(f"[bold red]driftflow:[/] {_plain(error)}")
            sys.exit(1)


def _plain(text: object) -> str:
    """Brackets are rich's markup."""
    return str(text).replace("[", "\\[")


def _load(config_path: str, bootstrap: str | None = None) -> Config:
    overrides = {"kafka.bootstrap": [bootstrap]} if bootstrap else None
    return load(config_path, overrides)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="driftflow")
def main() -> None:
    """Watch Kafka topics for drift and anomalies with calibrated normalizing flows.

    \b
    See it work:         driftflow demo
    On your own topic:   write driftflow.toml, then in three terminals
                         driftflow trainer --bootstrap-until 2026-01-31
                         driftflow worker
                         driftflow console
    Without a broker:    driftflow score FILE --bootstrap-until 2026-01-31
    """


@main.command(short_help="See the whole story on real data.")
@click.option("--port", type=int, help="Fix the embedded broker's port.")
@BOOTSTRAP
@click.option("--stream", default="beijing-air", show_default=True, help="Stream name; topics are named after it.")
@click.option("--dir", "folder", type=click.Path(file_okay=False), help="Work here instead of in a temporary folder.")
@click.option("--exit-when-done", is_flag=True, help="End when the story is told (so it does without a terminal).")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards (until Ctrl-C).")
@click.option(
    "--report", type=click.Path(dir_okay=False), help="Write the figures of the run here, as one JSON object."
)
@click.option(
    "--seconds", default=100.0, show_default=True, help="How long the live part takes (longer where trainings do)."
)
@click.option("--console-port", default=0, help="Port of the web console (0: any free one).")
def demo(**options: Any) -> None:
    """Tell the whole story on real data: a year of Beijing air quality, through a real broker.

    Trains on spring and summer, meets the heating season, reports the drift with the features to blame, retrains,
    swaps the model in and is calibrated again. Takes two to three minutes; Ctrl-C leaves nothing behind.
    """
    from stream_app.demo import run_demo

    sys.exit(run_demo(options))


@main.command(short_help="Run the agents on Kafka.")
@CONFIG
@BOOTSTRAP
@click.option("--only", type=click.Choice(["score", "watch"]), help="Run one of the two stages.")
@click.option(
    "--decisions",
    type=click.Path(exists=True, dir_okay=False),
    help="Repeat the run that wrote this decisions.jsonl, instead of making decisions.",
)
@click.option("--skip-preflight", is_flag=True, help="Start without checking the broker first.")
def worker(
    config_path: str, bootstrap: str | None, only: str | None, decisions: str | None, skip_preflight: bool
) -> None:
    """Run the agents: score events, keep windows, raise alerts, ask for models."""
    from stream_app.worker.process import run_worker

    run_worker(_load(config_path, bootstrap), only=only, decisions=decisions, checked=not skip_preflight)


@main.command(short_help="Answer retrain requests.")
@CONFIG
@BOOTSTRAP
@click.option("--bootstrap-until", metavar="DATE", help="First train a model on the topic's events before this time.")
def trainer(config_path: str, bootstrap: str | None, bootstrap_until: str | None) -> None:
    """Answer retrain requests: read, fit, gate, sign, publish or refuse."""
    from stream_app.trainer.process import run_trainer

    run_trainer(_load(config_path, bootstrap), bootstrap_until, lambda line: err.print(_plain(line)))


@main.command(short_help="Send a file to the events topic.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@CONFIG
@BOOTSTRAP
@click.option("--speedup", type=float, help="Event time runs this much faster than the clock (default: no pacing).")
def produce(file: Path, config_path: str, bootstrap: str | None, speedup: float | None) -> None:
    """Send the rows of FILE (CSV or JSON lines, .gz or not) to the events topic."""
    from stream_app.kafka.produce import run_produce

    run_produce(_load(config_path, bootstrap), file, speedup, err)


@main.command(short_help="Score a file, without a broker.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@CONFIG
@click.option("--bootstrap-until", metavar="DATE", help="First train a model on the file's events before this time.")
@click.option("--model", help="Model id to score with (default: the registry's newest).")
@click.option("--decisions", type=click.Path(exists=True, dir_okay=False), help="Repeat the run that wrote this file.")
@click.option(
    "--signals", "signals_path", type=click.Path(dir_okay=False), help="Write the signals here, as JSON lines."
)
@click.option("--store", is_flag=True, help="Write windows and alerts to the configured sink too.")
def score(file: Path, config_path: str, **options: Any) -> None:
    """Run both stages on FILE in this process, without a broker: the same results as on Kafka."""
    from stream_app.offline.score import run_score

    run_score(load(config_path), file, out=out, err=err, **options)


@main.command(short_help="Report how good a model is.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@CONFIG
@click.option("--bootstrap-until", metavar="DATE", help="First train a model on the file's events before this time.")
@click.option("--model", help="Model id to evaluate (default: the registry's newest).")
@click.option(
    "--out",
    "out_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    help="Write the page here.",
)
@click.option("--png", type=click.Path(file_okay=False, path_type=Path), help="Write each plot as a PNG here too.")
def evaluate(
    file: Path, config_path: str, bootstrap_until: str | None, model: str | None, out_path: Path, png: Path | None
) -> None:
    """Report how good a model is on events of FILE that it has not seen: likelihood, calibration, samples, slices."""
    from stream_app.offline.evaluate.page import verdict
    from stream_app.offline.evaluate.run import run_evaluate

    found = run_evaluate(load(config_path), file, out_path, err, png=png, model=model, bootstrap_until=bootstrap_until)
    out.print("\n".join(_plain(sentence) for sentence in verdict(found)))
    out.print(f"[bold]{_plain(out_path)}[/]")


@main.command(short_help="Tail alerts, requests and models.")
@CONFIG
@BOOTSTRAP
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--all", "everything", is_flag=True, help="Event anomalies and activations too.")
def signals(config_path: str, bootstrap: str | None, follow: bool, as_json: bool, everything: bool) -> None:
    """Tail the signals topic readably: alerts, retrain requests, models."""
    from stream_app.kafka.signals import tail_signals

    tail_signals(_load(config_path, bootstrap), out, follow=follow, as_json=as_json, everything=everything)


@main.command(short_help="List and verify the models.")
@CONFIG
@BOOTSTRAP
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, gates included.")
@click.option(
    "--publish", is_flag=True, help="Put every promoted model on the models topic again (a new cluster, a replay)."
)
def models(config_path: str, bootstrap: str | None, as_json: bool, publish: bool) -> None:
    """List the models of the registry, oldest first, with what was decided and why; verify each."""
    from stream_app.models.listing import list_models
    from stream_app.trainer.publishing import publish_models

    config = _load(config_path, bootstrap)
    if publish:
        publish_models(config, err)
        return
    rows = list_models(config)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        out.print(f"[bold]{row['model_id']}[/]  {row['status']}, signature verified: {_plain(row['verified'])}")
        out.print(f"  trained on {row['train_rows']:,} rows up to {row['trained_until']}; {_plain(row['reason'])}")
    if not rows:
        err.print("No models yet: `driftflow trainer --bootstrap-until DATE` makes the first.")


@main.command(short_help="Write a model as a file for a device.")
@click.argument("model")
@CONFIG
@click.option("--format", "kind", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True)
@click.option(
    "--out",
    "out_path",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write; FILE.json beside it says how to use it.",
)
@click.option("--int8", is_flag=True, help="Weights of one byte (ONNX); refused where that costs over 0.1 nats.")
def export(model: str, config_path: str, kind: str, out_path: Path, int8: bool) -> None:
    """Write MODEL (an id of the registry, or a file) for a device that runs neither driftflow nor PyTorch.

    The signature is verified before, and what was written is held to the model after.
    """
    from stream_app.offline.export import export_model

    done = export_model(load(config_path), model, kind, out_path, int8)
    out.print(
        f"model {done.model_id}: {_plain(done.file)} and {_plain(done.description)}, "
        f"{'on average' if int8 else 'at most'} {done.gap_nats:.1e} nats from it"
    )


@main.command(short_help="Serve the web page at localhost.")
@CONFIG
@click.option("--port", type=int, help="Port instead of console.port.")
def console(config_path: str, port: int | None) -> None:
    """Serve the web page at localhost, from the embedded store."""
    from stream_app.console.answers import Store
    from stream_app.console.server import serve

    config = load(config_path)
    page = config.console
    serve(Store.of(config), host=page.host, port=page.port if port is None else port, names=page.names)


@main.command(short_help="Run the embedded broker.")
@click.option("--port", default=9092, show_default=True)
def broker(port: int) -> None:
    """Run the embedded broker in the foreground (everything is kept in memory)."""
    from stream_app.kafka.embedded import run_broker

    run_broker(port, out)


if __name__ == "__main__":
    main()
