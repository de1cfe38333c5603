"""Reads ``driftflow.toml`` once. A bad file is refused with its faults, each with its key and what would be right."""

from __future__ import annotations

import codecs
import io
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from stream_app.config.alerts import AlertsConfig
from stream_app.config.checking import faults_of, topic_names
from stream_app.config.formats import with_layout
from stream_app.config.settings import Config, RuleConfig
from stream_app.config.types import Duration, Section, nearest
from stream_app.errors import ConfigError


@dataclass
class _Faults:
    """What is wrong with plain values, one sentence each.

    Attributes:
        unreadable: values of another type, unknown and missing keys.
        refused: texts that are none of those allowed; the value stays where it is, so that what depends on it can be
            looked at too.
    """

    unreadable: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def load(path: str | Path, overrides: dict[str, Any] | None = None) -> Config:
    """Read and check a configuration file.

    Args:
        path: the TOML file.
        overrides: values by dotted key (``{"kafka.bootstrap": [...]}``) that win over the file.

    Raises:
        ConfigError: with every fault of the file, one line each.
    """
    raw = _read(path)
    for key, value in (overrides or {}).items():
        _override(raw, key, value)
    raw.setdefault("root", str(Path(path).resolve().parent))
    return parse(raw, str(path))


def _read(path: str | Path) -> dict[str, Any]:
    """The plain values of a TOML file; raises ConfigError with where it is at fault."""
    try:
        return tomllib.loads(_text(Path(path).read_bytes()))
    except FileNotFoundError:
        fault = "the file does not exist: `driftflow init` writes one, or name it with --config"
        raise ConfigError(str(path), [fault]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"the file cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fault = f"line {line} is not in UTF-8 (byte 0x{error.object[error.start]:02X}): save the file as UTF-8"
        raise ConfigError(str(path), [fault]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from None


def with_rules(config: Config, path: str | Path) -> Config:
    """A configuration with what another file has of ``[alerts]``, and with its ``[rules]`` where it has any.

    Raises:
        ConfigError: the file cannot be read, has other sections, or faults: all of them are named.
    """
    raw = _read(path)
    others = sorted(raw.keys() - {"alerts", "rules"})
    if others:
        faults = [f"{name}: a file of rules has [alerts] and [rules.NAME] and nothing else" for name in others]
        raise ConfigError(str(path), faults)
    faults_of_file = _Faults()
    values = _convert_section(_Rules, raw, "", faults_of_file)
    if faults_of_file.unreadable:
        raise ConfigError(str(path), faults_of_file.unreadable + faults_of_file.refused)
    given = {name: getattr(values["alerts"], name) for name in raw.get("alerts", {})}
    alerts = msgspec.structs.replace(config.alerts, **given)
    changed = msgspec.structs.replace(config, alerts=alerts, rules=values.get("rules", config.rules))
    sentences = faults_of_file.refused + faults_of(changed)
    if sentences:
        raise ConfigError(str(path), sorted(sentences, key=_section_index))
    return changed


class _Rules(Section, frozen=True):
    """What a file of rules may hold."""

    alerts: AlertsConfig = AlertsConfig()
    rules: dict[str, RuleConfig] = msgspec.field(default_factory=dict)


def _text(blob: bytes) -> str:
    """The text of a file, whatever line ends and byte-order mark an editor gave it; raises UnicodeDecodeError."""
    encoding = "utf-16" if blob.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return io.TextIOWrapper(io.BytesIO(blob), encoding).read()


def _override(raw: dict[str, Any], key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    table = raw.setdefault(section, {}) if section else raw
    if isinstance(table, dict):  # otherwise the section is a fault of its own
        table[name] = value


def parse(raw: dict[str, Any], path: str = "configuration") -> Config:
    """Build a checked configuration from plain values; raises ConfigError with every fault."""
    faults = _Faults()
    values = _convert_section(Config, raw, "", faults)
    if faults.unreadable:
        sentences = faults.unreadable + _faults_besides(raw, faults.unreadable)
    else:
        sentences = faults.refused + faults_of(Config(**values))
    if sentences:
        raise ConfigError(path, sorted(sentences, key=_section_index))
    return _fill_names(Config(**values))


def _faults_besides(raw: dict[str, Any], faults: list[str]) -> list[str]:
    """What else is wrong, as far as it can be told with the values that cannot be read left out.

    Where one of them has no default its table is left out, and so on upwards; nothing is told where nothing is left.
    """
    bad = [_key(fault) for fault in faults]
    while True:
        rest = _Faults()
        values = _convert_section(Config, _without(raw, bad), "", rest)
        if not rest.unreadable:
            break
        more = [_key(fault)[:-1] for fault in rest.unreadable]
        if [] in more or all(keys in bad for keys in more):  # a key with a dot in its name cannot be left out
            return []
        bad += more
    reported = {".".join(keys[:n]) for keys in bad for n in range(1, len(keys) + 1)}
    others = rest.refused + faults_of(Config(**values))
    return [fault for fault in others if ".".join(_key(fault)) not in reported]


def _key(fault: str) -> list[str]:
    return fault.partition(":")[0].split(".")


def _section_index(fault: str) -> int:
    """Faults are listed in the order of the sections; top-level keys that are not known come first."""
    names = [section.name for section in msgspec.structs.fields(Config)]
    name = _key(fault)[0]
    return names.index(name) if name in names else -1


def _without(raw: dict[str, Any], bad: list[list[str]]) -> dict[str, Any]:
    rest = {}
    for key, value in raw.items():
        under = [keys[1:] for keys in bad if keys[0] == key]
        if [] in under:
            continue
        rest[key] = _without(value, under) if under and isinstance(value, dict) else value
    return rest


def _convert_section(kind: type[Struct], raw: dict[str, Any], prefix: str, faults: _Faults) -> dict[str, Any]:
    """Convert what can be converted and add a fault for each key that cannot."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for key in raw:
        if key not in fields:
            hint = _near_miss(key, list(fields)) or f"; known here: {', '.join(sorted(fields))}"
            faults.unreadable.append(f"{prefix}{key}: unknown key{hint}")
    for name, setting in fields.items():
        if name in raw:
            values[name] = _convert(hints[name], raw[name], f"{prefix}{name}", faults)
        elif setting.required:
            faults.unreadable.append(f"{prefix}{name}: missing; it has no default")
    return values


def _convert(hint: Any, value: Any, key: str, faults: _Faults) -> Any:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _convert_struct(hint, value, key, faults)
    if get_origin(hint) is dict and isinstance(value, dict) and isinstance(get_args(hint)[1], type):
        inner = get_args(hint)[1]
        if issubclass(inner, Struct):
            return {name: _convert_struct(inner, item, f"{key}.{name}", faults) for name, item in value.items()}
    strangers = [(allowed, item) for allowed, item in _choices(hint, value) if item not in allowed]
    if strangers:
        readable = all(isinstance(item, str) for _, item in strangers)
        (faults.refused if readable else faults.unreadable).extend(f"{key}: {_one_of(*each)}" for each in strangers)
        return value
    try:
        return msgspec.convert(value, hint, dec_hook=_decode_hook)
    except (msgspec.ValidationError, ValueError) as error:
        faults.unreadable.append(f"{key}: {str(error).replace(' - at `$', ' - at `' + key)}")
        return None


def _convert_struct(kind: type[Struct], value: Any, key: str, faults: _Faults) -> Any:
    if not isinstance(value, dict):
        faults.unreadable.append(f"{key}: expected a table ([{key}]), got {type(value).__name__}")
        return None
    before = len(faults.unreadable)
    values = _convert_section(kind, value, f"{key}.", faults)
    return kind(**values) if len(faults.unreadable) == before else None


def _choices(hint: Any, value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The parts of a value whose type lists what is allowed, each after that list."""
    if get_origin(hint) is Literal:
        yield get_args(hint), value
    elif get_origin(hint) is Annotated:
        yield from _choices(get_args(hint)[0], value)
    elif get_origin(hint) is list and isinstance(value, list):
        for item in value:
            yield from _choices(get_args(hint)[0], item)


def _one_of(allowed: tuple[str, ...], item: Any) -> str:
    return f"one of {', '.join(filter(None, allowed))}, got {item!r}{_near_miss(str(item), list(allowed))}"


def _near_miss(text: str, allowed: list[str]) -> str:
    near = nearest(text, {name: name for name in allowed})
    return f"; did you mean {near!r}?" if near else ""


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Duration:
        return Duration.parse(value)
    raise NotImplementedError(kind)  # how msgspec is told that a type is not known here


def _fill_names(config: Config) -> Config:
    topics = msgspec.structs.replace(config.topics, **topic_names(config))
    kafka = msgspec.structs.replace(config.kafka, group=config.kafka.group or f"driftflow-{config.stream}")
    return msgspec.structs.replace(config, topics=topics, kafka=kafka, event=with_layout(config.event))
