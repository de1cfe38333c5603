"""A model's columns beside those of the configuration: they are matched by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.config import Config
from stream_app.errors import ModelError

if TYPE_CHECKING:
    from flowlib.encoder.spec import FeatureSpec  # PyTorch comes with it, and whoever looks at topics has no use for it

_NAMED_MAX, _ORDERED_MAX = 5, 40
"""Columns that a sentence names, of each kind of difference; and of an order, which is to be written down."""

Kinds = dict[str, str]
"""Column to ``numeric`` or ``categorical``, in order."""


def in_order_of(config: Config, numeric: list[str], categorical: list[str]) -> Config:
    """The configuration with its columns in this order; as it is where they are not the same ones."""
    event = config.event
    if (sorted(numeric), sorted(categorical)) != (sorted(event.numeric), sorted(event.categorical)):
        return config
    ordered = msgspec.structs.replace(event, numeric=list(numeric), categorical=list(categorical))
    return msgspec.structs.replace(config, event=ordered)


def check_columns(spec: FeatureSpec, config: Config) -> None:
    """Raise ModelError, with the difference, unless a model's columns are those of the configuration, in its order."""
    event = config.event
    if (list(spec.numeric), list(spec.categorical)) != (event.numeric, event.categorical):
        said = _difference(_kinds(spec.numeric, spec.categorical), _kinds(event.numeric, event.categorical))
        raise ModelError(f"its columns are not those of event.numeric and event.categorical: {said}")


def _kinds(numeric: list[str] | tuple[str, ...], categorical: list[str] | tuple[str, ...]) -> Kinds:
    return dict.fromkeys(numeric, "numeric") | dict.fromkeys(categorical, "categorical")


def _difference(its: Kinds, ours: Kinds) -> str:
    """What a model has, and what the configuration has, in words."""
    lacks = [f"{name!r} ({ours[name]})" for name in ours if name not in its]
    has = [f"{name!r} ({its[name]})" for name in its if name not in ours]
    both = [name for name in its if name in ours and its[name] != ours[name]]
    kinds = [f"{name!r} is {its[name]} in it and {ours[name]} here" for name in both]
    parts = [f"it lacks {_some(lacks)}"] if lacks else []
    parts += [f"it has {_some(has)} besides"] if has else []
    parts += [_some(kinds)] if kinds else []
    return (
        "; ".join(parts)
        or f"it has the same ones in another order, {_some([repr(name) for name in its], _ORDERED_MAX)}"
    )


def _some(texts: list[str], most: int = _NAMED_MAX) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
