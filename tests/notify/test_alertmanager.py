"""A real Alertmanager: what it shows is what is open."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_app.kafka.embedded import free_port
from stream_app.notify.channels.alertmanager import Alertmanager
from stream_app.notify.channels.posting import Poster
from tests.conftest import cannot_start
from tests.notify.receivers import A, B, Receiver, told, wait_for
from tests.people import incident, silenced

CONFIG = """
route:
  receiver: own
  group_by: [stream, incident]
  group_wait: 0s
  group_interval: 1s
receivers:
  - name: own
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture
def alertmanager(tmp_path: Path, receiver: Receiver) -> Iterator[str]:
    """Its address; it notifies the receiver."""
    binary = shutil.which("prometheus-alertmanager")
    if binary is None:
        cannot_start("prometheus-alertmanager is not installed (Debian package prometheus-alertmanager)")
        return
    (tmp_path / "alertmanager.yml").write_text(CONFIG.format(url=receiver.url))
    url = f"http://127.0.0.1:{free_port()}"
    words = [
        binary,
        f"--config.file={tmp_path / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with (tmp_path / "alertmanager.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        wait_for(lambda: _is_ready(url), "Alertmanager to be ready")
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _is_ready(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/-/ready", timeout=2).close()
    except OSError:
        return False
    return True


def shown(url: str) -> list[dict[str, Any]]:
    """Alerts that it shows as going on, by severity."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as answer:
        return sorted(json.load(answer), key=lambda alert: str(alert["labels"]["severity"]))


def test_what_is_open_is_shown_graver_is_another_alert_and_the_end_ends_it(
    alertmanager: str, receiver: Receiver
) -> None:
    channel = Alertmanager(Poster(f"{alertmanager}/api/v2/alerts", 10.0, None, []), {}, 60.0)
    opened = channel.send(told(incident(A, severity="warning", links={"console": "http://127.0.0.1:8765/#a"})), "")
    other = channel.send(told(incident(B)), "")
    assert opened.says == "answered 200"
    (critical, warning) = shown(alertmanager)
    assert (warning["labels"]["incident"], critical["labels"]["incident"]) == (A, B)
    assert warning["annotations"]["summary"] == "s: warning drift aaaaaaaa"
    assert warning["startsAt"] == "1970-01-01T06:00:00.000Z"
    assert warning["generatorURL"] == "http://127.0.0.1:8765/#a"

    graver = channel.send(told(incident(A, number=2, state="update", reason="severity")), opened.ref)
    wait_for(
        lambda: [alert["labels"]["severity"] for alert in shown(alertmanager)] == ["critical"] * 2, "the graver one"
    )

    hushed = channel.send(told(silenced(incident(A, number=3, state="update", reason="action"))), graver.ref)
    wait_for(lambda: [alert["labels"]["incident"] for alert in shown(alertmanager)] == [B], "the silence")
    assert hushed.ref == "", "it is not sent again meanwhile"
    graver = channel.send(told(incident(A, number=4, state="update", reason="action")), hushed.ref)
    wait_for(lambda: len(shown(alertmanager)) == 2, "the end of the silence")

    channel.resend([graver.ref, other.ref])
    assert len(shown(alertmanager)) == 2, "what is sent again is the same alert"
    channel.send(told(incident(A, number=5, state="resolve", reason="ended")), graver.ref)
    wait_for(lambda: [alert["labels"]["incident"] for alert in shown(alertmanager)] == [B], "the end")
    channel.close()

    def both(sent: list[Any]) -> bool:
        told_of = [(alert["labels"]["incident"], alert["status"]) for each in sent for alert in each.json["alerts"]]
        return {(A, "firing"), (A, "resolved"), (B, "firing")} <= set(told_of)

    receiver.wait(both)
