"""What Kubernetes is given: a folder for ``kubectl apply -k``, as that renders it.

Rendered here, with the few fields of kustomizations that ours have, since no package of every machine's does it;
``tests/test_k8s.py`` holds this to kubectl's own rendering where kubectl is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
Pod = dict[str, Any]

_KNOWN = {"apiVersion", "kind", "resources", "namespace", "images", "configMapGenerator"}
_WITHOUT_NAMESPACE = {"Namespace"}
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def rendered(folder: Path) -> list[Document]:
    """All documents, in order. ConfigMaps keep their names: kubectl adds a hash of what is in them."""
    (said,) = yaml.safe_load_all((folder / "kustomization.yaml").read_text())
    assert said.keys() <= _KNOWN, f"{folder}: render {said.keys() - _KNOWN} too"
    documents = [document for name in said.get("resources", []) for document in _loaded(folder / name)]
    documents += [_config_map(folder, of) for of in said.get("configMapGenerator", [])]
    for document in documents:
        if "namespace" in said and document["kind"] not in _WITHOUT_NAMESPACE:
            document["metadata"]["namespace"] = said["namespace"]
        for container in containers(document):
            container["image"] = _image(container["image"], said.get("images", []))
    return documents


def _loaded(path: Path) -> list[Document]:
    return rendered(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _config_map(folder: Path, of: dict[str, Any]) -> Document:
    texts = {name: (folder / name).read_text() for name in of["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": of["name"]}, "data": texts}


def _image(name: str, images: list[dict[str, str]]) -> str:
    of = next((of for of in images if of["name"] == name), None)
    return f"{of.get('newName', name)}:{of['newTag']}" if of else name


def without_hash(documents: list[Document]) -> list[Document]:
    """What kubectl has rendered, with ConfigMaps called as in the files."""
    names = {of["metadata"]["name"] for of in documents if of["kind"] == "ConfigMap"}
    text = yaml.safe_dump_all(documents)
    for name in names:
        text = text.replace(name, re.sub(r"-[a-z0-9]{10}$", "", name))
    return list(yaml.safe_load_all(text))


def pods(documents: list[Document]) -> dict[str, Pod]:
    """Name of a workload to the pods that it makes."""
    return {of["metadata"]["name"]: of["spec"]["template"] for of in documents if "template" in of.get("spec", {})}


def containers(document: Document) -> list[dict[str, Any]]:
    """Of a workload; of anything else none."""
    return list(document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []))


def not_restricted(pod: Pod) -> Iterator[str]:
    """What keeps a pod out of a namespace that enforces ``restricted`` (Pod Security Standards), and from running on a
    root file system that nobody can write.
    """
    spec = pod["spec"]
    whole = spec.get("securityContext", {})
    if whole.get("runAsNonRoot") is not True or not whole.get("runAsUser"):
        yield "it may run as root"
    if whole.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "it has no seccomp profile"
    yield from (f"it has {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    kinds = {kind for volume in spec.get("volumes", []) for kind in volume} - {"name"}
    allowed = {
        "configMap",
        "emptyDir",
        "secret",
        "persistentVolumeClaim",
        "projected",
        "downwardAPI",
        "csi",
        "ephemeral",
    }
    yield from (f"a volume is {kind}" for kind in kinds - allowed)
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{container['name']} may gain rights"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container['name']} has capabilities"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']} may write its root"
        yield from (f"{container['name']} has a host port" for port in container.get("ports", []) if "hostPort" in port)
