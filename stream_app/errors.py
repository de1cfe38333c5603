"""One exception tree. Every message says what was wrong, where, and what to do."""

from __future__ import annotations


class DriftflowError(Exception):
    """Base of every operating error; the command line prints it without a traceback."""


class ConfigError(DriftflowError):
    """A configuration with faults: all of them, one line each."""

    def __init__(self, path: str, faults: list[str]) -> None:
        self.faults = faults
        lines = "\n".join(f"  - {fault}" for fault in faults)
        super().__init__(f"{path}: {len(faults)} fault{'s' if len(faults) != 1 else ''} in the configuration\n{lines}")


class PreflightError(DriftflowError):
    """The broker cannot be used as configured; the message has one line for each check."""


class SnapshotError(DriftflowError):
    """A snapshot cannot be read or does not belong to this configuration."""


class ModelError(DriftflowError):
    """A model cannot be used: altered, unsigned, of another stream, or failing parity."""


class SinkError(DriftflowError):
    """A sink refuses to work for a reason that retrying will not mend."""
