"""The commands for auditors: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from stream_app.command_line import NEW_FOLDER, online, out, plain
from stream_app.config import Config
from stream_app.errors import AuditError

MODEL = click.argument("model", metavar="MODEL")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print as one JSON object.")


@click.group(short_help="Show what happened, and that nobody changed it.")
def audit() -> None:
    """Show to an auditor what was asked, trained, judged, approved, promoted and said, and that nobody changed it."""


@audit.command(short_help="Look whether the record is whole.")
@online
@click.option("--head", "noted", multiple=True, metavar="HASH", help="Also: this line, noted earlier, is there still.")
@AS_JSON
def verify(config: Config, noted: tuple[str, ...], as_json: bool) -> None:
    """Look whether the audit log, the registry and the models are as they were written and signed.

    Ends with status 1 where anything was edited, deleted, moved or cut, and says what.
    """
    from stream_app.audit.verify import verify

    verified = verify(config, noted)
    if as_json:
        click.echo(json.dumps(verified.to_json()))
    for line in verified.says() if not as_json else ():
        out.print(plain(line), soft_wrap=True)
    if verified.faults:
        raise AuditError("\n".join(["the record is not as it was written:", *verified.faults]))
    if not as_json:
        out.print("Nothing was changed, taken out, moved or cut.", style="bold green")


@audit.command(short_help="From anything to all it hangs together with.")
@click.argument("name", metavar="ID")
@online
@AS_JSON
def trace(config: Config, name: str, as_json: bool) -> None:
    """Go from an incident, a strange event, a request, a model, a change or an action to all it hangs together with.

    The first characters of an id will do.
    """
    from stream_app.audit.tracing import trace

    traced = trace(config, name)
    if as_json:
        click.echo(json.dumps(traced.to_json()))
    for line in traced.says() if not as_json else ():
        out.print(plain(line), soft_wrap=True)


@audit.command(short_help="Write all there is to know of a model.")
@MODEL
@online
@click.option("--out", "folder", type=NEW_FOLDER, required=True, help="Write model.html and model.md here.")
def dossier(config: Config, model: str, folder: Path) -> None:
    """Write model card, data sheet, gates, shadow, privacy, incidents, fairness and service history of MODEL, and what
    of two standards they are evidence for, as one page for people (model.html) and as text (model.md).
    """
    from stream_app.audit.dossier.writing import write_dossier

    for path in write_dossier(config, model, folder):
        out.print(f"[bold]{plain(path)}[/]", soft_wrap=True)


@audit.command(short_help="Its training as OpenLineage events.")
@MODEL
@online
def lineage(config: Config, model: str) -> None:
    """Print the training of MODEL as OpenLineage run events, a JSON object a line: what went in, and what came out."""
    from stream_app.audit.lineage import lineage_of

    for event in lineage_of(config, model):
        click.echo(json.dumps(event))


COMMANDS: tuple[click.Command, ...] = (audit,)
