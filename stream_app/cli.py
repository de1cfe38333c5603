"""The ``driftflow`` command: options and help of each subcommand, and one call into the room that does it.

Each subcommand imports its room when it is called, after its configuration has been read: ``driftflow --help`` and a
fault in the configuration answer at once, without waiting for torch and Kafka.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from stream_app import (
    __version__,
    actions_cli,
    audit_cli,
    completion_cli,
    dashboards_cli,
    history_cli,
    letters_cli,
    models_cli,
    notify_cli,
    report_cli,
    setup_cli,
    state_cli,
)
from stream_app.command_line import (
    BOOTSTRAP,
    EXISTING_FILE,
    FILE,
    FORMAT,
    MAX_DROPPED,
    NEW_FILE,
    NEW_FOLDER,
    Factor,
    Group,
    err,
    offline,
    online,
    out,
    plain,
)
from stream_app.config import Config
from stream_app.config.types import RoleName

if TYPE_CHECKING:
    from stream_app.incident_lines import Form

ROLE = click.argument("role", type=click.Choice(get_args(RoleName)))
BUDGET = "By so many standard deviations each value may be changed; may be repeated (default: 0.5)."
ENCRYPT = click.option("--encrypt", is_flag=True, help="Insist that it is encrypted, with the role's passphrase.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="driftflow")
def main() -> None:
    """Watch Kafka topics for drift and anomalies with calibrated normalizing flows.

    \b
    See it work:         driftflow demo
    On your own topic:   driftflow init --from-topic T, then in three terminals
                         driftflow trainer --bootstrap-until 2026-01-31
                         driftflow worker
                         driftflow console
    Without a broker:    driftflow init --from-file F, then driftflow score F
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
    "--seconds",
    type=Factor(min=0.0),
    default=100.0,
    show_default=True,
    help="How long the live part takes (longer where trainings do).",
)
@click.option(
    "--console-port", type=click.IntRange(0, 65_535), default=0, help="Port of the web console (0: any free one)."
)
def demo(**options: Any) -> None:
    """Tell the whole story on real data: a year of Beijing air quality, through a real broker.

    Trains on spring and summer, meets the heating season, reports the drift with the features to blame, retrains,
    swaps the model in and is calibrated again. Takes two to three minutes; Ctrl-C leaves nothing behind.
    """
    from stream_app.demo import run_demo

    sys.exit(run_demo(options))


@main.command(short_help="Run the agents on Kafka.")
@online
@click.option("--only", type=click.Choice(["score", "watch", "judge"]), help="Run one of the three stages.")
@click.option(
    "--decisions",
    type=EXISTING_FILE,
    help="Repeat the run that wrote this decisions.jsonl, instead of making decisions.",
)
@click.option("--skip-preflight", is_flag=True, help="Start without checking the broker first.")
def worker(config: Config, only: str | None, decisions: Path | None, skip_preflight: bool) -> None:
    """Run the agents: score events, keep windows, tell of incidents, ask for models."""
    from stream_app.worker.process import run_worker

    run_worker(config, only=only, decisions=decisions, checked=not skip_preflight)


@main.command(short_help="Answer retrain requests.")
@online
@click.option("--bootstrap-until", metavar="DATE", help="First train a model on the topic's events before this time.")
def trainer(config: Config, bootstrap_until: str | None) -> None:
    """Answer retrain requests: read, fit, gate, sign, publish or refuse."""
    from stream_app.kafka.probes import require_reachable
    from stream_app.models.keys import signing_key

    signing_key(config)
    require_reachable(config.kafka)  # that a key is lost, or no broker there, is said without what computes
    from stream_app.trainer.process import run_trainer

    run_trainer(config, bootstrap_until, lambda line: err.print(plain(line), soft_wrap=True))


