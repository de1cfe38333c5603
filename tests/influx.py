"""InfluxDB 1 of Debian: answers InfluxQL, and has no write API of InfluxDB 2 yet."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream_app.kafka.embedded import free_port
from tests.conftest import cannot_start

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
[monitor]
store-enabled = false
"""


@contextmanager
def influx(folder: Path) -> Iterator[str]:
    """Run it on a folder of its own, empty; gives its address."""
    binary = shutil.which("influxd")
    if binary is None:
        cannot_start("influxd is not installed (Debian package influxdb)")
        return
    folder.mkdir(exist_ok=True)
    port = free_port()
    (folder / "influxdb.conf").write_text(_CONFIG.format(folder=folder, http=port, rpc=free_port()))
    server = subprocess.Popen(
        [binary, "-config", str(folder / "influxdb.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/ping", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            cannot_start("influxd did not start")
        yield url
    finally:
        server.terminate()
        server.wait(20)


def query(url: str, text: str, post: bool = False, database: str = "driftflow") -> list[dict[str, Any]]:
    """Series of an InfluxQL query; fails on an error."""
    words = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ms"})
    body = words.encode() if post else None
    with urllib.request.urlopen(f"{url}/query" + ("" if post else f"?{words}"), body, timeout=10) as answer:
        (result,) = json.load(answer)["results"]
    assert "error" not in result, f"{text}: {result}"
    return list(result.get("series", []))


def store(url: str, lines: list[str], database: str = "driftflow") -> None:
    """Line protocol, by the write API that it has."""
    for at in range(0, len(lines), 2_000):
        body = "\n".join(lines[at : at + 2_000]).encode()
        urllib.request.urlopen(f"{url}/write?db={database}&precision=ms", body, timeout=10).close()
