"""Reads ``driftflow.toml`` once. A bad file is refused with its faults, each with its key and what would be right."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from stream_app.config.checking import faults_of
from stream_app.config.settings import Config, Duration
from stream_app.errors import ConfigError


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read and check a configuration file.

    Args:
        path: the TOML file.
        overrides: values by dotted key (``{"kafka.bootstrap": [...]}``) that win over the file.

    Raises:
        ConfigError: with every fault of the file, one line each.
    """
    try:
        raw = tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(str(path), ["the file does not exist: write one, or name it with --config"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from None
    for key, value in (overrides or {}).items():
        section, _, field = key.rpartition(".")
        (raw.setdefault(section, {}) if section else raw)[field] = value
    raw.setdefault("root", str(Path(path).resolve().parent))
    return parse(raw, str(path))


def parse(raw: dict[str, Any], path: str = "configuration") -> Config:
    """Build a checked configuration from plain values; raises ConfigError with every fault."""
    faults: list[str] = []
    values = _convert_section(Config, raw, "", faults)
    if faults:
        raise ConfigError(path, faults + _faults_besides(raw, faults))
    config = Config(**values)
    faults = faults_of(config)
    if faults:
        raise ConfigError(path, faults)
    return _fill_names(config)


def _faults_besides(raw: dict[str, Any], faults: list[str]) -> list[str]:
    """What else is wrong, as far as it can be told with the values that cannot be read left out.

    Where one of them has no default its table is left out, and so on upwards; nothing is told where nothing is left.
    """
    bad = [_key(fault) for fault in faults]
    while True:
        rest: list[str] = []
        values = _convert_section(Config, _without(raw, bad), "", rest)
        if not rest:
            break
        bad += [_key(fault)[:-1] for fault in rest]
        if [] in bad:
            return []
    known = {".".join(keys[:n]) for keys in bad for n in range(1, len(keys) + 1)}
    return [fault for fault in faults_of(Config(**values)) if ".".join(_key(fault)) not in known]


def _key(fault: str) -> list[str]:
    return fault.partition(":")[0].split(".")


def _without(raw: dict[str, Any], bad: list[list[str]]) -> dict[str, Any]:
    kept = {}
    for key, value in raw.items():
        under = [keys[1:] for keys in bad if keys[0] == key]
        if [] in under:
            continue
        kept[key] = _without(value, under) if under and isinstance(value, dict) else value
    return kept


def _convert_section(kind: type[Struct], raw: dict[str, Any], prefix: str, faults: list[str]) -> dict[str, Any]:
    """Convert what can be converted and add a fault for each key that cannot."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key in raw:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(sorted(fields))}"
            faults.append(f"{prefix}{key}: unknown key{hint}")
    for name, field in fields.items():
        if name in raw:
            values[name] = _convert(hints[name], raw[name], f"{prefix}{name}", faults)
        elif field.required:
            faults.append(f"{prefix}{name}: missing; it has no default")
    return values


def _convert(hint: Any, value: Any, key: str, faults: list[str]) -> Any:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _convert_struct(hint, value, key, faults)
    if get_origin(hint) is dict and isinstance(value, dict) and isinstance(get_args(hint)[1], type):
        inner = get_args(hint)[1]
        if issubclass(inner, Struct):
            return {name: _convert_struct(inner, item, f"{key}.{name}", faults) for name, item in value.items()}
    try:
        return msgspec.convert(value, hint, dec_hook=_decode_hook)
    except (msgspec.ValidationError, ValueError) as error:
        faults.append(f"{key}: {str(error).replace(' - at `$', ' - at `' + key)}")
        return None


def _convert_struct(kind: type[Struct], value: Any, key: str, faults: list[str]) -> Any:
    if not isinstance(value, dict):
        faults.append(f"{key}: expected a table ([{key}]), got {type(value).__name__}")
        return None
    before = len(faults)
    values = _convert_section(kind, value, f"{key}.", faults)
    return kind(**values) if len(faults) == before else None


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(kind)  # how msgspec is told that a type is not known here


def _fill_names(config: Config) -> Config:
    kinds = ("partials", "signals", "models", "dead_letters")
    names = {kind: getattr(config.topics, kind) or f"{config.stream}.{kind.replace('_', '-')}" for kind in kinds}
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, **names))
