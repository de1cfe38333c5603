"""What a real process tells of itself over HTTP, held to the table of metrics."""

from __future__ import annotations

from http.client import HTTPConnection
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families as parse

from stream_app.monitor.metrics import METRICS, Role

Found = dict[tuple[str, ...], float]
"""Name of a sample, then its labels as ``name=value``, to its value."""


def ask(url: str, path: str) -> tuple[int, str]:
    """Status and body of a page."""
    link = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def metrics(url: str, role: Role) -> Found:
    """The samples of a process; each is in the table, of this role, with the table's kind, labels and words."""
    status, page = ask(url, "/metrics")
    assert status == 200, page
    table = {metric.name: metric for metric in METRICS if role in metric.roles}
    found: Found = {}
    for family in parse(page):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        metric = table[name]
        if not name.startswith("process_"):
            assert (metric.kind, metric.help) == (family.type, family.documentation), name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), sample
            found[sample.name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))] = sample.value
    return found


def missing(found: Found, role: Role) -> set[str]:
    """Metrics of the table that a process does not expose now."""
    names = {key[0].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for key in found}
    return {metric.name for metric in METRICS if role in metric.roles} - names
