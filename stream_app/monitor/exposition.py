"""Values of the table in Prometheus' text formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from stream_app.monitor.meter import Histogram
from stream_app.monitor.metrics import METRICS, Labels, Metric, Values

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

Histograms = Mapping[str, Mapping[Labels, Histogram]]


def exposed(values: Values, histograms: Histograms, accept: str) -> tuple[bytes, str]:
    """All of it, and the process' own, as one page.

    Args:
        values: of counters and gauges; what is not in the table is an error of ours.
        histograms: by name and labels.
        accept: the Accept header: which format the reader takes.

    Returns:
        the page and its content type.
    """
    # Here: takes 80 ms and 13 MB, and nobody may ever ask.
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Collected(families(values, histograms)))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


@cache
def version() -> str:
    """Of what is installed."""
    return metadata.version("driftflow")


class _Collected:
    """What a registry asks."""

    def __init__(self, found: Iterable[Family]) -> None:
        self._found = list(found)

    def collect(self) -> Iterator[Family]:
        yield from self._found

    def describe(self) -> list[Family]:
        return []


def families(values: Values, histograms: Histograms) -> Iterator[Family]:
    """Those metrics that stand at something, in the order of the table."""
    table = {metric.name: metric for metric in METRICS}
    for name in table:
        if values.get(name):
            yield _plain(table[name], values[name])
        elif histograms.get(name):
            yield _histogram(table[name], histograms[name])
    unknown = (values.keys() | histograms.keys()) - table.keys()
    assert not unknown, f"not in the table of metrics: {sorted(unknown)}"


def _plain(metric: Metric, values: Mapping[Labels, float]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, values: Mapping[Labels, Histogram]) -> Family:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, of in sorted(values.items()):
        buckets, below = [], 0
        for bound, count in zip([*map(str, of.bounds), "+Inf"], of.counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(labels, buckets, of.total)
    return family
