"""The commands of people who look at incidents and answer: options and help, as in :mod:`stream_app.cli`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_app.command_line import EXISTING_FILE, FORMAT, NEW_FILE, Factor, err, online, out, plain
from stream_app.config import Config

if TYPE_CHECKING:
    from stream_app.incident_lines import Form
    from stream_app.operators.reading import Told

ID = click.argument("name", metavar="ID")
BY = click.option("--by", default="", metavar="NAME", help="Who says so (default: the name of your login).")
WHY = click.option("--why", default="", metavar="TEXT", help="Why, for those who come after you.")


@click.command(short_help="List incidents, open ones first.")
@click.argument("name", metavar="[ID]", required=False)
@online
@click.option("--all", "everything", is_flag=True, help="Past and silenced ones too, and single strange events.")
@click.option("--silences", is_flag=True, help="List what is silenced instead.")
@click.option(
    "--from-file", "file", type=EXISTING_FILE, help="Read these signals, as `score --signals` writes them, not a topic."
)
@FORMAT
def incidents(
    config: Config, name: str | None, everything: bool, silences: bool, file: Path | None, form: Form | None
) -> None:
    """List the open incidents in paragraphs, the severest first; or tell all of the one with this ID.

    The first characters of an id will do, here and to answer it: accept, ack, feedback. Without a broker it reads what
    `score --store` has left, and with --from-file what `score --signals` has written.
    """
    from stream_app.operators.showing import show_incident, show_incidents, show_silences

    if silences and name is None:
        show_silences(config, out, form)
        return
    told = _told(config, file)
    if name is not None:
        show_incident(told, name, out, form)
    else:
        show_incidents(told, out, everything, form)


def _told(config: Config, file: Path | None) -> Told:
    from stream_app.operators.reading import told_of
    from stream_app.operators.stored import told_anywhere

    if file is not None:
        from schemas.records import Record
        from stream_app.client import signals

        return told_of(signal.record for signal in signals(config, file=file, of=(Record,)))
    told, instead = told_anywhere(config)
    if instead:
        err.print(plain(f"{instead}."), soft_wrap=True)
    return told


@click.command(short_help="Say: this is the new normal.")
@ID
@online
@WHY
@BY
def accept(config: Config, name: str, why: str, by: str) -> None:
    """Take what incident ID tells of for the new normal: it ends, and no model is asked for because of it.

    A data fault is never trained on; so a lasting change of volume, say, is open until somebody accepts it.
    """
    from stream_app.operators.acting import run_accept

    _say(run_accept(config, name, by, why))


@click.command(short_help="Say: I see to it.")
@ID
@online
@WHY
@BY
def ack(config: Config, name: str, why: str, by: str) -> None:
    """Acknowledge incident ID: it stays open, and reminds nobody any more; one about a log is over with it."""
    from stream_app.operators.acting import run_ack

    _say(run_ack(config, name, by, why))


@click.command(short_help="Keep incidents from people for a time.")
@online
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="PATTERN",
    help="Only slices like this, country=DE or 'Dong*'; several have to fit all.",
)
@click.option("--channel", default="", help="Only this: a detector, a field, or both: 'location TEMP'.")
@click.option("--direction", type=click.Choice(["up", "down"]), default=None, help="Only changes this way.")
@click.option(
    "--below-sd", type=Factor(min=0.0), default=0.0, help="Only changes smaller than so many standard deviations."
)
@click.option("--from", "from_time", default="now", show_default=True, metavar="T", help="Begin, in the stream's time.")
@click.option("--to", "to_time", default="", metavar="T", help="End: a time, or a length of time such as 4h.")
@WHY
@BY
def silence(config: Config, by: str, direction: str | None, **options: Any) -> None:
    """Keep incidents from people for a time: a maintenance, say. Nothing is hidden from `driftflow incidents --all`."""
    from stream_app.operators.acting import run_silence
    from stream_app.operators.silencing import SilenceOptions

    _say(run_silence(config, SilenceOptions(direction=direction or "", **options), by))


@click.command(short_help="Take a silence back.")
@ID
@online
@WHY
@BY
def unsilence(config: Config, name: str, why: str, by: str) -> None:
    """Take silence ID back (`driftflow incidents --silences` lists them)."""
    from stream_app.operators.acting import run_unsilence

    _say(run_unsilence(config, name, by, why))


@click.command(short_help="Mark a release on the stream.")
@click.argument("text")
@online
@click.option("--at", default="now", show_default=True, metavar="T", help="When, in the stream's time.")
@BY
def mark(config: Config, text: str, at: str, by: str) -> None:
    """Mark a time with TEXT, such as 'release 4.2': it stands on plots, and in incidents that begin near it."""
    from stream_app.operators.acting import run_mark

    _say(run_mark(config, text, at, by))


@click.command(short_help="Judge incidents; see how precise they are.")
@click.argument("name", metavar="[ID", required=False)
@click.argument("verdict", metavar="useful|noise|wrong-owner]", required=False)
@online
@WHY
@BY
@click.option("--json", "as_json", is_flag=True, help="Without ID: print as JSON.")
@click.option("--propose", "proposal", type=NEW_FILE, help="Without ID: write what the verdicts speak for here.")
def feedback(config: Config, name: str | None, verdict: str | None, why: str, by: str, **shown: Any) -> None:
    """Judge incident ID. Without ID: which share of the judged incidents was useful, by rule and channel.

    --propose writes a stricter promise where it would have spared noise and nothing else: try it with backtest.
    """
    if name is None:
        from stream_app.offline.feedback import show_feedback

        show_feedback(config, out, **shown)
        return
    from stream_app.operators.acting import run_feedback

    _say(run_feedback(config, name, _verdict(verdict), by, why))


def _verdict(verdict: str | None) -> str:
    verdicts = ("useful", "noise", "wrong-owner")
    if verdict not in verdicts:
        given = "none" if verdict is None else repr(verdict)
        raise click.UsageError(f"give a verdict after the ID, {', '.join(verdicts)}; it was {given}")
    return verdict


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        out.print(plain(line), soft_wrap=True)


COMMANDS: tuple[click.Command, ...] = (incidents, accept, ack, silence, unsilence, mark, feedback)
