"""The manifests for Kubernetes: rendered, held to Kubernetes' own schemas, and to the configuration that they ship."""

from __future__ import annotations

import copy
import functools
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stream_app.config import Config, load
from tests.manifests import Document, containers, not_restricted, pods, rendered, without_hash

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "infra/k8s/example"
DOCUMENTS = rendered(EXAMPLE)
VERSIONS = ("1.29", "1.37")
"""The oldest Kubernetes that these are for, and the newest whose schemas are here."""


def named(kind: str) -> dict[str, Document]:
    """Documents of a kind by their names."""
    return {of["metadata"]["name"]: of for of in DOCUMENTS if of["kind"] == kind}


def test_kubectl_renders_the_same() -> None:
    """Where it is there; its folders of resources are newer than Debian 12's."""
    tool = shutil.which("kubectl")
    if tool is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([tool, "kustomize", str(EXAMPLE)], capture_output=True, text=True)
    if "must be a file" in done.stderr:
        pytest.skip("kubectl is older than 1.21")
    assert done.returncode == 0, done.stderr
    theirs = without_hash(list(yaml.safe_load_all(done.stdout)))
    assert sorted(map(yaml.safe_dump, theirs)) == sorted(map(yaml.safe_dump, DOCUMENTS))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_document_is_what_kubernetes_takes(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strictly: a field that it does not know is a fault. KEDA's kind is checked below."""
    utils = kubernetes_validate.utils
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
    for document in DOCUMENTS:
        if document["kind"] != "ScaledObject":
            utils.validate(document, version, strict=True)
    damaged = copy.deepcopy(next(of for of in DOCUMENTS if of["kind"] == "StatefulSet"))
    damaged["spec"]["template"]["spec"]["containers"][0]["livnessProbe"] = {}
    with pytest.raises(utils.ValidationError, match="livnessProbe"):
        utils.validate(damaged, version, strict=True)


def test_every_folder_is_part_of_the_example() -> None:
    folders = {path.parent.name for path in ROOT.glob("infra/k8s/*/kustomization.yaml")}
    said = yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text())
    assert folders == {PurePosixPath(name).name for name in said["resources"]} - {"namespace.yaml"} | {"example"}


