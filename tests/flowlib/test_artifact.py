"""Models as files: the same bytes give the same scores, any other bytes give nothing."""

from __future__ import annotations

import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flowlib import artifact
from flowlib.artifact import Artifact, ArtifactError
from flowlib.density import Density
from flowlib.flows import FLOWS
from flowlib.gaussians import Gaussians
from flowlib.margins import Margins
from flowlib.weights import Weights
from tests.flowlib.conftest import draw

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {artifact.key_id(KEY.public_key()): KEY.public_key()}


@pytest.fixture(scope="module")
def made(density: Density) -> Artifact:
    return artifact.pack(density, KEY)


def test_a_loaded_model_scores_bit_for_bit(density: Density, made: Artifact, tmp_path: Path) -> None:
    artifact.save(made, tmp_path / "m.model")
    loaded = artifact.load(artifact.read(tmp_path / "m.model"), TRUSTED)
    rows = draw(500, 31)
    before, after = (d.score(rows) for d in (density, loaded))
    for name in ("log_prob", "p_value", "pit", "pooled"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert loaded.manifest == density.manifest
    assert artifact.pack(loaded, KEY) == made, "packing is canonical"


def test_every_altered_bit_is_refused(made: Artifact, seed: int) -> None:
    chance = random.Random(seed)
    for name in ("manifest", "tensors", "signature"):
        blob = getattr(made, name)
        for _ in range(60):
            at, bit = chance.randrange(len(blob)), chance.randrange(8)
            altered = blob[:at] + bytes([blob[at] ^ (1 << bit)]) + blob[at + 1 :]
            with pytest.raises(ArtifactError):
                artifact.load(replace(made, **{name: altered}), TRUSTED)
        for cut in (0, 1, len(blob) // 2, len(blob) - 1):
            with pytest.raises(ArtifactError):
                artifact.load(replace(made, **{name: blob[:cut]}), TRUSTED)


def test_strangers_and_impostors_are_refused(made: Artifact, density: Density) -> None:
    stranger = artifact.pack(density, Ed25519PrivateKey.generate())
    for bad, reason in [
        (stranger, "not trusted"),
        (replace(made, signature=b""), "not signed"),
        (replace(stranger, key_id=made.key_id), "match"),
        (replace(made, model_id="0" * 16), "calls itself"),
        (replace(made, tensors=b"x" * (artifact.BYTES_MAX + 1)), "larger"),
    ]:
        with pytest.raises(ArtifactError, match=reason):
            artifact.load(bad, TRUSTED)
    with pytest.raises(ArtifactError, match="none"):
        artifact.load(made, {})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"flow":"maf"', b'"flow":"os.system"'),
        (b'"hidden":64', b'"hidden":10000000'),
        (b'"blocks":5', b'"blocks":-1'),
        (b'"blocks":5', b'"blocks":"5"'),
        (b'"format"', b'"fmt"'),
        (b'"d":3', b'"d":4'),
    ],
)
def test_a_signed_but_senseless_manifest_is_refused(made: Artifact, old: bytes, new: bytes) -> None:
    assert old in made.manifest
    text = made.manifest.replace(old, new, 1)
    from hashlib import sha256

    digest = sha256(sha256(text).digest() + sha256(made.tensors).digest()).digest()
    forged = replace(made, manifest=text, signature=KEY.sign(digest), model_id=digest.hex()[:16])
    with pytest.raises(ArtifactError, match="rebuilt"):
        artifact.load(forged, TRUSTED)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_calibration_of_other_columns_is_refused_before_it_scores(density: Density, width: int) -> None:
    x = np.random.default_rng(0).standard_normal((99, width))
    calibration, few = density.calibration, Gaussians.fit(x.astype(np.float32), 0)
    others = [
        replace(calibration, beside=(one,), distance=calibration.distance[:1], weights=np.ones(1))
        for one in (few, Margins.fit(x))
    ]
    counts = np.zeros((width, calibration.pit_reference.shape[1]), np.int64)
    others.append(replace(calibration, pit_reference=counts, ordinary=np.zeros((3, width))))
    for other in others:
        with pytest.raises(ArtifactError, match="different widths"):
            artifact.load(artifact.pack(replace(density, calibration=other), KEY), TRUSTED)


def test_what_would_not_be_loaded_again_is_not_signed(made: Artifact, density: Density) -> None:
    size = len(made.manifest) + len(made.tensors)
    assert artifact.pack(density, KEY, size) == made
    with pytest.raises(ArtifactError, match=rf"{size:,} bytes, and no more than {size - 1:,} are accepted: leave out"):
        artifact.pack(density, KEY, size - 1)
    with pytest.raises(ArtifactError, match=f"larger than {size - 1:,} bytes"):
        artifact.load(made, TRUSTED, size - 1)
    flow = FLOWS["maf"](density.flow.d, density.flow.context, torch.Generator().manual_seed(0), blocks=65, hidden=8)
    tall = replace(density, weights=Weights.of("maf", flow))
    with pytest.raises(
        ArtifactError, match="too large to be loaded again: hyperparameter blocks is 65, expected 0 to 64"
    ):
        artifact.pack(tall, KEY)
    own = artifact.pack(tall, KEY, None)
    assert artifact.load(own, TRUSTED, None).flow.hyperparameters()["blocks"] == 65
    with pytest.raises(ArtifactError, match="blocks is 65"):
        artifact.load(own, TRUSTED)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    for blob in (b"", b"PK\x03\x04", b"\x80\x04K\x01.", b"{}" * 100):
        (tmp_path / "x.model").write_bytes(blob)
        with pytest.raises(ArtifactError):
            artifact.load(artifact.read(tmp_path / "x.model"), TRUSTED)


# Durability -----------------------------------------------------------------------------------------------------------


class Calls:
    """What was asked of the operating system, in order."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        fsync, replace_file = os.fsync, os.replace

        def watched_fsync(file: int) -> None:
            status = os.fstat(file)
            self.made.append("fsync folder" if stat.S_ISDIR(status.st_mode) else f"fsync {status.st_size} bytes")
            fsync(file)

        def watched_replace(source: Path, target: Path) -> None:
            self.made.append(f"replace {Path(target).name}")
            replace_file(source, target)

        patch.setattr(os, "fsync", watched_fsync)
        patch.setattr(os, "replace", watched_replace)


def test_a_name_never_comes_before_its_bytes(made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, path = Calls(monkeypatch), tmp_path / "m.model"
    artifact.save(made, path)
    assert calls.made == [f"fsync {path.stat().st_size} bytes", "replace m.model", "fsync folder"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_fails_leaves_the_old_file_and_nothing_beside(
    made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "m.model"
    artifact.save(made, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        artifact.save(replace(made, model_id="0" * 16), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.model"]
    assert path.read_bytes() == before
