"""The commands about models: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from stream_app.actions_cli import BY, WHY
from stream_app.command_line import NEW_FILE, err, offline, online, out, plain
from stream_app.config import Config

MODEL = click.argument("model", metavar="MODEL")


@click.group(short_help="Models: list, show, approve, roll back.")
def models() -> None:
    """Look after the models of a stream: what was decided about each and why, and what people say of them.

    The first characters of an id will do. What is said is signed with an operator's key, and sent to the trainer
    (approve, reject, anchor) or to the worker that judges (rollback, pin, unpin).
    """


@models.command("list", short_help="List and verify them.")
@online
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, gates included.")
def list_of_models(config: Config, as_json: bool) -> None:
    """List the models of the registry, oldest first, with what was decided and why; verify each."""
    from stream_app.models.listing import check_listed, list_models

    listed = list_models(config)
    if as_json:
        click.echo(json.dumps(listed))
    for model in listed if not as_json else ():
        out.print(f"[bold]{model['model_id']}[/]  {model['status']}, signature verified: {plain(model['verified'])}")
        out.print(f"  trained on {model['train_rows']:,} rows up to {model['trained_until']}; {plain(model['reason'])}")
    if not listed:
        err.print("No models yet: `driftflow trainer --bootstrap-until DATE` makes the first.")
    check_listed(listed)


@models.command(short_help="Send them to the models topic again.")
@online
def publish(config: Config) -> None:
    """Put every promoted model on the models topic again: for a new cluster, a new key, or a replay."""
    from stream_app.trainer.publishing import publish_models

    publish_models(config, err)


@models.command(short_help="Tell all of one.")
@MODEL
@online
@click.option("--json", "as_json", is_flag=True, help="Print its notices as JSON, one a line.")
def show(config: Config, model: str, as_json: bool) -> None:
    """Tell what was decided about MODEL, gate by gate, and where it comes from."""
    from stream_app.operators.models import show_model

    for line in show_model(config, model, as_json):
        click.echo(line) if as_json else out.print(plain(line), soft_wrap=True)


@models.command(short_help="Say in what two differ.")
@click.argument("one", metavar="MODEL")
@click.argument("other", metavar="OTHER")
@online
def diff(config: Config, one: str, other: str) -> None:
    """Say in what MODEL and OTHER differ: rows, settings, code, gates."""
    from stream_app.operators.models import diff_models

    _tell(diff_models(config, one, other))


@models.command(short_help="Say: it may enter service.")
@MODEL
@online
@WHY
@BY
def approve(config: Config, model: str, why: str, by: str) -> None:
    """Let MODEL, which waits for a person, go on: into service, or first beside the model in service on live events."""
    from stream_app.operators.models import run_on_waiting

    _tell(run_on_waiting(config, "approve", model, by, why))


@models.command(short_help="Say: it may not.")
@MODEL
@online
@WHY
@BY
def reject(config: Config, model: str, why: str, by: str) -> None:
    """Refuse MODEL, which waits for a person or is compared on live events."""
    from stream_app.operators.models import run_on_waiting

    _tell(run_on_waiting(config, "reject", model, by, why))


@models.command(short_help="Measure distance from this one.")
@MODEL
@online
@WHY
@BY
def anchor(config: Config, model: str, why: str, by: str) -> None:
    """Make MODEL the anchor: no later model may be far from it, or lose much of what it knows, without a person."""
    from stream_app.operators.models import run_on_promoted

    _tell(run_on_promoted(config, "anchor", model, by, why))


@models.command(short_help="Go back to the one before.")
@click.argument("model", metavar="[MODEL]", required=False, default="")
@online
@WHY
@BY
def rollback(config: Config, model: str, why: str, by: str) -> None:
    """Take MODEL (default: the one in service) out of service: the one before it returns."""
    from stream_app.operators.models import run_rollback

    _tell(run_rollback(config, model, by, why))


@models.command(short_help="Keep one in service.")
@MODEL
@online
@WHY
@BY
def pin(config: Config, model: str, why: str, by: str) -> None:
    """Put MODEL in service and keep it there, whatever is promoted, until `unpin`."""
    from stream_app.operators.models import run_on_promoted

    _tell(run_on_promoted(config, "pin", model, by, why))


@models.command(short_help="Keep it there no more.")
@online
@WHY
@BY
def unpin(config: Config, why: str, by: str) -> None:
    """Let the newest promoted model be in service again."""
    from stream_app.operators.models import run_unpin

    _tell(run_unpin(config, by, why))


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        out.print(plain(line), soft_wrap=True)


@click.command(short_help="Write a model as a file for a device.")
@click.argument("model")
@offline
@click.option("--format", "kind", type=click.Choice(["onnx", "torchscript"]), default="onnx", show_default=True)
@click.option(
    "--out", "path_out", type=NEW_FILE, required=True, help="The file to write; FILE.json beside it says how to use it."
)
@click.option("--int8", is_flag=True, help="Weights of one byte (ONNX), and what that costs; refused over 0.1 nats.")
@click.option("--whole", is_flag=True, help="Encoder and calibration too (ONNX): raw numbers in, p-values out.")
def export(config: Config, model: str, kind: str, path_out: Path, int8: bool, whole: bool) -> None:
    """Write MODEL (an id of the registry, or a file) for a device that runs neither driftflow nor PyTorch.

    The signature is verified before, and what was written is held to the model after. Of int8 it is said what it costs
    on rows drawn from the model, in nats, p-values and microseconds, and whether it pays.
    """
    from stream_app.offline.export import export_model

    exported = export_model(config, model, kind, path_out, int8, whole)
    out.print(
        f"model {exported.model_id}: {plain(exported.file)} and {plain(exported.description)}, "
        f"{'on average' if int8 else 'at most'} {exported.gap_nats:.1e} nats from it"
    )
    for sentence in exported.cost.says if exported.cost else ():
        out.print(f"  {plain(sentence)}")


COMMANDS: tuple[click.Command, ...] = (models, export)