def test_pods_are_let_into_a_restricted_namespace() -> None:
    (namespace,) = named("Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {of["metadata"].get("namespace") for of in DOCUMENTS} == {namespace["metadata"]["name"], None}
    for name, pod in pods(DOCUMENTS).items():
        assert list(not_restricted(pod)) == [], name
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["serviceAccountName"] in named("ServiceAccount")


def test_the_check_for_restricted_pods_sees_what_is_not() -> None:
    pod = copy.deepcopy(pods(DOCUMENTS)["driftflow-worker"])
    del pod["spec"]["securityContext"]["seccompProfile"]
    pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
    pod["spec"]["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    assert len(list(not_restricted(pod))) == 3


def config_of(container: dict[str, Any]) -> Config:
    """The configuration that a container reads, out of the ConfigMap that it mounts."""
    words = container["args"]
    path = PurePosixPath(words[words.index("--config") + 1])
    assert path.name in named("ConfigMap")["driftflow"]["data"]
    return load(EXAMPLE / path.name)


def paths_of(role: str, config: Config) -> dict[str, bool]:
    """Files and folders that a process uses by its configuration, and whether it writes there."""
    trusted = [*config.state.trusted_keys, *config.alerts.trusted_keys]
    read, written = {
        "worker": (
            [*trusted, config.sink.token_file, *config.trainer.trusted_keys, config.worker.signing_key],
            [config.state.dir, config.sink.spool, *([config.sink.path] if config.sink.kind == "sqlite" else [])],
        ),
        "trainer": (
            [*trusted, *config.trainer.trusted_keys, config.trainer.signing_key],
            [config.state.dir, config.trainer.registry],
        ),
        "notify": (trusted, [config.notify.spool]),
        "console": ([*trusted, config.sink.path], []),
    }[role]
    return dict.fromkeys(filter(None, read), False) | dict.fromkeys(written, True)


def roles() -> dict[tuple[str, str], dict[str, Any]]:
    """``(workload, container)`` to the container; each is called after the command that it runs."""
    found = {(name, c["name"]): c for name, pod in pods(DOCUMENTS).items() for c in pod["spec"]["containers"]}
    assert all(container["args"][0] == name for (_, name), container in found.items())
    return found


@pytest.mark.parametrize("place", sorted(roles()), ids="/".join)
def test_whatever_the_shipped_configuration_names_is_mounted(place: tuple[str, str]) -> None:
    container = roles()[place]
    mounts = {PurePosixPath(of["mountPath"]): of for of in container["volumeMounts"]}
    for path, writes in paths_of(place[1], config_of(container)).items():
        inside = [mounts[folder] for folder in (PurePosixPath(path), *PurePosixPath(path).parents) if folder in mounts]
        assert inside, f"{path} is in no mount"
        assert not (writes and inside[0].get("readOnly")), f"{path} cannot be written"


def volume_of(workload: str, path: str) -> dict[str, Any]:
    """What a pod has at the folder of a path; nothing where that is a volume of its own claim."""
    spec = pods(DOCUMENTS)[workload]["spec"]
    folder = str(PurePosixPath(path).parent)
    (name,) = {of["name"] for c in spec["containers"] for of in c["volumeMounts"] if of["mountPath"] == folder}
    return next((dict(of) for of in spec["volumes"] if of["name"] == name), {})


def test_each_private_key_is_a_secret_where_it_signs_and_nowhere_else() -> None:
    config = load(EXAMPLE / "driftflow.toml")
    found = {}
    for workload, pod in pods(DOCUMENTS).items():
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                found[workload, volume["secret"]["secretName"]] = volume["secret"].get("defaultMode")
    private = {"driftflow-signing", "driftflow-requesting"}
    assert {(place, mode) for place, mode in found.items() if place[1] in private} == {
        (("driftflow-trainer", "driftflow-signing"), 0o440),
        (("driftflow-worker", "driftflow-requesting"), 0o440),
    }
    assert volume_of("driftflow-trainer", config.trainer.signing_key)["secret"]["secretName"] == "driftflow-signing"
    assert volume_of("driftflow-worker", config.worker.signing_key)["secret"]["secretName"] == "driftflow-requesting"


def test_the_guide_makes_each_secret_with_the_files_that_are_looked_for() -> None:
    text = (ROOT / "infra/README.md").read_text()
    made = {
        name: set(re.findall(r"--from-file=(\S+)", rest))
        for name, rest in re.findall(r"kubectl create secret generic (\S+)((?: --from-\S+)+)", text)
    }
    used = {
        volume["secret"]["secretName"]: volume["secret"].get("optional", False)
        for pod in pods(DOCUMENTS).values()
        for volume in pod["spec"]["volumes"]
        if "secret" in volume
    }
    assert used.keys() | {"driftflow-notify"} == made.keys()
    for (workload, name), container in roles().items():
        for path in paths_of(name, config_of(container)):
            mounted = {of["mountPath"] for of in container["volumeMounts"]}
            if str(PurePosixPath(path).parent) in mounted:
                volume = volume_of(workload, path)
                if "secret" in volume:
                    assert PurePosixPath(path).name in made[volume["secret"]["secretName"]], path


@pytest.mark.parametrize("place", sorted(roles()), ids="/".join)
def test_probes_ask_the_port_that_the_process_has(place: tuple[str, str]) -> None:
    container, role = roles()[place], place[1]
    config = config_of(container)
    port = config.console.port if role == "console" else getattr(config.monitor, f"{role}_port")
    (said,) = container["ports"]
    assert said["containerPort"] == port
    assert (config.console if role == "console" else config.monitor).host == "0.0.0.0"
    asked = {kind: of["httpGet"] for kind, of in container.items() if kind.endswith("Probe")}
    assert {of["port"] for of in asked.values()} == {said["name"]}
    assert asked["startupProbe"]["path"] == asked["livenessProbe"]["path"] == "/livez"
    if place != ("driftflow-console", "worker"):  # the page says whether it can be read
        assert asked["readinessProbe"]["path"] == "/readyz"
        notes = pods(DOCUMENTS)[place[0]]["metadata"]["annotations"]
        assert notes["prometheus.io/port"] == str(port)
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}


def test_claims_services_and_selectors_find_each_other() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(DOCUMENTS).items()}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods(DOCUMENTS).values()
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == named("PersistentVolumeClaim").keys()
    for document in DOCUMENTS:
        spec = document.get("spec", {})
        for key in ("selector", "podSelector"):
            wanted = spec.get(key, {}).get("matchLabels", spec.get(key) if document["kind"] == "Service" else None)
            if wanted:
                assert any(wanted.items() <= of.items() for of in labels.values()), document["metadata"]["name"]
        if document["kind"] == "StatefulSet":
            assert spec["serviceName"] in named("Service")
    for name, pod in pods(DOCUMENTS).items():
        volumes = {of["name"] for of in pod["spec"]["volumes"]}
        templates = {
            of["metadata"]["name"]
            for d in DOCUMENTS
            if d["metadata"]["name"] == name and d["kind"] == "StatefulSet"
            for of in d["spec"].get("volumeClaimTemplates", [])
        }
        for container in pod["spec"]["containers"]:
            assert {of["name"] for of in container["volumeMounts"]} <= volumes | templates, name


