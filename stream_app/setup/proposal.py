"""What a sample suggests: a value for each setting that needs one, with the reason, and what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream_app.config import Config, parse


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting.

    Attributes:
        key: dotted, as in a configuration: ``event.time_field``.
        value: as TOML has it.
        why: the reason, in a sentence without a stop.
        unsure: the question to a person; "" where the sample leaves no doubt.
        others: what it may be instead, the likeliest first.
    """

    key: str
    value: Any
    why: str
    unsure: str = ""
    others: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that is no feature, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration for a stream, as far as a sample tells.

    Attributes:
        choices: its settings; what is not among them has its default.
        left_out: columns that are used for nothing.
        notes: what is wrong with the data or limits what can be found, each with what to do.
        rows: rows of the sample's source that were looked at.
        kind: what the source is: ``CSV``, ``JSON lines``, ``Parquet``, ``topic``, ``rows``.
        from_ms, to_ms: first and last time among them.
    """

    choices: tuple[Choice, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    rows: int
    kind: str
    from_ms: int
    to_ms: int

    def of(self, key: str) -> Any:
        """The value of a setting; None where there is none."""
        return next((choice.value for choice in self.choices if choice.key == key), None)

    @property
    def unsure(self) -> list[Choice]:
        """What a person should be asked."""
        return [choice for choice in self.choices if choice.unsure]

    def raw(self) -> dict[str, Any]:
        """The settings as plain values, section by section."""
        raw: dict[str, Any] = {}
        for choice in self.choices:
            section, _, name = choice.key.rpartition(".")
            (raw.setdefault(section, {}) if section else raw)[name] = choice.value
        return raw

    def config(self, root: str = ".") -> Config:
        """The configuration; relative paths in it are taken from ``root``.

        Raises:
            ConfigError: the settings do not fit each other.
        """
        return parse({**self.raw(), "root": root}, "proposal")
