"""Shared fixtures: the folder of real survey files, and a guard on global JAX settings."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from redflower.compile_cache import keep_compiled_programs

# Shapes are checked while functions are traced.
os.environ.setdefault("REDFLOWER_KEEP_PROGRAMS", "0")
# The workers, and the commands that tests start, share what they compile; so does the next run.
keep_compiled_programs()

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public survey files beside the project; tests that need it skip without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real survey files are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def dustmaps_folder(tmp_path: Path) -> Iterator[Path]:
    """Where dustmaps looks for its files, for one test."""
    pytest.importorskip("dustmaps", reason="the extra `maps` is not installed")
    from dustmaps.config import config

    before = config["data_dir"]
    config["data_dir"] = str(tmp_path)
    yield tmp_path
    config["data_dir"] = before


@pytest.fixture(autouse=True)
def _jax_settings_unchanged() -> Iterator[None]:
    """Fail any test that leaves a global JAX setting changed."""
    before = jax.config.jax_enable_x64
    yield
    assert jax.config.jax_enable_x64 == before, "the test left jax_enable_x64 changed"
