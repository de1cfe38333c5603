"""What is written for other machines, checked as far as it can be here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest
import yaml

from stream_app.config import load
from stream_app.monitor.exposition import exposed
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import METRICS, Labels
from tests.conftest import cannot_start
from tests.victoria import victoria

ROOT = Path(__file__).parents[1]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def test_compose_is_valid(tmp_path: Path) -> None:
    tool = shutil.which("docker-compose")
    if tool is None:
        cannot_start("docker-compose is not installed (Debian package docker-compose)")
        return
    done = subprocess.run(
        [tool, "-f", str(ROOT / "docker-compose.yml"), "--profile", "console", "--profile", "notify", "config"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_services_are_pinned_local_and_without_rights() -> None:
    document = compose()
    for name, service in document["services"].items():
        assert re.search(r":(v?\d+\.\d+(\.\d+)?|local)$", service["image"]), f"{name}: pin the version"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network"
        if service["image"] == "driftflow:local":
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
        for value in service.get("environment", {}).values():
            assert "password" not in str(value).lower() or "/run/secrets/" in str(value), (
                f"{name}: a secret in the open"
            )


def test_each_service_that_stays_says_whether_it_is_well_and_waits_for_those_that_do() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert ("healthcheck" in service) == (name not in ("produce", "operator")), name
        for other, how in service.get("depends_on", {}).items():
            if "healthcheck" in services[other] and other != "trainer":  # it is well once it has trained
                assert how["condition"] == "service_healthy", (name, other)


def test_mounted_files_exist() -> None:
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"


def test_the_image_runs_as_nobody_and_copies_what_exists() -> None:
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    last = text[text.rindex("FROM ") :]
    assert re.search(r"^USER 10001", last, re.M)
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for source in line.split():
            assert (ROOT / source).exists(), source


@pytest.mark.parametrize("name", ["driftflow.toml", "console.toml"])
def test_configurations_load_and_watch_the_same_stream(name: str) -> None:
    config, example = load(ROOT / "infra/docker" / name), load(ROOT / "stream_app/demo/example/driftflow.toml")
    for section in ("event", "windows", "rules", "event_rule", "model", "retrain"):
        assert getattr(config, section) == getattr(example, section), section
    assert config.topics.events == example.topics.events
    assert config.sink.kind == ("influx" if name == "driftflow.toml" else "sqlite")


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def key_folders() -> dict[str, str]:
    """Where the containers' configuration has each half of each key."""
    config = load(ROOT / "infra/docker/driftflow.toml")
    (models,), (requests,) = config.state.trusted_keys, config.trainer.trusted_keys
    return {
        "signing": folder_of(config.trainer.signing_key),
        "requesting": folder_of(config.worker.signing_key),
        "keys": folder_of(models),
        "request-keys": folder_of(requests),
    }


def mounted(mounts: list[str]) -> dict[str, str]:
    """``folder: volume`` of a service, with ``:ro`` after those that it may only read."""
    parts = [mount.split(":") for mount in mounts if ":" in mount]
    return {target: ":".join([volume, *mode]) for volume, target, *mode in parts}


def test_each_private_key_is_where_it_signs_and_each_public_one_is_read_only_at_the_other_side() -> None:
    folders = key_folders()
    services = {name: mounted(service.get("volumes", [])) for name, service in compose()["services"].items()}
    where = {
        part: {name: mounts[folder] for name, mounts in services.items() if folder in mounts}
        for part, folder in folders.items()
    }
    assert where == {
        "signing": {"trainer": "signing"},
        "requesting": {"worker": "requesting", "console-worker": "console-requesting"},
        "keys": {"trainer": "keys", "worker": "keys:ro", "console-worker": "keys:ro", "notify": "keys:ro"},
        "request-keys": {"worker": "request-keys", "trainer": "request-keys:ro"},
    }


def test_no_trainer_trusts_the_key_of_the_consoles_worker() -> None:
    config = load(ROOT / "infra/docker/console.toml")
    assert [folder_of(path) for path in config.trainer.trusted_keys] == [folder_of(config.worker.signing_key)]


def test_the_image_has_every_folder_that_is_mounted() -> None:
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    for folder in key_folders().values():
        assert len(re.findall(rf"{folder}\b(?!-)", text)) == 2, f"{folder} is made for the user, and is a volume"


GRAFANA = ROOT / "infra/grafana"


