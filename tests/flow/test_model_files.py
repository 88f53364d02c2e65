"""Model files: the same model comes back, and damage is named."""

import json
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from redflower.errors import ModelError
from redflower.flow import load_model, save_model, shipped_models
from redflower.flow.emulator import empty_emulator
from redflower.flow.emulator_networks import EmulatorStructure
from tests.helpers.flows import random_model


@pytest.mark.parametrize("dim", [3, 8, 11])
def test_round_trip(tmp_path: Path, dim: int) -> None:
    model = random_model(1, dim)
    path = save_model(model, tmp_path / "m")
    back = load_model(path)
    assert back.model_id == model.model_id
    assert back.band_names == model.band_names
    x, condition = jnp.ones(dim), jnp.array([3.9, 2.8])
    np.testing.assert_array_equal(
        back.flow.prepared().log_prob(x, condition), model.flow.prepared().log_prob(x, condition)
    )
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path: Path, share: float) -> None:
    path = save_model(random_model(), tmp_path / "m")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ModelError, match="not of redflower"):
        load_model(path)
    path.write_bytes(b"not a model at all")
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match="Shipped models"):
        load_model("no-such-model")


def test_the_shipped_model_is_small_and_says_what_it_is() -> None:
    path = shipped_models()["mock-sky"]
    assert path.stat().st_size < 500_000
    model = load_model("mock-sky")
    assert "mock" in model.description
    assert model.n_bands == 11
    assert model.provenance["stars"] > 50_000


def test_an_emulator_of_an_older_format_is_the_same_emulator(tmp_path: Path) -> None:
    """Before format 4 its outputs stood band by band, and the denoiser had the sizes of the density."""
    structure = EmulatorStructure(hidden=24, layers=2, components=3, denoiser_hidden=24, denoiser_layers=2)
    n_bands = 5
    emulator = empty_emulator(n_bands, structure)
    bias = jnp.arange(3 * 3 * (n_bands - 1), dtype=jnp.float32)
    emulator = eqx.tree_at(lambda e: e.density.biases[-1], emulator, bias)
    path = save_model(replace(random_model(1, n_bands), emulator=emulator), tmp_path / "new")
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["redflower"])
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert header["format_version"] == 4
    for name in ("[2].density.weights[2]", "[2].density.biases[2]"):
        by_kind = arrays[name].reshape(3, 3, n_bands - 1, *arrays[name].shape[1:])
        arrays[name] = np.ascontiguousarray(
            np.moveaxis(by_kind, (0, 1, 2), (2, 1, 0)).reshape(arrays[name].shape)
        )
    header["format_version"] = 2
    header["emulator"] = {name: header["emulator"][name] for name in ("hidden", "layers", "components")}
    save_file(arrays, tmp_path / "old.safetensors", metadata={"redflower": json.dumps(header)})
    assert not np.array_equal(arrays["[2].density.biases[2]"], bias)
    old = load_model(tmp_path / "old.safetensors").emulator
    assert old is not None
    assert old.structure == structure
    for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(emulator), strict=True):
        np.testing.assert_array_equal(a, b)