@main.command(short_help="Send a file to the events topic.")
@FILE
@online
@click.option(
    "--speedup",
    type=Factor(min=0.0, min_open=True),
    help="Event time runs this much faster than the clock (default: no pacing).",
)
@MAX_DROPPED
def produce(config: Config, file: Path, speedup: float | None, max_dropped: float) -> None:
    """Send the rows of FILE (CSV, JSON lines or Parquet, gzipped or not) to the events topic."""
    from stream_app.kafka.produce import run_produce

    run_produce(config, file, speedup, err, max_dropped)


@main.command(short_help="Report how good a model is.")
@FILE
@offline
@click.option("--bootstrap-until", metavar="DATE", help="First train a model on the file's events before this time.")
@click.option("--model", help="Model id to evaluate (default: the registry's newest).")
@click.option("--out", "page", type=NEW_FILE, default="report.html", show_default=True, help="Write the page here.")
@click.option("--png", type=NEW_FOLDER, help="Write each plot as a PNG here too.")
@click.option("--attack", is_flag=True, help="Also: what slips through when somebody who knows it changes events.")
@click.option("--attack-budget", "budgets", type=float, multiple=True, default=(0.5,), metavar="SD", help=BUDGET)
@click.option("--attack-features", "columns", multiple=True, metavar="FIELD", help="Only this one; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@MAX_DROPPED
def evaluate(
    config: Config, file: Path, page: Path, max_dropped: float, as_json: bool, attack: bool, **options: Any
) -> None:
    """Report how good a model is on events of FILE that it has not seen: likelihood, calibration, samples, slices, and
    with --attack what gets past it.
    """
    from stream_app.offline.fields import check_fields

    check_fields(config, file)  # faults of the file are told without what computes
    from stream_app.event_files import Report
    from stream_app.offline.evaluate.evasion import Plan, words
    from stream_app.offline.evaluate.page import verdict
    from stream_app.offline.evaluate.run import run_evaluate

    report, plan = Report(), Plan(options.pop("budgets"), options.pop("columns"))
    plan.check(config.event.numeric)
    found = run_evaluate(config, file, page, err, report=report, plan=plan if attack else None, **options)
    if as_json:
        click.echo(json.dumps(found.to_json()))
        report.check(file, max_dropped)
        return
    said = [*verdict(found.evaluation), *(words(found.attack, plan) if attack else [])]
    out.print("\n".join(plain(sentence) for sentence in said))
    out.print(f"[bold]{plain(page)}[/]")
    report.tell(out)
    report.check(file, max_dropped)


@main.command(short_help="Tail incidents, requests and models.")
@online
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for more.")
@FORMAT
@click.option("--all", "everything", is_flag=True, help="Reminders, silenced incidents, anomalies and swaps too.")
def signals(config: Config, follow: bool, form: Form | None, everything: bool) -> None:
    """Tail the signals topic readably: incidents, strange events, retrain requests, models."""
    from stream_app.kafka.signals import tail_signals
    from stream_app.models.marks import Marks

    is_trusted = Marks(config).is_trusted
    tail_signals(config, out, is_trusted, follow=follow, form=form or "table", everything=everything)


@main.command(short_help="How the workers are.")
@offline
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")
def status(config: Config, as_json: bool) -> None:
    """Tell how the workers of this state folder are: totals, lag, and what fails."""
    from stream_app.worker.showing import show_status

    show_status(config, out, as_json)


@main.group(short_help="Points that a sink has refused.")
def sink() -> None:
    """Look after the points that a sink has refused and that were set aside."""


@sink.command("list", short_help="List what is set aside.")
@offline
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")
def list_aside(config: Config, as_json: bool) -> None:
    """List what is set aside: how many points by measurement, with their event times, and why."""
    from stream_app.sinks import aside

    listed = aside.list_aside(config)
    click.echo(json.dumps(listed) if as_json else "\n".join(aside.lines_of(listed)))


@sink.command("retry", short_help="Send it again.")
@offline
def retry_aside(config: Config) -> None:
    """Put all that is set aside back into the queue; a worker sends it. What is refused again is set aside again."""
    from stream_app.sinks.aside import retry_aside

    out.print(f"{retry_aside(config):,} points are put back, at the end of the queue: a worker sends them")


@main.group(short_help="Keys of trainer, workers and operators.")
def keys() -> None:
    """Look after the keys that models, notices and retrain requests are signed with.

    The trainer's signs models and notices (trainer.signing_key, trusted by state.trusted_keys); the workers' signs
    retrain requests (worker.signing_key, trusted by trainer.trusted_keys); operators' sign what people answer
    (alerts.trusted_keys).
    """


@keys.command("list", short_help="List the keys, and what is wrong.")
@offline
@click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")
def list_of_keys(config: Config, as_json: bool) -> None:
    """List every key known here: whose it is, whether it is current, what it is trusted for, where it is."""
    from stream_app.models.keys.listing import lines_of, list_keys

    listed = list_keys(config)
    click.echo(msgspec.json.encode(listed).decode() if as_json else "\n".join(lines_of(listed)))


@keys.command("new", short_help="Make a key for a role that has none.")
@ROLE
@offline
@ENCRYPT
def new(config: Config, role: RoleName, encrypt: bool) -> None:
    """Make the key of ROLE, where it has none; trainer and workers make theirs at their first start, too."""
    from stream_app.models.keys.commands import new_key

    click.echo("\n".join(new_key(config, role, encrypt)))


@keys.command("rotate", short_help="Replace a key.")
@ROLE
@offline
@ENCRYPT
@click.option("--prepare", is_flag=True, help="Only publish the next key's public half; rotate again to complete it.")
def rotate(config: Config, role: RoleName, encrypt: bool, prepare: bool) -> None:
    """Give ROLE a new key; what the former one signed stays valid. The former private key is not kept.

    Where trainer and workers do not see one folder: --prepare, copy the public file, then rotate.
    """
    from stream_app.models.keys.commands import rotate_key

    click.echo("\n".join(rotate_key(config, role, encrypt, prepare)))


@keys.command("revoke", short_help="Trust a key no more.")
@click.argument("key")
@offline
@click.option("--yes", "sure", is_flag=True, help="Also where the model in service was signed by it.")
def revoke(config: Config, key: str, sure: bool) -> None:
    """Trust KEY (an id) no more, nor what it has signed, and not again when an old file is copied back."""
    from stream_app.models.keys.commands import revoke_key

    click.echo("\n".join(revoke_key(config, key, sure)))


@main.command(short_help="Serve the web page at localhost.")
@offline
@click.option("--port", type=click.IntRange(0, 65_535), help="Port instead of console.port (0: any free one).")
def console(config: Config, port: int | None) -> None:
    """Serve the web page at localhost, from the embedded store."""
    from stream_app.console.acting import Desk
    from stream_app.console.answers import Store
    from stream_app.console.server import serve

    page, store = config.console, Store.of(config)
    port = page.port if port is None else port
    serve(store, host=page.host, port=port, names=page.names, desk=Desk(config))


@main.command(short_help="Run the embedded broker.")
@click.option("--port", type=click.IntRange(1, 65_535), default=9092, show_default=True)
def broker(port: int) -> None:
    """Run the embedded broker in the foreground (everything is kept in memory)."""
    from stream_app.kafka.embedded import run_broker

    run_broker(port, out)


for _command in (
    *actions_cli.COMMANDS,
    *audit_cli.COMMANDS,
    *completion_cli.COMMANDS,
    *dashboards_cli.COMMANDS,
    *history_cli.COMMANDS,
    *letters_cli.COMMANDS,
    *models_cli.COMMANDS,
    *notify_cli.COMMANDS,
    *report_cli.COMMANDS,
    *setup_cli.COMMANDS,
    *state_cli.COMMANDS,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
