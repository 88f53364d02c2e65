"""Model files: the same model comes back, and damage is named."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from redflower.errors import ModelError
from redflower.flow import load_model, save_model, shipped_models

from .helpers.flows import random_model


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
