"""What drift is measured against travels with the model, in its signature, and no senseless part of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors.numpy import load, save

from flowlib import artifact
from flowlib.artifact import Artifact, ArtifactError
from flowlib.density import Density
from flowlib.table import Table
from tests.flowlib.conftest import draw

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {artifact.key_id(KEY.public_key()): KEY.public_key()}
PANE_MS = 3_600_000


@pytest.fixture(scope="module")
def held_out() -> Table:
    """Forty hours of three slices, in two slicings."""
    rows = draw(1_200, 41)
    slices = np.array([f"s{i % 3}" for i in range(1_200)], dtype=object)
    others = np.full((1_200, 1), "all", dtype=object)
    return replace(rows, slices=slices, others=others, time_ms=np.arange(1_200) * PANE_MS // 30)


@pytest.fixture(scope="module")
def watched(density: Density, held_out: Table) -> Density:
    return density.with_reference(held_out, PANE_MS)


@pytest.fixture(scope="module")
def made(watched: Density) -> Artifact:
    return artifact.pack(watched, KEY)


def test_a_loaded_model_has_the_same_channels_and_references(watched: Density, made: Artifact, held_out: Table) -> None:
    loaded = artifact.load(made, TRUSTED)
    assert loaded.channels is not None
    assert watched.channels is not None
    before, after = (d.channels.of(d.score(held_out)) for d in (watched, loaded) if d.channels)
    for name in ("base", "present", "group"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert [reference.slices for reference in loaded.references] == [("s0", "s1", "s2"), ("all",)]
    for a, b in zip(loaded.references, watched.references, strict=True):
        assert a.pane_ms == b.pane_ms == PANE_MS
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-6)
        np.testing.assert_array_equal(a.value_centre, b.value_centre)
        np.testing.assert_array_equal(a.value_scale, b.value_scale)
    assert artifact.pack(loaded, KEY) == made, "packing is canonical"


def test_a_model_without_them_is_loaded_without(density: Density) -> None:
    loaded = artifact.load(artifact.pack(density, KEY), TRUSTED)
    assert loaded.channels is None
    assert loaded.references == ()


def test_the_model_that_they_were_added_to_stays_as_it_is(density: Density, watched: Density, held_out: Table) -> None:
    assert density.references == ()
    np.testing.assert_array_equal(density.score(held_out).log_prob, watched.score(held_out).log_prob)


def test_rows_of_which_none_can_be_scored_are_refused(density: Density, held_out: Table) -> None:
    nothing = held_out.with_numeric(np.full_like(held_out.numeric, np.nan))
    with pytest.raises(ValueError, match="none of the held-out rows can be scored"):
        density.with_reference(nothing, PANE_MS)


def signed(made: Artifact, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Artifact:
    """Other contents under a right signature: what a faulty trainer could make."""
    manifest, arrays = json.loads(made.manifest), load(made.tensors)
    change(manifest, arrays)
    blob = save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digest = sha256(sha256(text).digest() + sha256(blob).digest()).digest()
    return replace(made, manifest=text, tensors=blob, signature=KEY.sign(digest), model_id=digest.hex()[:16])


def test_a_model_of_another_format_is_refused_with_what_to_do(made: Artifact) -> None:
    old = signed(made, lambda manifest, arrays: manifest.update(format="driftflow-model-1"))
    with pytest.raises(ArtifactError, match=r"'driftflow-model-1', this version .* train a model anew"):
        artifact.load(old, TRUSTED)


def test_other_contents_can_be_signed(made: Artifact) -> None:
    same = signed(made, lambda manifest, arrays: None)
    assert artifact.load(same, TRUSTED).references


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest, arrays: manifest.pop("references"),
        lambda manifest, arrays: manifest["references"].append(manifest["references"][0]),
        lambda manifest, arrays: manifest["references"][0].pop("pane_ms"),
        lambda manifest, arrays: manifest["references"][0].update(pane_ms=0),
        lambda manifest, arrays: manifest["references"][0].update(pane_ms="soon"),
        lambda manifest, arrays: manifest["references"][0].update(slices=7),
        lambda manifest, arrays: manifest["references"][0]["slices"].append("s9"),
        lambda manifest, arrays: arrays.pop("channels.edges"),
        lambda manifest, arrays: arrays.update({"channels.pairs": arrays["channels.pairs"] + 99}),
        lambda manifest, arrays: arrays.pop("reference1.mean"),
        lambda manifest, arrays: arrays.update({"reference0.sd": 0 * arrays["reference0.sd"]}),
        lambda manifest, arrays: arrays.update({"reference0.inflation": 0 * arrays["reference0.inflation"]}),
        lambda manifest, arrays: arrays.update({"reference0.rows": arrays["reference0.rows"][1:]}),
        lambda manifest, arrays: arrays.update({"reference0.value_scale": 0 * arrays["reference0.value_scale"]}),
        lambda manifest, arrays: arrays.update({"reference1.value_centre": arrays["reference1.value_centre"] + 1}),
    ],
)
def test_a_signed_but_senseless_reference_is_refused(made: Artifact, change: Any) -> None:
    with pytest.raises(ArtifactError, match="rebuilt"):
        artifact.load(signed(made, change), TRUSTED)


@pytest.mark.parametrize("seed", range(3))
def test_altered_parts_are_refused(made: Artifact, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(made.tensors), 40).tolist():
        altered = made.tensors[:at] + bytes([made.tensors[at] ^ 1]) + made.tensors[at + 1 :]
        with pytest.raises(ArtifactError):
            artifact.load(replace(made, tensors=altered), TRUSTED)
