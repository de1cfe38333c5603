"""Steps as spans at a collector: one that listens, one that is away, and none."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from stream_app.config import Config, MonitorConfig
from stream_app.errors import DriftflowError
from stream_app.kafka.embedded import free_port
from stream_app.monitor.meter import Meter
from stream_app.monitor.tracing import traced
from tests.conftest import need
from tests.stages import streams


class Collector(HTTPServer):
    """Takes OTLP over HTTP, as protobuf."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []

    def spans(self) -> list[Any]:
        """What has come."""
        trace = need("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        requests = [trace.ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span for request in requests for of in request.resource_spans for s in of.scope_spans for span in s.spans
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads them."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def config(url: str) -> Config:
    return msgspec.structs.replace(streams.config(), monitor=MonitorConfig(traces=url))


def test_each_step_is_a_span_with_what_it_took_in(collector: Collector) -> None:
    need("opentelemetry.sdk")
    meter = Meter()
    with traced(config(f"http://127.0.0.1:{collector.server_port}/v1/traces"), meter, "worker"):
        with meter.step("score", messages=3, partition=1):
            pass
        with pytest.raises(KeyError), meter.step("checkpoint"):
            raise KeyError
    found = {
        span.name: {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
        for span in collector.spans()
    }
    assert found == {"score": {"messages": 3, "partition": 1}, "checkpoint": {"error.type": "KeyError"}}
    assert meter.span is None


def test_a_collector_that_is_away_costs_spans_only(capfd: pytest.CaptureFixture[str]) -> None:
    need("opentelemetry.sdk")
    meter = Meter()
    with traced(config(f"http://127.0.0.1:{free_port()}/v1/traces"), meter, "worker"), meter.step("score"):
        pass
    assert meter.histograms()["driftflow_step_seconds"]
    assert capfd.readouterr().err == ""


def test_without_an_endpoint_there_are_none_and_without_the_extra_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    with traced(config(""), meter, "worker"):
        assert meter.span is None
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(DriftflowError, match=r"monitor.traces needs the extra tracing"):
        traced(config("http://127.0.0.1:4318/v1/traces"), meter, "worker").__enter__()
