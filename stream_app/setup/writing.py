"""A proposal as a ``driftflow.toml``: each line with its reason, and what was left out as comments."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from stream_app.setup.proposal import Choice, LeftOut, Proposal
from stream_app.terminal import printable, utc

_WIDTH = 110
_LEFT_OUT = 40

TEMPLATE = """\
# A stream, before anybody has looked at its events: put the names of your fields in the place of these.
# `driftflow init --from-file FILE` and `--from-topic TOPIC` find them out. All settings: driftflow explain-config --all

# Topics, models and files are named after it.
stream = "mine"

[event]
# The field that says when an event happened, and how it is written: iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or
# a strptime pattern such as "%d.%m.%Y %H:%M".
time_field = "timestamp"
time_format = "iso8601"
# Fields that hold numbers, "payload.amount" where they lie deeper; and those that hold one of some texts.
numeric = ["value"]
#categorical = ["kind"]
# Each list of fields is a way to part the events: every value of "station" is watched by itself. [[]] is all together.
slicings = [[]]
#slicings = [["station"]]
# The field that tells events apart, where there is one: one that comes again is a duplicate.
#id_field = "id"

[windows]
# The step of all statistics: long enough for some events of each slice. And the rolling windows, whole numbers of it.
pane = "1h"
spans = ["1d", "7d", "28d"]

# The topic that is watched (without: mine.events) and the broker. `driftflow score FILE` needs neither.
#[topics]
#events = "mine.events"
#[kafka]
#bootstrap = ["127.0.0.1:9092"]
"""
"""What ``driftflow init`` writes without a source."""


def toml_of(proposal: Proposal, source: str) -> str:
    """The text of a configuration file.

    Args:
        proposal: what to write.
        source: what it was made of, in words.
    """
    when = f"{utc(proposal.from_ms)} to {utc(proposal.to_ms)} UTC"
    lines = [
        *_comment(f"Proposed by `driftflow init` from {source}: {proposal.rows:,} rows ({proposal.kind}), {when}."),
        *_comment("What is not here has its default: `driftflow explain-config` says all of it, and what follows."),
        "",
    ]
    section = ""
    for choice in proposal.choices:
        of, _, name = choice.key.rpartition(".")
        if of != section:
            if section == "event":
                lines += _left_out(proposal.left_out)
            lines += ["", f"[{of}]"]
            section = of
        lines += _setting(choice, name)
    for note in proposal.notes:
        lines += ["", *_comment(f"Note: {note}.")]
    if "kafka" not in proposal.raw():
        events = f"{proposal.of('stream')}.events"
        lines += ["", *_comment(f"With a broker: say where it is, and which topic is watched (without: {events}).")]
        lines += ["#[kafka]", '#bootstrap = ["127.0.0.1:9092"]', "#[topics]", f'#events = "{events}"']
    return "\n".join(lines) + "\n"


def _setting(choice: Choice, name: str) -> list[str]:
    why = choice.why[:1].upper() + choice.why[1:]
    lines = _comment(f"{why}.")
    if choice.unsure:
        lines += _comment(f"Not sure: {choice.unsure}")
    lines += _assignment(name, choice.value)
    return lines + [f"#{name} = {value_of(other)}" for other in choice.others[:5]]


def _assignment(name: str, value: Any) -> list[str]:
    whole = f"{name} = {value_of(value)}"
    if len(whole) <= _WIDTH or not isinstance(value, list):
        return [whole]
    lines, line = [f"{name} = ["], "   "
    for item in value:
        told = f" {value_of(item)},"
        if len(line) + len(told) > _WIDTH and line.strip():
            lines.append(line)
            line = "   "
        line += told
    return [*lines, line, "]"]


def value_of(value: Any) -> str:
    """A text, number, boolean, list or table as TOML writes it; strings of JSON are strings of TOML.

    >>> value_of([["a b"], []]), value_of(True), value_of('x"y'), value_of({"a €": "text"})
    ('[["a b"], []]', 'true', '"x\\\\"y"', '{ "a €" = "text" }')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_of, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{value_of(key)} = {value_of(of)}' for key, of in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def _left_out(left_out: tuple[LeftOut, ...]) -> list[str]:
    if not left_out:
        return []
    lines = ["", "# Left out, and why:"]
    for each in left_out[:_LEFT_OUT]:
        lines += _comment(f"{each.name}: {each.why}", "#   ")
    more = len(left_out) - _LEFT_OUT
    return lines + ([f"#   and {more:,} more"] if more > 0 else [])


def _comment(text: str, mark: str = "# ") -> list[str]:
    wrapped = textwrap.wrap(printable(text), _WIDTH - len(mark), break_long_words=False, break_on_hyphens=False)
    return [f"{mark}{line}" for line in wrapped]
