"""``driftflow incidents``: what is open, what is over, what is silenced; and one of them with all that it carries."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.text import Text

from schemas.incidents import Action, Incident
from stream_app.config import Config
from stream_app.incident_causes import together
from stream_app.incident_lines import Form, bounded, is_over, is_silenced, open_first, row, sentence, short, show, story
from stream_app.kafka.actions import read_actions, silences
from stream_app.models.marks import Marks
from stream_app.operators.acting import INCIDENTS, silence_words, words_of
from stream_app.operators.detail import detail
from stream_app.operators.reading import Told, chosen, read_told
from stream_app.terminal import utc


def show_incidents(told: Told, out: Console, everything: bool = False, form: Form | None = None) -> None:
    """Print the incidents, open ones first, the severest of these first, and what processes say that fails.

    Args:
        told: what there is.
        out: where to print.
        everything: those that are over or silenced too, and single strange events.
        form: ``table`` or ``line``, one line each; ``json``, an object a line, as its last message has it; None is
            paragraphs.
    """
    known = open_first(together(told.incidents.values()))
    shown = [one for one in known if everything or not (is_over(one) or is_silenced(one))]
    if form is not None:
        _list(out, shown, form)
        return
    for part in story(shown, list(told.strange.values()) if everything else [], most=len(shown)):
        show(out, part)
    hidden = [one for one in known if one not in shown]
    if hidden:
        silenced = sum(not is_over(one) for one in hidden)
        past = len(hidden) - silenced
        words = [f"{_are(past)} over"] if past else []
        words += [f"{_are(silenced)} open and silenced"] if silenced else []
        out.print(Text(f"{' and '.join(words)}: --all shows them", "dim"))
    for name, health in sorted(told.failing.items()):
        line = Text.assemble(("failing ", "bold red"), f"  since {utc(health.since_ms)}  ", (bounded(name), "bold"))
        show(out, line.append(f": {bounded(health.says)} ({bounded(health.source)})"))


def _are(n: int) -> str:
    return "1 is" if n == 1 else f"{n:,} are"


def show_incident(told: Told, prefix: str, out: Console, form: Form | None = None) -> None:
    """Print one incident with all that its last message carries.

    Raises:
        DriftflowError: no incident has such an id, or several have.
    """
    known = {one.id: one for one in open_first(told.incidents.values())}
    incident = chosen(known, prefix, "incident", words_of, INCIDENTS)
    if form is not None:
        _list(out, [incident], form)
        return
    for part in detail(incident):
        if part:
            show(out, part)


def show_silences(config: Config, out: Console, form: Form | None = None) -> None:
    """Print the silences that nobody has taken back, past ones last.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    known = silences(read_actions(config, Marks(config).is_trusted))
    if form == "json":
        _print_json(out, known)
        return
    now_ms = read_told(config).newest_ms
    for silence in sorted(known, key=lambda one: (one.to_ms <= now_ms, one.from_ms, one.id)):
        past = silence.to_ms <= now_ms
        state = "over" if past else "in force" if silence.from_ms <= now_ms else "to come"
        line = Text.assemble((f"{state:<8}", "" if past else "yellow"), "  ", (short(silence.id), "bold"))
        out.print(line.append(f"  {silence_words(silence)}"), soft_wrap=not out.is_terminal)
    if not known:
        out.print("Nothing is silenced.")


def _list(out: Console, incidents: Iterable[Incident], form: Form) -> None:
    if form == "json":
        _print_json(out, incidents)
        return
    for incident in incidents:
        out.print(row(incident) if form == "table" else sentence(incident), soft_wrap=not out.is_terminal)


def _print_json(out: Console, records: Iterable[Incident | Action]) -> None:
    for record in records:
        out.file.write(msgspec.json.encode(record).decode() + "\n")
    out.file.flush()
