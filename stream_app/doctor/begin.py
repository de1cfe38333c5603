"""``driftflow init``: a configuration of what a file or a topic holds, written once, and tried on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_app.config import Config, KafkaConfig, load
from stream_app.disk import create_durably, writing
from stream_app.errors import DriftflowError
from stream_app.event_files import Report, of_files, read_rows
from stream_app.setup.infer import infer_sample, stream_name
from stream_app.setup.proposal import Choice, Proposal
from stream_app.setup.rejected import Tried
from stream_app.setup.sampling import Sample, sample_of
from stream_app.setup.writing import TEMPLATE, toml_of
from stream_app.terminal import file_name, printable, utc

Ask = Callable[[Choice], Any]
"""Asks a person which of a choice's values is right."""

_TRIED = 2_000
_QUESTIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from.

    Attributes:
        file: a file of events.
        topic: or a topic.
        bootstrap: the broker that has it.
    """

    file: Path | None = None
    topic: str = ""
    bootstrap: str = ""

    def __str__(self) -> str:
        return f"topic {self.topic}" if self.topic else file_name(self.file or "")


def run_init(source: Source, path: Path, name: str, ask: Ask | None, out: Console) -> None:
    """Write a configuration.

    Args:
        source: what to look at; neither file nor topic is a template.
        path: the file to write; one that is there stays as it is.
        name: of the stream; "" is that of the file or topic.
        ask: where the sample leaves a doubt; None takes the likeliest.
        out: where to say what was found.

    Raises:
        DriftflowError: the file is there already, the source cannot be read, or what it holds is no stream.
    """
    if path.exists():
        raise DriftflowError(f"{path} is there already and stays as it is: name another with --out, or remove it first")
    if source.file is None and not source.topic:
        _write(path, TEMPLATE)
        _say(out, f"{path} is a template: put the names of your fields into it, then try driftflow doctor")
        return
    proposal, bodies = _proposed(source, name, ask)
    _write(path, toml_of(proposal, _shown(source)))
    _told(out, source, path, proposal, _tried(load(path), source, bodies))


def _proposed(source: Source, name: str, ask: Ask | None) -> tuple[Proposal, list[bytes]]:
    bodies, given = list[bytes](), dict[str, Any]()
    if source.file is not None:
        sample = sample_of(source.file)
        name = name or stream_name(source.file.name)
    else:
        from stream_app.doctor.topic import as_rows, sample_topic  # a client of a broker

        kafka = KafkaConfig(bootstrap=[source.bootstrap]) if source.bootstrap else KafkaConfig()
        sampled = sample_topic(kafka, ".", source.topic)
        bodies = [record.value for record in sampled.records if record.value]
        sample, form = as_rows(sampled, source.topic)
        given = {} if form == "json" else {"event.format": form}
        name = name or stream_name(source.topic)
    return _asked(sample, name, given, ask, source), bodies


def _asked(sample: Sample, name: str, given: dict[str, Any], ask: Ask | None, source: Source) -> Proposal:
    """The proposal, with what a person has answered in it."""
    said: dict[str, Any] = {}
    for _ in range(_QUESTIONS_MAX):
        found = infer_sample(sample, name, said, where=str(source), live=bool(source.topic))
        if ask is None or not found.unsure:
            break
        said[found.unsure[0].key] = ask(found.unsure[0])
    more = [Choice(key, value, "the bodies are so encoded") for key, value in given.items()]
    if source.topic:
        more += [
            Choice("kafka.bootstrap", [source.bootstrap or KafkaConfig().bootstrap[0]], "the broker that was asked"),
            Choice("topics.events", source.topic, "the topic that is watched; the others are named after the stream"),
        ]
    choices = sorted([*found.choices, *more], key=lambda choice: _ORDER.index(choice.key.rpartition(".")[0]))
    return Proposal(tuple(choices), found.left_out, found.notes, found.rows, found.kind, found.from_ms, found.to_ms)


_ORDER = ["", "kafka", "topics", "event", "windows", "model"]


def _write(path: Path, text: str) -> None:
    with writing(path):
        if not create_durably(path, text.encode()):
            raise DriftflowError(f"{path} is there already and stays as it is: name another with --out")


def _tried(config: Config, source: Source, bodies: list[bytes]) -> Tried:
    """What becomes of the source's events by the configuration that was written."""
    of_source = config if source.file is None else of_files(config)
    tried = Tried(of_source)
    tried.take(bodies[-_TRIED:] if source.file is None else islice(_values(of_source, source.file), _TRIED))
    return tried


def _values(config: Config, file: Path) -> Iterator[bytes]:
    for _, value in read_rows(file, config, Report()):
        yield value


def _told(out: Console, source: Source, path: Path, proposal: Proposal, tried: Tried) -> None:
    when = f"{utc(proposal.from_ms)} to {utc(proposal.to_ms)} UTC"
    _say(out, f"{proposal.rows:,} rows of {source} ({proposal.kind}), {when}")
    for key in ("event.time_field", "event.slicings", "event.numeric", "event.categorical", "windows.pane"):
        value = proposal.of(key)
        if value is not None:
            choice = next(choice for choice in proposal.choices if choice.key == key)
            doubt = f"  (not sure: {choice.unsure})" if choice.unsure else ""
            _say(out, f"  {key.partition('.')[2]:<12}{_brief(value)}{doubt}")
    if proposal.left_out:
        _say(out, f"  {'left out':<12}{_brief([each.name for each in proposal.left_out])}")
    for note in proposal.notes:
        out.print(f"note: {printable(note)}", style="yellow", soft_wrap=True, markup=False)
    if tried.rejected:
        out.print(f"note: {printable(tried.says())}", style="yellow", soft_wrap=True, markup=False)
    _say(out, f"{path} is written, with the reason of each line. Next:")
    for command in _next(source, path, proposal):
        _say(out, f"  {command}")


def _next(source: Source, path: Path, proposal: Proposal) -> list[str]:
    """The commands to type next."""
    config = "" if str(path) == "driftflow.toml" else f" -c {_quoted(path)}"
    if source.file is not None:
        return [f"driftflow score {_quoted(str(source))}{config}", f"driftflow explain-config{config}"]
    until = utc(proposal.to_ms, "%Y-%m-%dT%H:%M")
    return [
        f"driftflow doctor{config}",
        f"driftflow trainer --bootstrap-until {until}{config}",
        f"driftflow worker{config}",
        f"driftflow console{config}",
    ]


def _brief(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    if value and isinstance(value[0], list):
        return "; ".join("+".join(fields) or "all together" for fields in value)
    more = f" and {len(value) - 8:,} more" if len(value) > 8 else ""
    return ", ".join(value[:8]) + more


def _shown(source: Source) -> str:
    return str(source) if source.file is None else Path(str(source)).name


def _quoted(path: Path | str) -> str:
    text = str(path)
    return text if re.fullmatch(r"[\w./@%+,:=-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _say(out: Console, line: str) -> None:
    out.print(printable(line), soft_wrap=True, markup=False)
