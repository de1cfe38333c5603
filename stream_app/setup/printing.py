"""Settings and what follows from them, as lines or as JSON."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
from rich.console import Console

from stream_app.config import Config
from stream_app.config.types import nearest
from stream_app.errors import DriftflowError
from stream_app.setup.explaining import Setting, consequences, settings_of
from stream_app.terminal import printable

_VALUE_MAX = 60


def print_settings(
    config: Config, path: Path, keys: tuple[str, ...], everything: bool, as_json: bool, out: Console
) -> None:
    """Print the settings of a file, or all that are in force, and what they lead to.

    Args:
        config: what is in force.
        path: the file.
        keys: only these settings and sections, with all that is said of them; none is the file's own, in short.
        everything: defaults too.
        as_json: one JSON object.
        out: where to print.

    Raises:
        DriftflowError: there is no such setting or section.
    """
    known = settings_of(config, tomllib.loads(path.read_text(encoding="utf-8-sig")))
    chosen = _chosen(known, keys) if keys else [one for one in known if everything or one.source == "file"]
    follows = [] if keys else consequences(config)
    if as_json:
        answer = {"settings": chosen, "leads_to": dict(follows)}
        out.file.write(msgspec.json.encode(answer).decode() + "\n")
        return
    for setting in chosen:
        _say(out, _line(setting, whole=bool(keys)))
    if not keys and not everything:
        _say(
            out,
            f"and {len(known) - len(chosen)} others have their defaults: --all, or name some, such as windows.clock",
        )
    for what, says in follows:
        _say(out, f"{what}: {says}")


def _chosen(known: list[Setting], keys: tuple[str, ...]) -> list[Setting]:
    chosen = list[Setting]()
    for key in keys:
        found = [one for one in known if one.key == key or one.key.startswith(f"{key}.")]
        found = found or [one for one in known if one.key.rpartition(".")[2] == key]
        if not found:
            near = nearest(
                key, {one.key: one.key for one in known} | {one.key.split(".")[-1]: one.key for one in known}
            )
            hint = f"did you mean {near}?" if near else "driftflow explain-config --all lists them"
            raise DriftflowError(f"there is no setting {key!r}: {hint}")
        chosen += found
    return chosen


def _line(setting: Setting, whole: bool) -> str:
    value = setting.value if whole or len(setting.value) <= _VALUE_MAX else f"{setting.value[: _VALUE_MAX - 1]}…"
    return f"{setting.key} = {value}  ({setting.source})  {setting.says if whole else setting.brief}"


def _say(out: Console, line: str) -> None:
    out.print(printable(line), soft_wrap=True, markup=False)