def test_grafana_is_given_what_its_files_name() -> None:
    """What they name each other by, tests/dashboards/ holds."""
    sources = [of for path in GRAFANA.glob("provisioning/datasources/*") for of in _yaml(path)["datasources"]]
    services = compose()["services"]
    assert {urlsplit(of["url"]).hostname for of in sources} <= services.keys()
    grafana = services["grafana"]
    provider = _yaml(GRAFANA / "provisioning/dashboards/driftflow.yaml")["providers"][0]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounts["./infra/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./infra/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (GRAFANA / "dashboards" / home.name).exists()
    text = "".join(path.read_text() for path in GRAFANA.glob("provisioning/*/*"))
    assert set(re.findall(r"\$([A-Z_]{3,})", text)) <= grafana["environment"].keys()
    assert set(re.findall(r"/run/secrets/(\w+)", text)) <= set(grafana["secrets"])


def _yaml(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def ports() -> dict[str, int]:
    """Service of a process to the port at which it answers probes, by its configuration."""
    found = {}
    for name in ("driftflow.toml", "console.toml"):
        config = load(ROOT / "infra/docker" / name)
        assert config.monitor.host == config.console.host or name == "driftflow.toml"
        prefix = "" if name == "driftflow.toml" else "console-"
        found |= {f"{prefix}worker": config.monitor.worker_port, "console": config.console.port}
    monitor = load(ROOT / "infra/docker/driftflow.toml").monitor
    return found | {"trainer": monitor.trainer_port, "notify": monitor.notify_port}


def test_prometheus_and_the_health_checks_ask_each_process_where_it_answers() -> None:
    jobs = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for of in job["static_configs"] for target in of["targets"]]
    assert sorted(targets) == sorted(f"{name}:{port}" for name, port in ports().items())
    assert "console" in load(ROOT / "infra/docker/console.toml").console.names
    for name, port in ports().items():
        service = compose()["services"][name]
        assert f"127.0.0.1:{port}/livez" in service["healthcheck"]["test"][-1], name
        published = [f"127.0.0.1:{port}:{port}"] if name == "console" else []
        assert service.get("ports", []) == published, f"{name}: metrics are not for the network"


def expressions() -> dict[str, str]:
    """Panel or alert, and number, of each query about the monitor, with its variables filled in."""
    dashboard = json.loads((GRAFANA / "dashboards/monitor.json").read_text())
    names = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}
    found = {}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = re.sub(
                r"\$\w+", lambda match: names[match[0]], target["expr"]
            )
    return found | {name: query for name, (query, _) in alerts().items()}


def alerts() -> dict[str, tuple[str, dict[str, Any]]]:
    """Alerts about the monitor: what they ask, and when they fire."""
    (group,) = _yaml(GRAFANA / "provisioning/alerting/monitor.yaml")["groups"]
    return {
        rule["title"]: (rule["data"][0]["model"]["expr"], rule["data"][2]["model"]["conditions"][0]["evaluator"])
        for rule in group["rules"]
    }


def every_metric(scrape: int) -> bytes:
    """A page on which every metric of the table stands at something, as at a scrape."""
    meter, values = Meter(), dict[str, dict[Labels, float]]()
    for metric in METRICS:
        if metric.kind != "histogram" and not metric.name.startswith("process_"):
            values[metric.name] = {metric.labels: 1.0 + 10 * scrape}
    for _ in range(10 * scrape + 1):
        with meter.step("score", messages=5):
            pass
    page, _ = exposed(values, meter.histograms(), "")
    return page


TROUBLE = """up {up}
driftflow_events_total{{partition="0",outcome="received"}} {received}
driftflow_events_total{{partition="0",outcome="rejected"}} {bad}
driftflow_lag_records{{partition="0",topic="events"}} 100000
"""
"""A process that does not answer in the end, a tenth of whose events cannot be read, and that is far behind."""


def test_each_panel_of_the_monitor_shows_what_processes_expose(tmp_path: Path) -> None:
    now_s, values = time.time(), dict[str, list[float]]()
    with victoria(tmp_path) as url:
        for scrape in range(5):
            words = {
                "timestamp": int(1_000 * (now_s - 60 + 15 * scrape)),
                "extra_label": ["job=worker", "instance=w:1"],
            }
            where = f"{url}/api/v1/import/prometheus?{urlencode(words, doseq=True)}"
            trouble = TROUBLE.format(up=int(scrape < 2), received=100 * scrape, bad=10 * scrape)
            page = every_metric(scrape) + trouble.encode()
            urlopen(Request(where, data=page), timeout=10).close()
        urlopen(f"{url}/internal/force_flush", timeout=10).close()
        for name, query in expressions().items():
            with urlopen(f"{url}/api/v1/query?{urlencode({'query': query, 'time': now_s})}", timeout=10) as answer:
                values[name] = [float(series["value"][1]) for series in json.load(answer)["data"]["result"]]
    empty = {name for name, series in values.items() if not series}
    assert empty <= {"What fails and tries again A"}, "it shows what stands at 1 alone"
    fires = {name for name, (_, when) in alerts().items() if any(map(_beyond(when), values[name]))}
    assert fires == {
        "A process does not answer",
        "A part fails and tries again",
        "A channel takes no incidents",
        "Events cannot be read",
        "Scoring is behind",
        "The sink refuses points",
    }
    named = {name for query in expressions().values() for name in re.findall(r"(?:driftflow|process)_\w+", query)}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= {metric.name for metric in METRICS}
    assert len(values) > 30


def _beyond(when: dict[str, Any]) -> Callable[[float], bool]:
    (bound,) = when["params"]
    return (lambda value: value > bound) if when["type"] == "gt" else (lambda value: value < bound)
