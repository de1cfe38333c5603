"""Spans over OTLP, where ``monitor.traces`` names an endpoint; else nothing of OpenTelemetry is imported.

The exporter has a thread and a bounded queue of its own: a collector that is away, or slow, costs spans and nothing
else. A span stands alone: a step of a stage, a checkpoint, a restore, a training.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.monitor.meter import Meter, Span

_EXPORT_S = 5.0
_FLUSH_S = 0.5


@contextmanager
def traced(config: Config, meter: Meter, role: str) -> Iterator[None]:
    """Send the steps of a meter as spans, where that is configured; those in the queue have half a second at the end.

    Args:
        config: the stream.
        meter: its steps.
        role: of the process.

    Raises:
        DriftflowError: the extra ``tracing`` is not installed.
    """
    if not config.monitor.traces:
        yield
        return
    provider = _provider(config, role)
    meter.span = _spans(provider.get_tracer("driftflow"))
    try:
        yield
    finally:
        meter.span = None
        # Neither its shutdown() nor its timeout bounds how long it tries: left behind, it ends with the process.
        flushing = threading.Thread(target=provider.force_flush, name="flush of spans", daemon=True)
        flushing.start()
        flushing.join(_FLUSH_S)


def _provider(config: Config, role: str) -> Any:
    try:  # here: most have no collector, and it takes .3 s and 30 MB
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise DriftflowError(
            f"monitor.traces needs the extra tracing ({error}): pip install 'driftflow[tracing]', or leave it empty"
        ) from error
    for name in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # at each try, with a traceback
    named = {"service.name": "driftflow", "service.instance.id": role, "driftflow.stream": config.stream}
    # No exit handler: the provider's own waits for a collector that is away, beyond any deadline.
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=config.monitor.traces, timeout=_EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _spans(tracer: Any) -> Span:
    @contextmanager
    def span(name: str, attributes: dict[str, int | str]) -> Iterator[None]:
        open_span = tracer.start_span(name, attributes=attributes)
        try:
            yield
        except BaseException as error:
            open_span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            open_span.end()

    return span
