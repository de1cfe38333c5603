"""A real time-series server of Debian: takes InfluxDB's write API and Prometheus' text format, answers PromQL."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.kafka.embedded import free_port
from tests.conftest import cannot_start


@contextmanager
def victoria(folder: Path) -> Iterator[str]:
    """Run it on a folder of its own; gives its address."""
    binary = shutil.which("victoria-metrics")
    if binary is None:
        cannot_start("victoria-metrics is not installed (Debian package victoria-metrics)")
        return
    port = free_port()
    words = [
        binary,
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={folder}",
        "-retentionPeriod=100y",
        "-dedup.minScrapeInterval=1ms",
        "-search.latencyOffset=0s",
    ]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            cannot_start("victoria-metrics did not start")
        yield url
    finally:
        server.terminate()
        server.wait(10)
