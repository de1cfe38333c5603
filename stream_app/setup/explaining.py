"""``driftflow explain-config``: what is in force, where it comes from, what it does, and what follows from it."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from stream_app.config import Config, Duration
from stream_app.config.alerts import MONTH_MS
from stream_app.config.promise import alpha, floor
from stream_app.config.types import Section
from stream_app.setup.pacing import DAY, HOUR, in_words, written
from stream_app.setup.writing import value_of
from stream_app.stages.windows import BUCKETS_MAX, bucket_ms

_SLICE_PANE_BYTES = 14 * 2 + 2 * 8
"""What a bucket of a slice's windows takes at least (:class:`~stream_app.stages.windows.Ring`)."""
_BLOCKS = 2.5
"""Blocks of time that a first model takes, in ``trainer.min_blocks`` (:mod:`stream_app.trainer.data.spans`)."""


class Setting(msgspec.Struct, frozen=True):
    """One setting in force.

    Attributes:
        key: dotted.
        value: as TOML writes it.
        source: ``file``, ``default``, or ``stream`` where it follows from the stream's name.
        says: what it does.
    """

    key: str
    value: str
    source: str
    says: str

    @property
    def brief(self) -> str:
        """The first sentence of what it does."""
        return self.says.split(". ")[0].rstrip(".") + "."


def settings_of(config: Config, raw: Mapping[str, Any]) -> list[Setting]:
    """Every setting.

    Args:
        config: what is in force.
        raw: the plain values of the file.
    """
    return list(_settings(config, raw, ""))


def _settings(section: Any, raw: Mapping[str, Any], prefix: str) -> Iterator[Setting]:
    kind: type[Section] = type(section)
    docs = _docs(kind)
    for field in msgspec.structs.fields(section):
        value, key = getattr(section, field.name), f"{prefix}{field.name}"
        given = raw.get(field.name)
        if isinstance(value, Section):
            yield from _settings(value, given if isinstance(given, dict) else {}, f"{key}.")
        elif isinstance(value, dict) and value and all(isinstance(each, Section) for each in value.values()):
            inner = given if isinstance(given, dict) else {}
            for name, each in value.items():
                yield from _settings(each, inner.get(name, {}), f"{key}.{name}.")
        elif key != "root":
            yield Setting(key, _shown(value), _source(field, value, given), _plain(docs.get(field.name, "")))


def _plain(text: str) -> str:
    """A text of the source on one line, without the marks of code."""
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(text.split())).replace("``", "")


def _source(field: Any, value: Any, given: Any) -> str:
    if given is not None:
        return "file"
    return "stream" if field.default == "" and value else "default"


def _shown(value: Any) -> str:
    if isinstance(value, Duration):
        return value_of(written(value)) if value else '"0s"'
    if isinstance(value, list) and value and isinstance(value[0], Duration):
        return value_of([written(each) for each in value])
    if value is None:
        return "follows from others"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{value_of(name)} = {_shown(each)}" for name, each in value.items()) + "}"
    return value_of(value)


@cache
def _docs(kind: Hashable) -> dict[str, str]:
    """Field to the text below it, in the section's own source and in those that it is made of."""
    found: dict[str, str] = {}
    assert isinstance(kind, type)
    for of in reversed(kind.__mro__):
        if of is Section or not issubclass(of, Section):
            continue
        tree = ast.parse(inspect.getsource(sys.modules[of.__module__]))
        body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == of.__name__)
        for one, after in itertools.pairwise(body):
            if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[ast.unparse(one.target)] = str(after.value.value)
    return found


def consequences(config: Config) -> list[tuple[str, str]]:
    """What follows from the settings: ``(what, sentence)``."""
    windows, pane = config.windows, int(config.windows.pane)
    spans = [int(span) for span in windows.spans]
    a_day = max(DAY // pane, 1)
    per_slice = sum(span // bucket_ms(span, pane) for span in spans) * _SLICE_PANE_BYTES
    most = windows.max_slices * len(config.event.slicings)
    names = ", ".join(written(span) for span in spans)
    return [
        (
            "windows",
            f"{names}, in steps of {written(pane)}: each slice writes {a_day * len(spans):,} rows a day to the store",
        ),
        ("warm-up", _warm_up(config, pane)),
        ("delay", _delay(config, pane)),
        ("evidence", _evidence(config, pane)),
        ("single events", _single(config)),
        (
            "memory",
            f"windows of a slice take {per_slice / 1024:.1f} KiB, those of {most:,} slices (windows.max_slices) "
            f"{per_slice * most / 2**20:,.0f} MiB; each span is kept in at most {BUCKETS_MAX} parts",
        ),
        (
            "topics",
            f"watched is {config.topics.events}; read by group {config.kafka.group}, and {config.kafka.group}-trainer",
        ),
    ]


def _warm_up(config: Config, pane: int) -> str:
    blocks = round(_BLOCKS * 2 * config.trainer.min_blocks)
    unit = max(pane, HOUR) if pane * blocks >= 20 * HOUR else pane
    reference = in_words(blocks * unit)
    return (
        f"a first model takes {config.trainer.min_rows:,} events over {reference} at least ({blocks} panes or hours, "
        f"days where they span 20); it trains on up to {in_words(config.retrain.reference)}; alerts come from the "
        "first pane after it on"
    )


def _delay(config: Config, pane: int) -> str:
    late = f" and {written(config.windows.lateness)} (windows.lateness)" if config.windows.lateness else ""
    silence = f"or {written(config.windows.idle_after)} of silence (windows.idle_after)"
    return (
        f"an event is scored at once; its pane is judged {written(pane)}{late} after it began, once "
        f"{config.windows.clock // 2} later events have come on each partition, {silence}"
    )


def _evidence(config: Config, pane: int) -> str:
    rules = [name for name in config.rules if floor(config, name) > 1.0]
    if not rules:
        return "no rule makes evidence: adwin and the like have no promise"
    odds, panes = 2.0 / alpha(config, rules[0]), MONTH_MS / pane
    promise = f"{config.alerts.false_incidents_per_month:g} false incidents a month"
    return (
        f"{promise} over {len(rules)} rules and {panes:,.0f} panes: on a stream of one slice an incident opens from "
        f"odds of about {odds:,.0f} to 1 on, and of K slices for one alone from K times that"
    )


def _single(config: Config) -> str:
    marked = f"one event in {1.0 / config.event_rule.alpha:,.0f} is marked as strange while nothing changes"
    return f"{marked}, and {config.alerts.single_events_per_day:g} a day are told by themselves"
