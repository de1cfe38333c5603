"""What a stream has said, for programs: typed records from the signals topic, or from a file of signals.

>>> import asyncio, pathlib, tempfile
>>> from schemas import Health, Incident
>>> from stream_app.client import signals
>>> line = (
...     '{"partition": 1, "ce_id": "h-1", "ce_source": "/driftflow/air/worker", "ce_specversion": "1.0", "ce_time": '
...     '"2026-01-02T03:04:05Z", "ce_type": "driftflow.health.v1", "data": {"stream": "air", "source": "worker w-1", '
...     '"part": "drainer", "state": "failing", "says": "the disk is full", "since_ms": 0}}'
... )
>>> file = pathlib.Path(tempfile.mkdtemp()) / "signals.jsonl"
>>> _ = file.write_text(line + chr(10))
>>> for signal in signals(file=file, of=Health):
...     print(signal.time.date(), signal.record.part, signal.record.says)
2026-01-02 drainer the disk is full
>>> list(signals(file=file, of=Incident, severity="warning", open_only=True))
[]
>>> signals(file=file).to_frame("polars").select("type", "part", "state").rows()
[('driftflow.health.v1', 'drainer', 'failing')]

On a topic the same is ``signals("driftflow.toml")``, and ``async for signal in signals("driftflow.toml")``.
"""

from stream_app.client.signals import Signals, signals
from stream_app.client.taking import Signal

__all__ = ["Signal", "Signals", "signals"]
