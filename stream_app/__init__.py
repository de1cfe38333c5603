"""driftflow: a monitor of drift and anomalies in streams, calibrated per slice. Its processes are commands.

The names below are the public face, for those who build driftflow into something of their own: read a configuration,
run the stages on records, with a broker or without. It is lazy (PEP 562), as :mod:`flowlib`'s is: a name is imported
when it is first asked for, and ``import stream_app.config`` costs neither PyTorch nor a Kafka client.

    >>> import stream_app
    >>> event = {"time_field": "t", "numeric": ["x"]}
    >>> stream_app.parse({"stream": "s", "topics": {"events": "e"}, "event": event}).topics.signals
    's.signals'
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from stream_app.config import Config, load, parse
    from stream_app.errors import DriftflowError
    from stream_app.offline.frames import score_frame
    from stream_app.offline.replay import LocalRun, batches
    from stream_app.stages.batches import PartialMessage, RawBatch
    from stream_app.stages.outputs import Outgoing, Outputs, Point
    from stream_app.stages.pipeline import Pipeline

__version__ = "0.1.0"

__all__ = [
    "Config",
    "DriftflowError",
    "LocalRun",
    "Outgoing",
    "Outputs",
    "PartialMessage",
    "Pipeline",
    "Point",
    "RawBatch",
    "batches",
    "load",
    "parse",
    "score_frame",
]

_MODULES = {
    "config": ("Config", "load", "parse"),
    "errors": ("DriftflowError",),
    "offline.frames": ("score_frame",),
    "offline.replay": ("LocalRun", "batches"),
    "stages.batches": ("PartialMessage", "RawBatch"),
    "stages.outputs": ("Outgoing", "Outputs", "Point"),
    "stages.pipeline": ("Pipeline",),
}
"""The same as the imports above, for run time; a test holds the two together."""


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            value: object = getattr(importlib.import_module(f"stream_app.{module}"), name)
            globals()[name] = value  # the next look finds it without this function
            return value
    raise AttributeError(f"module 'stream_app' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