def test_policies_let_out_what_the_configuration_names_and_no_more() -> None:
    config = load(EXAMPLE / "driftflow.toml")
    kafka = {int(address.rpartition(":")[2]) for address in config.kafka.bootstrap}
    influx = int(config.sink.url.rpartition(":")[2])
    alertmanager = {int(of.url.rpartition(":")[2]) for of in config.notify.alertmanager.values()}
    reached = {
        name: {port["port"] for rule in policy["spec"].get("egress", []) for port in rule["ports"]}
        for name, policy in named("NetworkPolicy").items()
    }
    assert reached["driftflow"] == {53} | kafka
    assert reached["driftflow-worker"] == {influx}
    assert reached["driftflow-notify"] == {443, 465, 587} | alertmanager
    assert named("NetworkPolicy")["driftflow"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_keda_scales_the_workers_of_the_configurations_group_by_its_topic() -> None:
    config = load(EXAMPLE / "driftflow.toml")
    (document,) = named("ScaledObject").values()
    spec = document["spec"]
    assert spec.keys() == {
        "scaleTargetRef",
        "pollingInterval",
        "minReplicaCount",
        "maxReplicaCount",
        "advanced",
        "triggers",
    }
    target = named(spec["scaleTargetRef"]["kind"])[spec["scaleTargetRef"]["name"]]
    assert target["apiVersion"] == spec["scaleTargetRef"]["apiVersion"]
    assert "replicas" not in target["spec"], "each `kubectl apply` would undo what it has done"
    assert spec["maxReplicaCount"] == config.topics.partitions
    for trigger in spec["triggers"]:
        said = trigger["metadata"]
        assert trigger["type"] == "kafka"
        assert said["bootstrapServers"].split(",") == config.kafka.bootstrap
        assert said["consumerGroup"] == config.kafka.group
        assert all(isinstance(value, str) for value in said.values()), "KEDA takes texts"
    topics = [trigger["metadata"]["topic"] for trigger in spec["triggers"]]
    assert topics == [config.topics.events, config.topics.partials]


def test_workers_that_scale_share_no_files_and_keep_their_names() -> None:
    config = load(EXAMPLE / "driftflow.toml")
    (worker,) = containers(named("StatefulSet")["driftflow-worker"])
    assert config.state.store == "kafka"
    assert config.kafka.instance_env in {of["name"] for of in worker["env"]}
    assert config.topics.replication == 3


@pytest.mark.parametrize("name", ["driftflow.toml", "console.toml"])
def test_the_configurations_are_those_of_the_containers_but_for_where_things_are(name: str) -> None:
    ours, theirs = load(EXAMPLE / name), load(ROOT / "infra/docker" / name)
    for section in (
        "event",
        "windows",
        "rules",
        "event_rule",
        "model",
        "retrain",
        "worker",
        "trainer",
        "alerts",
        "sink",
    ):
        assert getattr(ours, section) == getattr(theirs, section), section
