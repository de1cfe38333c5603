"""What is written for other machines, checked as far as it can be here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.config import load
from tests.conftest import cannot_start

ROOT = Path(__file__).parents[1]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def test_compose_is_valid(tmp_path: Path) -> None:
    tool = shutil.which("docker-compose")
    if tool is None:
        cannot_start("docker-compose is not installed (Debian package docker-compose)")
        return
    done = subprocess.run(
        [tool, "-f", str(ROOT / "docker-compose.yml"), "--profile", "console", "config"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_services_are_pinned_local_and_without_rights() -> None:
    document = compose()
    for name, service in document["services"].items():
        assert re.search(r":(\d+\.\d+(\.\d+)?|local)$", service["image"]), f"{name}: pin the version"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network"
        if service["image"] == "driftflow:local":
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
        for value in service.get("environment", {}).values():
            assert "password" not in str(value).lower() or "/run/secrets/" in str(value), (
                f"{name}: a secret in the open"
            )


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
        "keys": {"trainer": "keys", "worker": "keys:ro", "console-worker": "keys:ro"},
        "request-keys": {"worker": "request-keys", "trainer": "request-keys:ro"},
    }


def test_no_trainer_trusts_the_key_of_the_consoles_worker() -> None:
    config = load(ROOT / "infra/docker/console.toml")
    assert [folder_of(path) for path in config.trainer.trusted_keys] == [folder_of(config.worker.signing_key)]


def test_the_image_has_every_folder_that_is_mounted() -> None:
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    for folder in key_folders().values():
        assert len(re.findall(rf"{folder}\b(?!-)", text)) == 2, f"{folder} is made for the user, and is a volume"


def test_manifests_mount_the_keys_where_the_configuration_has_them() -> None:
    documents = list(yaml.safe_load_all((ROOT / "infra/k8s/driftflow.yaml").read_text()))
    found = {}
    for pod in (d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("StatefulSet", "Deployment")):
        (container,) = pod["containers"]
        secrets = {volume["name"]: volume.get("secret", {}) for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        for part, folder in key_folders().items():
            if folder in mounts:
                assert mounts[folder]["readOnly"]
                secret = secrets[mounts[folder]["name"]]
                found[container["name"], part] = (secret["secretName"], secret.get("defaultMode"))
    assert found == {
        ("worker", "keys"): ("driftflow-trusted", None),
        ("worker", "requesting"): ("driftflow-requesting", 0o440),
        ("worker", "request-keys"): ("driftflow-request-keys", None),
        ("trainer", "signing"): ("driftflow-signing", 0o440),
        ("trainer", "keys"): ("driftflow-trusted", None),
        ("trainer", "request-keys"): ("driftflow-request-keys", None),
    }


def test_manifests_run_without_rights() -> None:
    documents = list(yaml.safe_load_all((ROOT / "infra/k8s/driftflow.yaml").read_text()))
    pods = [d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("Deployment", "StatefulSet")]
    assert len(pods) == 2
    claims = {d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolumeClaim"}
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        names = {volume["name"] for volume in pod["volumes"]}
        used = {v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        assert used <= claims
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert not container["image"].endswith(":latest")
            assert {mount["name"] for mount in container["volumeMounts"]} <= names
    worker = json.dumps(pods[0])
    assert "signing.pem" not in worker
    assert "driftflow-signing" not in worker, "agents never hold the private key"


def test_grafana_files_name_each_other() -> None:
    source = yaml.safe_load((ROOT / "infra/grafana/provisioning/datasources/driftflow.yaml").read_text())
    dashboard = json.loads((ROOT / "infra/grafana/dashboards/driftflow.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["datasources"][0]["uid"]}
    provider = yaml.safe_load((ROOT / "infra/grafana/provisioning/dashboards/driftflow.yaml").read_text())
    mounts = compose()["services"]["grafana"]["volumes"]
    assert any(mount.split(":")[1] == provider["providers"][0]["options"]["path"] for mount in mounts)
